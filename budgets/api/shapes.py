"""What is sent to and answered by the API of budgets."""

from __future__ import annotations

from decimal import Decimal

from rest_framework import serializers

from budgets.models import BudgetIncrease, NoMaximum, Period, Scope
from budgets.validation import MAX_THRESHOLD, MAX_THRESHOLDS
from tracking.api.fields import Choice, ForUser, Moment, Page, Share, Strict, Text, UsdInput, UsdText, When, Whole, Zone

STATUSES = ("ok", "warning", "exceeded", "paused", "not in force")


class BudgetsQuery(ForUser, Page):
    """Which limits."""


class LimitsQuery(BudgetsQuery):
    """Which limits: those that are not over, unless these are asked for too."""

    ended = serializers.BooleanField(default=False, help_text="also those that have ended, which bind nobody any more")


class NowAnswer(serializers.Serializer):
    """How a limit stands: in the caller's window, or else in the fullest one."""

    subject = serializers.CharField(help_text="whose window: `user:7`, `analysis:track-42`, or empty: of all it counts")
    limit = UsdText(help_text="USD, with temporary increases")
    spent = UsdText(help_text="USD spent in the window")
    held = UsdText(help_text="USD set aside for calls in flight")
    remaining = UsdText(help_text="USD neither spent nor held")
    status = serializers.ChoiceField(
        STATUSES, help_text="warning: 80 % is spent; paused: calls are refused; not in force: does not count"
    )
    resets_at = Moment(allow_null=True, help_text="when the window ends; null: never")


class LimitAnswer(serializers.Serializer):
    """A limit."""

    id = serializers.IntegerField(source="row.pk", help_text="its id")
    name = serializers.CharField(source="row.name", help_text="how it is called; may be empty")
    scope = serializers.ChoiceField(Scope.values, source="row.scope", help_text="whose calls it counts")
    user = serializers.IntegerField(source="row.user_id", allow_null=True, help_text="the account; null: none is named")
    group = serializers.IntegerField(source="row.group_id", allow_null=True, help_text="the group; null: none is named")
    target = serializers.CharField(source="row.target", help_text="which analysis, feature, model, ...; may be empty")
    period = serializers.ChoiceField(Period.values, source="row.period", help_text="how often it begins anew")
    amount = UsdText(source="row.amount", help_text="USD per period, without temporary increases")
    time_zone = serializers.CharField(source="row.time_zone", help_text="whose midnight begins its periods")
    week_start = serializers.IntegerField(source="row.week_start", help_text="0 Monday ... 6 Sunday")
    month_start = serializers.IntegerField(source="row.month_start", help_text="first day of the month, 1 to 31")
    thresholds = serializers.ListField(
        child=serializers.CharField(), source="row.thresholds", help_text="shares of the amount, as decimal strings"
    )
    alerts_enabled = serializers.BooleanField(source="row.alerts_enabled", help_text="whether to alert")
    hard = serializers.BooleanField(source="row.pause_on_exceed", help_text="whether it refuses calls")
    owner = serializers.IntegerField(
        source="row.owner_id", allow_null=True, help_text="the account that set it for itself; null: staff did"
    )
    active_from = Moment(source="row.active_from", allow_null=True, help_text="in force from then on; null: since ever")
    active_until = Moment(source="row.active_until", allow_null=True, help_text="in force until then; null: for good")
    no_maximum = serializers.CharField(
        source="row.no_maximum",
        help_text="what is held for calls without a maximum; empty: as the setting says",
    )
    now = NowAnswer(allow_null=True, help_text="how it stands; null: not in force, or nothing spent yet")


