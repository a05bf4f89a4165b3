"""What may be spent: limits and their changes, windows, holds, crossings.

Money moves in `budgets.operations` alone; everything else reads.
"""

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from budgets.calendar import WindowRule
from budgets.formats import usd
from budgets.validation import (
    check_target,
    default_thresholds,
    validate_amount,
    validate_thresholds,
    validate_time_zone,
)
from tracking.fields import ExactDecimalField, UsdField


class Scope(models.TextChoices):
    """Whose calls a limit counts."""

    EVERYONE = "everyone"
    EACH_USER = "each_user"
    USER = "user", "one user"
    GROUP = "group"
    EACH_ANALYSIS = "each_analysis"
    ANALYSIS = "analysis", "one analysis"
    FEATURE = "feature"
    PROVIDER = "provider"
    MODEL = "model", "model or pattern"
    API_KEY = "api_key", "API key"
    TAG = "tag"


class Period(models.TextChoices):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TOTAL = "total"


class NoMaximum(models.TextChoices):
    """What is held for a call whose caller set no maximum of output."""

    GLOBAL = "", "as the setting says"
    BOUND = "bound", "the most the model can answer"
    CAP = "cap", "write the largest maximum the budget affords into the request"
    EXPECT = "expect", "what such calls cost in 99 of 100 cases (a soft promise)"


class Weekday(models.IntegerChoices):
    MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = range(7)


def site_time_zone() -> str:
    return settings.TIME_ZONE


class BudgetLimit(models.Model):
    """A rule: whose spending, in which period, up to which amount.

    Saving one counts at once: see `budgets.changes`, which `save` goes through. Limits are ended, not deleted.
    """

    name = models.CharField(max_length=200, blank=True)
    scope = models.CharField(max_length=20, choices=Scope)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="budget_limits"
    )
    group = models.ForeignKey("auth.Group", null=True, blank=True, on_delete=models.PROTECT)
    target = models.CharField(max_length=200, blank=True, help_text="which analysis, feature, model, ...")
    period = models.CharField(max_length=10, choices=Period)
    amount = UsdField(validators=[validate_amount], help_text="USD per period; 0 blocks paid calls")
    time_zone = models.CharField(max_length=64, default=site_time_zone, validators=[validate_time_zone])
    week_start = models.PositiveSmallIntegerField(choices=Weekday, default=Weekday.MONDAY)
    month_start = models.PositiveSmallIntegerField(
        default=1, help_text="first day of the month, 1 to 31; the last day where a month has no such day"
    )
    thresholds = models.JSONField(
        default=default_thresholds, blank=True, validators=[validate_thresholds], help_text="shares of the amount"
    )
    alerts_enabled = models.BooleanField(default=True)
    pause_on_exceed = models.BooleanField(default=True, help_text="hard: refuse calls; otherwise count and alert only")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="own_limits",
        help_text="the user who set it for himself or for a key of his; empty: staff's",
    )
    setting = models.CharField(
        max_length=40, null=True, blank=True, unique=True, editable=False, help_text="the setting that it stands for"
    )
    active_from = models.DateTimeField(null=True, blank=True)
    active_until = models.DateTimeField(null=True, blank=True)
    no_maximum = models.CharField(max_length=10, choices=NoMaximum, default=NoMaximum.GLOBAL, blank=True)
    note = models.TextField(blank=True)
    #: Windows belong to one version; what changes how spending is counted or divided starts a new one.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="limit_amount_not_negative"),
            models.CheckConstraint(condition=Q(month_start__range=(1, 31)), name="limit_month_start_is_a_day"),
            models.CheckConstraint(condition=Q(week_start__range=(0, 6)), name="limit_week_start_is_a_weekday"),
            models.CheckConstraint(
                condition=Q(active_until__isnull=True)
                | Q(active_from__isnull=True)
                | Q(active_until__gte=F("active_from")),
                name="limit_ends_after_it_begins",
            ),
            models.CheckConstraint(
                condition=Q(owner__isnull=True) | Q(scope="user", owner=F("user")) | Q(scope="api_key"),
                name="limit_own_is_for_oneself",
            ),
        ]

    def __str__(self) -> str:
        how_often = "in total" if self.period == Period.TOTAL else f"per {self.period}"
        return self.name or f"{usd(self.amount)} {how_often} for {self.subject_text}"

    def save(self, *args, by=None, why: str = "", at: datetime | None = None, **kwargs) -> None:
        """Save, write down who changed what, and let it count at once in windows that are open (`budgets.changes`).

        `at` is when it was changed: now, unless it is given.
        """
        from budgets.changes import save_limit

        save_limit(
            self, lambda: super(BudgetLimit, self).save(*args, **kwargs), by=by, why=why, at=at or timezone.now()
        )

    @property
    def subject_text(self) -> str:
        """Whose calls it counts, in words."""
        texts = {
            Scope.EVERYONE: "everyone",
            Scope.EACH_USER: "each user",
            Scope.EACH_ANALYSIS: "each analysis",
            Scope.USER: str(self.user),
            Scope.GROUP: f"group {self.group}",
        }
        kind = {Scope.API_KEY: "API key", Scope.ANALYSIS: "analysis"}.get(self.scope, self.scope)
        return texts.get(self.scope) or f"{kind} {self.target}"

    @property
    def rule(self) -> WindowRule:
        """How it divides time. The one window of a `total` begins with the limit, or else with the ledger."""
        origin = self.active_from if self.period == Period.TOTAL else None
        return WindowRule(self.period, self.time_zone, self.week_start, self.month_start, origin)

    def clean(self) -> None:
        """Raise ValidationError saying in words, per field, what is wrong."""
        wrong: dict[str, str] = {}
        if self.scope == Scope.PROVIDER:
            self.target = self.target.strip().lower()  # as calls name it
        if problem := check_target(self.scope, self.target):
            wrong["target"] = problem
        for field, scope in (("user", Scope.USER), ("group", Scope.GROUP)):
            if self.scope == scope and getattr(self, f"{field}_id") is None:
                wrong[field] = f"Say which {field} the limit is for."
            if self.scope != scope and getattr(self, f"{field}_id") is not None:
                wrong[field] = f"Only a limit of the scope '{scope.label}' names a {field}."
        if self.month_start is not None and not 1 <= self.month_start <= 31:
            wrong["month_start"] = "The first day of the month is a day from 1 to 31."
        of_himself = self.scope == Scope.USER and self.owner_id == self.user_id
        if self.owner_id is not None and not of_himself and self.scope != Scope.API_KEY:
            wrong["owner"] = "A user's own limit can only be for that user, or for a key of his."
        for field in ("active_from", "active_until"):
            # The calendar's own ends cannot be shown in every time zone.
            if (moment := getattr(self, field)) and not 2000 <= moment.year < 3000:
                wrong[field] = "Give a time from the year 2000 on, before the year 3000."
        if self.active_from and self.active_until and self.active_until < self.active_from:
            wrong["active_until"] = "The limit would end before it begins."
        if wrong:
            raise ValidationError(wrong)


