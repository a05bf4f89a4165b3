"""What is sent to and answered by the API of alerts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts import secrets
from alerts.channels import kinds
from alerts.kinds import Severity, Type
from alerts.models import Channel, Delivery, Digest
from tracking.api.fields import Choice, ForUser, Moment, Page, Strict, Text, UsdText, When, Whole, Zone

#: Named in the schema as `SPECTACULAR_SETTINGS` says. Summaries and digests have the same spans.
TYPES, SEVERITIES, SPANS = Type.values, Severity.values, Digest.values


@extend_schema_field({"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$", "example": "08:00:00"})
class LocalTime(serializers.TimeField):
    """A time of day in a zone that is told apart: the schema's own format "time" would ask for an offset."""


class FactAnswer(serializers.Serializer):
    """One line of an alert."""

    label = serializers.CharField(help_text="what it is")
    value = serializers.CharField(help_text="how it is, for reading")


class AlertAnswer(serializers.Serializer):
    """An alert, as the caller sees it."""

    id = serializers.IntegerField(source="row.pk", help_text="its id")
    type = serializers.ChoiceField(TYPES, source="row.type", help_text="what it is about")
    severity = serializers.ChoiceField(SEVERITIES, source="row.severity", help_text="how much it matters")
    title = serializers.CharField(source="row.title", help_text="the alert in a line of plain text")
    text = serializers.CharField(source="row.text", help_text="what is the case and what to do, plain text")
    facts = serializers.SerializerMethodField(help_text="what is known, line by line")
    user = serializers.IntegerField(source="row.user_id", allow_null=True, help_text="whom it concerns; null: staff")
    limit = serializers.IntegerField(source="row.limit_id", allow_null=True, help_text="the budget; null: of none")
    subject = serializers.CharField(source="row.subject", help_text="`user:7`, `analysis:track-42`, ...; may be empty")
    threshold = serializers.SerializerMethodField(help_text="share of the limit as a decimal string; null: of none")
    spent = UsdText(source="row.spent", allow_null=True, help_text="USD spent at that moment")
    limit_amount = UsdText(source="row.limit_amount", allow_null=True, help_text="USD of the limit at that moment")
    held = UsdText(source="row.held", allow_null=True, help_text="USD set aside at that moment")
    window_start = Moment(source="row.window_start", allow_null=True, help_text="when the budget's window began")
    window_end = Moment(source="row.window_end", allow_null=True, help_text="when it ends; null: never, or no budget")
    count = serializers.IntegerField(source="row.count", help_text="how often: refused calls, unpriced calls, ...")
    details = serializers.DictField(source="row.details", help_text="what more there is for programs, by type")
    is_read = serializers.BooleanField(help_text="whether the caller has read it; true where it was told to others")
    resolved_at = Moment(source="row.resolved_at", allow_null=True, help_text="since when it holds no longer")
    occurred_at = Moment(source="row.occurred_at", help_text="when it came to be")
    created_at = Moment(source="row.created_at", help_text="when it was raised")

    @extend_schema_field(FactAnswer(many=True))
    def get_facts(self, shown: Any) -> list[dict[str, str]]:
        return [{"label": label, "value": value} for label, value in shown.row.facts]

    def get_threshold(self, shown: Any) -> str | None:
        threshold = shown.row.threshold
        return None if threshold is None else format(threshold.normalize(), "f")


class AlertsAnswer(serializers.Serializer):
    """A page of alerts, the newest first."""

    alerts = AlertAnswer(many=True, help_text="the alerts")
    unread = serializers.IntegerField(help_text="how many the caller was told of and has not read, up to 1000")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class AlertsQuery(ForUser, Page):
    """Which alerts. Without `user`: the caller's own, and what concerns staff where he has the permission."""

    type = Choice(TYPES, required=False, help_text="only of this type")
    severity = Choice(SEVERITIES, required=False, help_text="only of this severity")
    unread = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="only (not) read ones")
    resolved = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="only those that no longer (still) hold"
    )
    limit_id = Whole(min_value=1, max_value=2**63 - 1, required=False, help_text="only those of this budget")
    since = When(required=False, help_text="only those raised from then on")


