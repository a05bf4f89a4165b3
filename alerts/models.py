"""Who gets told what: alerts, who has read them, channels, and each message on its way.

Rows are the work: `alerts.operations` writes alerts with their deliveries, `alerts.outbox` sends deliveries.
"""

from datetime import datetime, time

import uuid_utils.compat as uuid_utils
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from alerts.kinds import Severity, Type
from alerts.quiet import next_digest
from budgets.validation import validate_time_zone
from tracking.fields import ExactDecimalField, UsdField


def new_id():
    """An id that sorts by the time it was made."""
    return uuid_utils.uuid7()


class CostAlert(models.Model):
    """Something that somebody should know. One row for each thing, by its `dedupe_key`, however often it is noticed."""

    type = models.CharField(max_length=30, choices=Type)
    severity = models.CharField(max_length=10, choices=Severity)
    dedupe_key = models.CharField(max_length=500, unique=True, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="cost_alerts",
        help_text="whom it concerns; empty: staff",
    )
    limit = models.ForeignKey(
        "budgets.BudgetLimit", null=True, blank=True, on_delete=models.CASCADE, related_name="alerts"
    )
    # No constraint: it would lock the hot window's row for each alert. Windows are not deleted.
    window = models.ForeignKey(
        "budgets.BudgetWindow",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="alerts",
        db_constraint=False,
    )
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)
    subject = models.CharField(max_length=220, blank=True, help_text="user:7, analysis:track-42, or empty")
    threshold = ExactDecimalField(null=True, blank=True, help_text="share of the limit")
    spent = UsdField(null=True, blank=True)
    limit_amount = UsdField(null=True, blank=True, help_text="temporary increases included")
    held = UsdField(null=True, blank=True)
    title = models.CharField(max_length=300)
    text = models.TextField(blank=True)
    facts = models.JSONField(default=list, blank=True, help_text="[label, value], in the order in which they are shown")
    details = models.JSONField(default=dict, blank=True)
    count = models.PositiveIntegerField(default=1, help_text="how often: refused calls, unpriced calls, ...")
    occurred_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="when it no longer held")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-id"], name="alert_of_user"),
            models.Index(fields=["limit", "-id"], name="alert_of_limit"),
            models.Index(fields=["type", "id"], name="alert_unresolved", condition=Q(resolved_at__isnull=True)),
            models.Index(fields=["window_end"], name="alert_by_window_end", condition=Q(window_end__isnull=False)),
            models.Index(fields=["created_at"], name="alert_by_age"),
            models.Index(fields=["type"], name="alert_by_type"),
        ]

    def __str__(self) -> str:
        return self.title