class LimitsAnswer(serializers.Serializer):
    """A page of limits."""

    budgets = LimitAnswer(many=True, help_text="the limits")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class LimitChange(Strict):
    """What to change of a limit; what is left out stays as it is."""

    name = Text(required=False, allow_blank=True, help_text="how it is called")
    target = Text(required=False, allow_blank=True, help_text="which analysis, feature, model, key, or team=search")
    period = Choice(Period.values, required=False, help_text="how often it begins anew")
    amount = UsdInput(required=False, help_text="USD per period; 0 blocks every call that costs something")
    time_zone = Zone(required=False, help_text="whose midnight begins its periods")
    week_start = Whole(min_value=0, max_value=6, required=False, help_text="0 Monday ... 6 Sunday")
    month_start = Whole(min_value=1, max_value=31, required=False, help_text="first day of the month")
    thresholds = serializers.ListField(
        child=Share(most=MAX_THRESHOLD),
        required=False,
        max_length=MAX_THRESHOLDS,
        help_text="shares of the amount at which to alert",
    )
    alerts_enabled = serializers.BooleanField(required=False, help_text="whether to alert")
    hard = serializers.BooleanField(required=False, help_text="refuse calls that could pass the amount")
    active_from = When(required=False, allow_null=True, help_text="in force from then on; null: since ever")
    active_until = When(required=False, allow_null=True, help_text="in force until then; null: for good")
    no_maximum = Choice(
        NoMaximum.values,
        required=False,
        allow_blank=True,
        help_text="what is held for calls without a maximum",
    )
    why = Text(default="", max_length=500, allow_blank=True, help_text="kept in the history of the limit")

    def validate_thresholds(self, value: list) -> list[str]:
        return [format(share.normalize(), "f") for share in value]


class NewLimit(LimitChange):
    """A new limit. Without the permission to make others, an account makes its own: scope `user`, itself."""

    scope = Choice(Scope.values, help_text="whose calls it counts")
    period = Choice(Period.values, help_text="how often it begins anew")
    amount = UsdInput(help_text="USD per period; 0 blocks every call that costs something")
    user = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=2**31, help_text="the account whose calls count"
    )
    group = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=2**31, help_text="the group whose members' calls count"
    )


class WindowAnswer(serializers.Serializer):
    """One period of a limit, for one subject."""

    id = serializers.IntegerField(source="pk", help_text="its id")
    subject = serializers.CharField(help_text="`user:7`, `analysis:track-42`, or empty: of all that the limit counts")
    starts_at = Moment(help_text="when it began")
    ends_at = Moment(allow_null=True, help_text="when it ends; null: never")
    limit = UsdText(source="limit_amount", help_text="USD, without temporary increases")
    spent = UsdText(help_text="USD spent")
    held = UsdText(help_text="USD set aside for calls in flight")
    hard = serializers.BooleanField(help_text="whether it refuses calls")
    closed_at = Moment(allow_null=True, help_text="when it was closed; null: not yet")


class WindowsAnswer(serializers.Serializer):
    """A page of windows, the latest opened first."""

    windows = WindowAnswer(many=True, help_text="the windows")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class IncreaseAsk(Strict):
    """More for a while."""

    amount = UsdInput(help_text="USD more in each period until then")
    until = When(help_text="how long it is to count")
    reason = Text(max_length=1000, help_text="what it is for")

    def validate_amount(self, value: Decimal) -> Decimal:
        if not value:
            raise serializers.ValidationError("An increase is more than 0.")
        return value


class IncreaseAnswer(serializers.Serializer):
    """More for a while: asked for, and what became of it."""

    id = serializers.IntegerField(source="pk", help_text="its id")
    budget = serializers.IntegerField(source="limit_id", help_text="the limit that it is for")
    subject = serializers.CharField(help_text="for whom, of a limit for each user or analysis; else empty")
    amount = UsdText(help_text="USD more")
    until = Moment(help_text="how long it counts")
    reason = serializers.CharField(source="why", help_text="what it is for")
    status = serializers.ChoiceField(BudgetIncrease.Status.values, help_text="it counts once it is approved")
    asked_by = serializers.IntegerField(source="asked_by_id", help_text="the account that asked")
    asked_at = Moment(help_text="when it was asked for")
    decided_by = serializers.IntegerField(
        source="decided_by_id", allow_null=True, help_text="the account that decided; null: nobody yet"
    )
    decided_at = Moment(allow_null=True, help_text="when it was decided; null: not yet")
    note = serializers.CharField(source="decision_note", help_text="what was said with the decision")


class IncreasesAnswer(serializers.Serializer):
    """A page of what was asked for, the latest first."""

    increases = IncreaseAnswer(many=True, help_text="what was asked for")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class Decision(Strict):
    """What is said with a decision."""

    note = Text(default="", max_length=1000, allow_blank=True, help_text="told to who asked")


#: Names of the API and of the model where they differ.
MODEL_NAMES = {"hard": "pause_on_exceed", "user": "user_id", "group": "group_id"}