class DeliveryAnswer(serializers.Serializer):
    """An alert on its way to one recipient."""

    id = serializers.UUIDField(source="pk", help_text="the id by which receivers know it, the same at every attempt")
    channel = serializers.IntegerField(source="channel_id", help_text="by which channel")
    kind = serializers.CharField(source="channel_kind", help_text="the channel's kind")
    recipient = serializers.CharField(help_text="to whom, where a channel has several")
    state = serializers.ChoiceField(
        Delivery.State.values,
        help_text="planned, claimed (being sent), sent, failed (given up), skipped, or collected for one message later",
    )
    closes = serializers.BooleanField(help_text="whether it tells that the alert is over, where it was sent before")
    attempts = serializers.IntegerField(help_text="how often it was tried")
    next_at = serializers.SerializerMethodField(help_text="when it is tried next; null: at once, or never again")
    last_error = serializers.CharField(help_text="why it was not sent; may be empty")
    answer = serializers.CharField(help_text="what the receiver said; may be empty")
    planned_at = Moment(help_text="when it was planned")
    sent_at = Moment(allow_null=True, help_text="when it was taken; null: not by itself, or not yet")

    @extend_schema_field({"type": "string", "format": "date-time", "nullable": True})
    def get_next_at(self, row: Delivery) -> str | None:
        waits = row.state == Delivery.State.PLANNED and row.next_at.year > 2000
        return Moment().to_representation(row.next_at) if waits else None


class AlertDetailAnswer(AlertAnswer):
    """An alert, and how it was sent."""

    deliveries = DeliveryAnswer(many=True, help_text="by the caller's own channels; staff with the permission: by all")


class UnreadAnswer(serializers.Serializer):
    """How many are left."""

    unread = serializers.IntegerField(help_text="alerts that the caller was told of and has not read, up to 1000")


class MuteAnswer(serializers.Serializer):
    """What an account wants to hear nothing of, for a while."""

    id = serializers.IntegerField(source="pk", help_text="its id")
    limit = serializers.IntegerField(source="limit_id", allow_null=True, help_text="the budget; null: any or none")
    type = serializers.CharField(help_text="the type; empty: any")
    until = Moment(help_text="until when")


class MutesAnswer(serializers.Serializer):
    """What is muted now."""

    mutes = MuteAnswer(many=True, help_text="the soonest over first")


class NewMute(Strict):
    """What to mute: a budget, a type, or a type of a budget. The list shows such alerts all the same."""

    limit = Whole(min_value=1, max_value=2**63 - 1, required=False, help_text="the id of a budget that one may see")
    type = Choice(TYPES, required=False, help_text="a type of alerts")
    until = When(help_text="until when")

    def validate(self, attrs: dict) -> dict:
        if not attrs.get("limit") and not attrs.get("type"):
            raise serializers.ValidationError("Say what to mute: a limit, a type, or both.")
        return attrs


class PreferencesAnswer(serializers.Serializer):
    """What an account wants to hear of."""

    min_severity = serializers.ChoiceField(SEVERITIES, help_text="nothing below it, but for answers")
    types_off = serializers.ListField(child=serializers.CharField(), help_text="types that are not told")
    summary = serializers.CharField(help_text="how often a summary of spending is told; empty: the default")


class PreferencesChange(Strict):
    """What to change; what is left out stays as it is."""

    min_severity = Choice(SEVERITIES, required=False, help_text="nothing below it, but for answers")
    types_off = serializers.ListField(
        child=Choice(TYPES), required=False, max_length=len(TYPES), help_text="types that are not told"
    )
    summary = Choice(SPANS, required=False, help_text="how often to tell what was spent")


class ChannelAnswer(serializers.Serializer):
    """A channel. Secrets are told by name only."""

    id = serializers.IntegerField(source="pk", help_text="its id")
    owner = serializers.IntegerField(source="owner_id", allow_null=True, help_text="whose it is; null: staff's")
    kind = serializers.CharField(help_text="email, webhook, slack, ...")
    name = serializers.CharField(help_text="how it is called")
    implied = serializers.BooleanField(help_text="the one that an account has from the start: email to its address")
    config = serializers.DictField(
        help_text="what is set up, without secrets: of a webhook's URL scheme and host; its names depend on the kind"
    )
    secrets = serializers.SerializerMethodField(help_text="the names of the secrets that are stored")
    active = serializers.BooleanField(source="is_active", help_text="whether it is switched on")
    min_severity = serializers.ChoiceField(SEVERITIES, help_text="nothing below it, but for answers")
    types = serializers.ListField(child=serializers.CharField(), help_text="only these types; empty: all")
    everyone = serializers.BooleanField(help_text="staff's: also what concerns one account")
    quiet_from = LocalTime(allow_null=True, help_text="nothing is sent from then ...")
    quiet_until = LocalTime(allow_null=True, help_text="... until then")
    quiet_critical = serializers.BooleanField(help_text="whether critical alerts wait too, for quiet hours and digests")
    time_zone = serializers.CharField(help_text="of the quiet hours and the digest")
    digest = serializers.ChoiceField(SPANS, help_text="off, daily or weekly: collected into one message")
    digest_at = LocalTime(help_text="when the digest is sent")
    muted_until = Moment(allow_null=True, help_text="nothing is sent until then")
    rate_per_hour = serializers.IntegerField(help_text="messages an hour; more are told in one")
    disabled_at = Moment(allow_null=True, help_text="since when it is disabled for failing")
    disabled_reason = serializers.CharField(help_text="what it failed with; may be empty")
    failures = serializers.IntegerField(help_text="how often it failed in a row")
    last_error = serializers.CharField(help_text="what it failed with last; may be empty")
    last_sent_at = Moment(allow_null=True, help_text="when it last took a message")

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_secrets(self, channel: Channel) -> list[str]:
        kind = kinds().get(channel.kind)
        veiled = kind.veiled_names if kind else frozenset()  # of these `config` shows the host
        return sorted(set(secrets.masked(channel.secrets)) - veiled)