class BudgetWindow(models.Model):
    """One period of one limit for one subject: what is spent and held in it. Only `budgets.operations` writes it."""

    limit = models.ForeignKey(BudgetLimit, on_delete=models.PROTECT, related_name="windows")
    version = models.PositiveIntegerField()
    subject = models.CharField(max_length=220, blank=True, help_text="user:7, analysis:track-42, or empty")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    #: Copies of the limit's, kept current by `budgets.changes`: so that one row decides whether a call fits.
    limit_amount = UsdField()
    hard = models.BooleanField()
    extra_amount = UsdField(default=0, help_text="temporary increases, until extra_until")
    extra_until = models.DateTimeField(null=True)
    opening = UsdField(default=0, help_text="what was spent in it before it was opened")
    spent = UsdField(default=0)
    held = UsdField(default=0)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    report = models.JSONField(null=True)

    class Meta:
        # `spent` has no such constraint: a correction may credit a call that another window paid for, and a database
        # that refused it would stop the recorder. The audit names a window that is below zero.
        constraints = [
            models.UniqueConstraint(fields=["limit", "version", "subject", "starts_at"], name="window_unique"),
            models.CheckConstraint(condition=Q(held__gte=0), name="window_held_not_negative"),
            models.CheckConstraint(condition=Q(limit_amount__gte=0), name="window_limit_not_negative"),
            models.CheckConstraint(condition=Q(extra_amount__gte=0), name="window_extra_not_negative"),
        ]
        indexes = [
            models.Index(fields=["subject", "-starts_at"], name="window_subject"),
            models.Index(fields=["ends_at"], condition=Q(closed_at__isnull=True), name="window_open_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.limit} from {self.starts_at:%Y-%m-%d %H:%M}"


class Hold(models.Model):
    """Money set aside for one call, under the call's own id; resolved exactly once. Its legs name the windows.

    `cost` is what it added to what those windows have spent. A call that is reported afterwards gets a hold too,
    resolved from the start, so that every nano-USD in a window is somebody's.
    """

    class State(models.TextChoices):
        OPEN = "open"  # the call may be in flight
        SETTLED = "settled"
        VOID = "void"  # it is proven that nothing was billed
        EXPIRED = "expired"  # never heard of again: counted at its amount until the truth arrives

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=10, choices=State)
    amount = UsdField(default=0, help_text="what was set aside")
    cost = UsdField(default=0, help_text="what it cost, as far as known")
    cost_known = models.BooleanField(default=True, help_text="false: the provider's bill is not known, or has no price")
    overrun = models.BooleanField(default=False, help_text="it cost more than was set aside")
    call_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    call = models.JSONField(default=dict, help_text="whose call it was and what for")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gte=0), name="hold_amount_not_negative")]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="hold_open_by_expiry"),
            models.Index(fields=["resolved_at"], condition=Q(state="expired"), name="hold_expired_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.state} {self.id}"


class HoldLeg(models.Model):
    """A window that a hold counts in. `already_counted` is the part of its cost that the window's opening held."""

    # Neither end is ever deleted before the leg; constraints would lock the hot window's row once more for each call.
    hold = models.ForeignKey(Hold, on_delete=models.CASCADE, related_name="legs", db_constraint=False)
    window = models.ForeignKey(BudgetWindow, on_delete=models.PROTECT, related_name="legs", db_constraint=False)
    already_counted = UsdField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hold", "window"], name="leg_unique")]

    def __str__(self) -> str:
        return f"{self.hold_id} in {self.window_id}"


class Crossing(models.Model):
    """A threshold passed in a window, the first call refused in it, or its end: written once, claimed once by alerts.

    A limit that is raised or lowered is a new line to cross, so its amount is part of what makes a crossing unique.
    """

    class Kind(models.TextChoices):
        SPENT = "spent"
        REFUSED = "refused"
        LIFTED = "lifted"  # the window in which calls were refused is over

    window = models.ForeignKey(BudgetWindow, on_delete=models.PROTECT, related_name="crossings")
    kind = models.CharField(max_length=10, choices=Kind)
    threshold = ExactDecimalField(help_text="share of the limit")
    limit_amount = UsdField(help_text="the limit that was passed, temporary increases included")
    spent = UsdField()
    held = UsdField()
    asked = UsdField(default=0, help_text="what the refused call could have cost")
    alert = models.BooleanField(default=True, help_text="whether the limit alerted at that time")
    crossed_at = models.DateTimeField()
    claimed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["window", "kind", "threshold", "limit_amount"], name="crossing_unique")
        ]
        indexes = [models.Index(fields=["crossed_at"], condition=Q(claimed_at__isnull=True), name="crossing_unclaimed")]

    def __str__(self) -> str:
        return f"{self.kind} {self.threshold} of {self.window}"