class AlertRead(models.Model):
    """That an account was told of an alert on its pages, and when it read it. Made with the alert."""

    alert = models.ForeignKey(CostAlert, on_delete=models.CASCADE, related_name="reads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "alert"], name="alert_read_unique")]
        # The bell counts these on every page.
        indexes = [models.Index(fields=["user"], name="alert_unread", condition=Q(read_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.user} {'read' if self.read_at else 'was told of'} {self.alert_id}"


class Digest(models.TextChoices):
    OFF = "off", "each alert at once"
    DAILY = "daily", "one message a day"
    WEEKLY = "weekly", "one message a week, on Monday"


class Channel(models.Model):
    """A way to tell somebody: an account's own, or staff's (no owner). Secrets are encrypted: `alerts.secrets`.

    Each account has one that is `implied`: email to its own address, made when it is first needed.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="alert_channels",
        help_text="whose alerts it gets; empty: those that staff get",
    )
    kind = models.CharField(max_length=30)
    name = models.CharField(max_length=200)
    implied = models.BooleanField(default=False, editable=False)
    config = models.JSONField(default=dict, blank=True, help_text="what is no secret; its kind says which names")
    secrets = models.TextField(blank=True, default="", editable=False)
    is_active = models.BooleanField(default=True)
    min_severity = models.CharField(max_length=10, choices=Severity, default=Severity.WARNING)
    types = models.JSONField(default=list, blank=True, help_text="only alerts of these types; empty: all")
    everyone = models.BooleanField(default=False, help_text="without an owner: alerts that concern one user, too")
    quiet_from = models.TimeField(null=True, blank=True, help_text="nothing is sent from then ...")
    quiet_until = models.TimeField(null=True, blank=True, help_text="... until then; it waits")
    quiet_critical = models.BooleanField(default=False, help_text="critical alerts wait too")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    digest = models.CharField(max_length=10, choices=Digest, default=Digest.OFF)
    digest_at = models.TimeField(default=time(8), help_text="when the digest is sent, in the channel's time zone")
    digest_next_at = models.DateTimeField(null=True, editable=False)
    muted_until = models.DateTimeField(null=True, blank=True)
    rate_per_hour = models.PositiveIntegerField(default=30, help_text="more are told in one message")
    disabled_at = models.DateTimeField(null=True, editable=False)
    disabled_reason = models.CharField(max_length=500, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False, help_text="in a row")
    refused_since = models.DateTimeField(null=True, editable=False)
    refusals = models.PositiveIntegerField(default=0, editable=False, help_text="in a row, that will not pass")
    last_error = models.CharField(max_length=500, blank=True, editable=False)
    last_sent_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner"], condition=Q(implied=True), name="channel_one_implied"),
            models.CheckConstraint(
                condition=Q(implied=False) | Q(owner__isnull=False), name="channel_implied_is_owned"
            ),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="channel_quiet_has_both_ends",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "id"], name="channel_of_owner"),
            models.Index(
                fields=["digest_next_at"], name="channel_digest_due", condition=Q(digest_next_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.kind

    def save(self, *args, at: datetime | None = None, **kwargs) -> None:
        """Save; what was changed counts from `at` on: now, unless it is given."""
        at = at or timezone.now()
        self.created_at, self.updated_at = self.created_at or at, at
        self.digest_next_at = self._next_digest(at)
        super().save(*args, **kwargs)

    def _next_digest(self, at: datetime) -> datetime | None:
        """When the digest is due. One that is due and not sent yet stays so, whatever is changed; and where nothing of
        it is changed, its time stays.
        """
        if self.digest == Digest.OFF:
            return None
        was = Channel.objects.filter(pk=self.pk, is_active=True).exclude(digest=Digest.OFF).first() if self.pk else None
        if was is not None and was.digest_next_at is not None:
            same = (was.digest, was.digest_at, was.time_zone) == (self.digest, self.digest_at, self.time_zone)
            if same or was.digest_next_at <= at:
                return was.digest_next_at
        return next_digest(at, at=self.digest_at, zone=self.time_zone, weekly=self.digest == Digest.WEEKLY)

    def clean(self) -> None:
        """Raise ValidationError saying per field what is wrong. (The fields of its kind: `alerts.channels`.)"""
        wrong: dict[str, str] = {}
        if (self.quiet_from is None) != (self.quiet_until is None):
            wrong["quiet_until"] = "Quiet hours have a beginning and an end."
        unknown = [name for name in self.types or [] if name not in Type.values]
        if not isinstance(self.types, list) or unknown:
            wrong["types"] = f"Types are a list out of: {', '.join(Type.values)}."
        if self.everyone and self.owner_id is not None:
            wrong["everyone"] = "Only channels of staff get what concerns others."
        if not 1 <= (self.rate_per_hour or 0) <= 10_000:
            wrong["rate_per_hour"] = "Give a whole number from 1 to 10000."
        if wrong:
            raise ValidationError(wrong)


class Delivery(models.Model):
    """One alert on its way to one recipient of one channel. Its id stays the same however often it is sent."""

    class State(models.TextChoices):
        PLANNED = "planned"  # to be sent when next_at has come
        CLAIMED = "claimed"  # a worker has it; where it is not heard of by next_at, another takes it
        SENT = "sent"
        FAILED = "failed"  # given up
        SKIPPED = "skipped"  # nobody wants it any more: `last_error` says why
        COLLECTED = "collected"  # waits for a digest, or for the message that tells how many more there were

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    alert = models.ForeignKey(CostAlert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    channel_kind = models.CharField(max_length=30)
    recipient = models.CharField(max_length=320, blank=True, help_text="where the channel has several")
    closes = models.BooleanField(default=False, help_text="tells that the alert is over, where it was sent before")
    body = models.TextField(blank=True, default="", editable=False, help_text="as first sent, until it is taken")
    state = models.CharField(max_length=10, choices=State, default=State.PLANNED)
    carried_by = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="carries", help_text="what told it"
    )
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(help_text="when it is to be sent, or sent again")
    last_error = models.CharField(max_length=500, blank=True)
    answer = models.CharField(max_length=500, blank=True, help_text="what the provider said")
    planned_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel", "recipient", "closes"], name="delivery_unique"),
        ]
        indexes = [
            models.Index(fields=["next_at"], name="delivery_due", condition=Q(state__in=["planned", "claimed"])),
            models.Index(fields=["channel", "-sent_at"], name="delivery_sent", condition=Q(state="sent")),
            models.Index(fields=["channel"], name="delivery_collected", condition=Q(state="collected")),
            models.Index(fields=["channel_kind", "state"], name="delivery_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"


class TrialCount(models.Model):
    """How many tests of channels an account had sent in the minute of its latest one, by whichever entrance."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    minute = models.BigIntegerField(help_text="minutes since 1970")
    count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user}: {self.count}"


class Summary(models.TextChoices):
    """How often an account is told what was spent, whether there are alerts or not."""

    DEFAULT = "", "weekly for staff, else never"
    OFF = "off", "never"
    DAILY = "daily", "every day"
    WEEKLY = "weekly", "every Monday"


class AlertPreference(models.Model):
    """What an account wants to hear of, on its pages and by its own channels."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alert_preference")
    min_severity = models.CharField(max_length=10, choices=Severity, default=Severity.INFO)
    types_off = models.JSONField(default=list, blank=True, help_text="types that are not told")
    summary = models.CharField(
        max_length=10, choices=Summary, default=Summary.DEFAULT, blank=True, help_text="what was spent, in one message"
    )

    def __str__(self) -> str:
        return f"alerts for {self.user}"

    def clean(self) -> None:
        """Raise ValidationError where a type does not exist."""
        if not isinstance(self.types_off, list) or any(name not in Type.values for name in self.types_off):
            raise ValidationError({"types_off": f"Types are a list out of: {', '.join(Type.values)}."})


class AlertMute(models.Model):
    """An account wants to hear nothing of a limit, or of a type, for a while. Its list shows the alerts still."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="alert_mutes")
    limit = models.ForeignKey("budgets.BudgetLimit", null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    type = models.CharField(max_length=30, choices=Type, blank=True)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(limit__isnull=False) | ~Q(type=""), name="mute_names_something"),
        ]
        indexes = [models.Index(fields=["user", "until"], name="mute_of_user")]

    def __str__(self) -> str:
        return f"{self.user}: {self.type or 'all'} of {self.limit or 'all limits'} until {self.until:%Y-%m-%d %H:%M}"


class Forgotten(models.Model):
    """How many alerts and deliveries were cleaned away, so that what is counted of them never goes down."""

    name = models.CharField(max_length=20, help_text="alerts or deliveries")
    label = models.CharField(max_length=60, help_text="type, or kind of channel and state")
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "label"], name="forgotten_unique")]

    def __str__(self) -> str:
        return f"{self.name} {self.label}: {self.count}"


class SpentHour(models.Model):
    """What a feature or a user has spent in one hour, read from the ledger once it was over: what the same hour of
    another week is compared with. Kept for as long as that looks back (`alerts.detect.hours`).
    """

    hour = models.DateTimeField()
    dimension = models.CharField(max_length=10, help_text="feature or user")
    name = models.CharField(max_length=200, help_text="the feature, or the number of the account")
    cost = UsdField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dimension", "name", "hour"], name="spent_hour_unique")]
        indexes = [models.Index(fields=["hour"], name="spent_hour_by_time")]

    def __str__(self) -> str:
        return f"{self.dimension} {self.name} {self.hour:%Y-%m-%d %H}:00: {self.cost} USD"


class ReadHour(models.Model):
    """An hour of the ledger that `SpentHour` has: what its sums were when it was read, or that it was too long to."""

    hour = models.DateTimeField(primary_key=True)
    cost = UsdField(help_text="of all its calls: where the rollups say otherwise, it is read again")
    calls = models.BigIntegerField()
    too_many = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00: {self.calls} calls"