class ChannelsAnswer(serializers.Serializer):
    """Channels."""

    channels = ChannelAnswer(many=True, help_text="the caller's own, then staff's where he has the permission")


class ChannelChange(Strict):
    """What to change of a channel; what is left out stays as it is."""

    name = Text(required=False, allow_blank=True, help_text="how it is called")
    config = serializers.DictField(required=False, help_text="what is no secret; GET channels/kinds tells the names")
    secrets = serializers.DictField(
        child=serializers.CharField(allow_null=True, max_length=2048),
        required=False,
        help_text="write-only; replaces those that are named, null removes one, the others stay",
    )
    active = serializers.BooleanField(required=False, help_text="switched on")
    min_severity = Choice(SEVERITIES, required=False, help_text="nothing below it, but for answers")
    types = serializers.ListField(
        child=Choice(TYPES), required=False, max_length=len(TYPES), help_text="only these; empty: all"
    )
    everyone = serializers.BooleanField(required=False, help_text="staff's: also what concerns one account")
    quiet_from = LocalTime(required=False, allow_null=True, help_text="nothing is sent from then ...")
    quiet_until = LocalTime(required=False, allow_null=True, help_text="... until then")
    quiet_critical = serializers.BooleanField(required=False, help_text="critical alerts wait too")
    time_zone = Zone(required=False, help_text="of the quiet hours and the digest")
    digest = Choice(SPANS, required=False, help_text="collect into one message")
    digest_at = LocalTime(required=False, help_text="when the digest is sent")
    muted_until = When(required=False, allow_null=True, help_text="send nothing until then")
    rate_per_hour = Whole(min_value=1, max_value=10_000, required=False, help_text="messages an hour")


class NewChannel(ChannelChange):
    """A new channel. `for_staff`: one that tells staff what concerns no single account; with the permission."""

    kind = Text(max_length=30, help_text="GET channels/kinds tells which there are")
    for_staff = serializers.BooleanField(default=False, help_text="staff's instead of one's own")


class TestAnswer(serializers.Serializer):
    """What became of a test."""

    ok = serializers.BooleanField(help_text="whether the receiver took it")
    answer = serializers.CharField(help_text="what the receiver said, or why it was not sent")
    took_s = serializers.FloatField(help_text="how many seconds the receiver took; 0 where nothing was sent")


class FieldAnswer(serializers.Serializer):
    """One thing to set up."""

    name = serializers.CharField(help_text="its name in `config` or `secrets`")
    label = serializers.CharField(help_text="for people")
    help = serializers.CharField(help_text="what it is; may be empty")
    secret = serializers.BooleanField(help_text="whether it goes into `secrets`")
    required = serializers.BooleanField(help_text="whether it is needed")
    many = serializers.BooleanField(help_text="whether it is a list")


class KindAnswer(serializers.Serializer):
    """A kind of channel."""

    name = serializers.CharField(help_text="the `kind` of its channels")
    label = serializers.CharField(help_text="for people")
    about = serializers.CharField(help_text="where its messages arrive")
    unavailable = serializers.SerializerMethodField(help_text="why this installation cannot use it; empty: it can")
    setup = FieldAnswer(many=True, source="fields", help_text="what to set up")

    def get_unavailable(self, kind: Any) -> str:
        return kind.unavailable()


class KindsAnswer(serializers.Serializer):
    """Every kind of channel."""

    kinds = KindAnswer(many=True, help_text="in the order in which they are offered")