class RefusalCount(models.Model):
    """How many calls a window has refused. Counted by the recorder, in batches: refusing a call costs no more."""

    window = models.OneToOneField(
        BudgetWindow, primary_key=True, on_delete=models.CASCADE, related_name="refusals", db_constraint=False
    )
    count = models.BigIntegerField(default=0)
    last_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.count} in {self.window_id}"


class BudgetIncrease(models.Model):
    """More for a while: asked for by a user or given by staff."""

    class Status(models.TextChoices):
        ASKED = "asked"
        APPROVED = "approved"
        REFUSED = "refused"

    limit = models.ForeignKey(BudgetLimit, on_delete=models.PROTECT, related_name="increases")
    subject = models.CharField(max_length=220, blank=True, help_text="of an 'each' limit; empty: for all")
    amount = UsdField(validators=[validate_amount])
    until = models.DateTimeField()
    why = models.TextField()
    status = models.CharField(max_length=10, choices=Status, default=Status.ASKED)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_note = models.TextField(blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="increase_amount_positive")]
        permissions = [("approve_increase", "Can approve or refuse an increase")]

    def __str__(self) -> str:
        return f"{usd(self.amount)} more for {self.limit} until {self.until:%Y-%m-%d %H:%M}"


class LimitChange(models.Model):
    """The history of a limit: every change, by whom and why. Append-only."""

    limit = models.ForeignKey(BudgetLimit, on_delete=models.CASCADE, related_name="changes")
    what = models.CharField(max_length=20, help_text="made, changed, increase asked, approved, refused")
    changes = models.JSONField(default=dict, help_text="field: [before, after]")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    why = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["limit", "-at"], name="limit_change_time")]

    def __str__(self) -> str:
        return f"{self.limit} {self.what} {self.at:%Y-%m-%d %H:%M}"


class LimitBook(models.Model):
    """One row with a token that changes with every change of a limit: what each process looks at once a second."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField(default=uuid.uuid4)

    def __str__(self) -> str:
        return str(self.token)


class BudgetConfig(models.Model):
    """How a user wants his own limits to behave, also before he has set one."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="budget_config")
    alert_threshold = ExactDecimalField(default=Decimal("0.8"))
    alerts_enabled = models.BooleanField(default=True)
    pause_on_exceed = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"budget settings of {self.user}"


#: How long a hold waits for its call, unless the caller knows better (batches and videos take longer).
DEFAULT_HOLD_TTL = timedelta(minutes=15)
