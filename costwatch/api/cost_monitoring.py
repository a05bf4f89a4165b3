"""`/api/cost-monitoring/`: the first document's endpoints. Names in camelCase, money as JSON numbers in USD."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from budgets.limits import BudgetStatus, get_budget_status, update_budget_config
from budgets.queries import Standing
from costwatch.accounts.models import User
from costwatch.api.cost_alerts import CamelAlert, alerts_for_dashboard
from tracking import periods, queries
from tracking.api.access import whose
from tracking.api.fields import Choice, ForUser, Moment, Share, Strict, UsdInput, UsdNumber
from tracking.api.usage import UsageQuery, page_of_calls
from tracking.api.views import ApiView, endpoint
from tracking.calls import Call
from tracking.queries import NamedTotals, Totals

PERIODS = {"today": periods.today, "week": periods.week, "month": periods.month}
TREND_DAYS = 30
RECENT = 10


class CostCount(serializers.Serializer):
    """What the calls of one service, model or feature add up to."""

    cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    count = serializers.IntegerField(help_text="calls")


class Sums(serializers.Serializer):
    """The sums of a period."""

    period = serializers.CharField(help_text="today, week (from Monday) or month")
    start = Moment(help_text="when the period begins")
    end = Moment(help_text="when it is over; not part of it")
    totalCost = UsdNumber(help_text="USD; without the calls that have no price yet")
    count = serializers.IntegerField(help_text="calls")
    unpricedCount = serializers.IntegerField(help_text="calls that have no price yet")
    inputTokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    outputTokens = serializers.IntegerField(help_text="tokens out, reasoning included")
    audioMinutes = serializers.FloatField(help_text="minutes of sound billed by duration")
    characters = serializers.IntegerField(help_text="characters spoken")


class Summary(Sums):
    """The sums of a period, and how they are made up. The 100 dearest of each; \"\" stands for calls without one."""

    byService = serializers.DictField(child=CostCount(), help_text="by service: whisper, tts, chat, ...")
    byModel = serializers.DictField(child=CostCount(), help_text="by model")
    byFeature = serializers.DictField(child=CostCount(), help_text="by feature")


class SummaryAnswer(serializers.Serializer):
    """What was spent in a period."""

    summary = Summary(help_text="the sums")


class SummaryQuery(ForUser):
    """Which period."""

    period = Choice(list(PERIODS), default="month", help_text="today, this calendar week (from Monday) or this month")


class ResetsAt(serializers.Serializer):
    """When the windows of a user's budget end: his day and his month."""

    daily = Moment(help_text="when the day's window ends")
    monthly = Moment(help_text="when the month's window ends")


class BindingLimit(serializers.Serializer):
    """The limit with the least left of those that bind a user: his own, or one that staff set."""

    name = serializers.CharField(help_text="the limit, in words")
    scope = serializers.CharField(help_text="whose calls it counts: user, each_user, group, everyone, ...")
    isOwn = serializers.BooleanField(help_text="whether the user set it himself")
    limit = UsdNumber(help_text="USD in its window, with temporary increases")
    remaining = UsdNumber(help_text="USD neither spent nor held")
    resetsAt = Moment(help_text="when its window ends")


class Binding(serializers.Serializer):
    """What limits a user's calls most, by day and by month."""

    daily = BindingLimit(allow_null=True, help_text="of the limits of a day; null: there is none")
    monthly = BindingLimit(allow_null=True, help_text="of the limits of a month; null: there is none")


class Budget(serializers.Serializer):
    """A user's budget: what he set, what his own calls spent, and what he may still spend under all limits."""

    dailyLimit = UsdNumber(allow_null=True, help_text="USD a day that the user set for himself; null: none")
    monthlyLimit = UsdNumber(allow_null=True, help_text="USD a month that the user set for himself; null: none")
    alertThreshold = UsdNumber(help_text="share of the limit at which to alert: 0.8 is 80 %")
    alertsEnabled = serializers.BooleanField(help_text="whether to alert")
    pauseOnExceed = serializers.BooleanField(help_text="whether calls over the user's own limits are refused")
    dailySpent = UsdNumber(help_text="USD spent today by the user's own calls")
    dailyRemaining = UsdNumber(
        allow_null=True,
        help_text="USD that he may still spend today, by his own limit and those of staff; null: no limit",
    )
    monthlySpent = UsdNumber(help_text="USD spent this month by the user's own calls")
    monthlyRemaining = UsdNumber(
        allow_null=True,
        help_text="USD that he may still spend this month, by his own limit and those of staff; null: no limit",
    )
    resetsAt = ResetsAt(help_text="when the user's day and month end")
    binding = Binding(help_text="the limits that `dailyRemaining` and `monthlyRemaining` are of")


class BudgetAnswer(serializers.Serializer):
    """How the budget stands."""

    budget = Budget(help_text="the user's budget")


class BudgetChange(Strict):
    """What to change of one's own budget; what is left out stays as it is."""

    dailyLimit = UsdInput(required=False, allow_null=True, help_text="USD a day; null lifts it, 0 blocks paid calls")
    monthlyLimit = UsdInput(
        required=False, allow_null=True, help_text="USD a month; null lifts it, 0 blocks paid calls"
    )
    alertThreshold = Share(required=False, help_text="share of the limit at which to alert, over 0 and up to 1")
    alertsEnabled = serializers.BooleanField(required=False, help_text="whether to alert")
    pauseOnExceed = serializers.BooleanField(required=False, help_text="whether to refuse calls over one's own limits")


class Log(serializers.Serializer):
    """One call."""

    id = serializers.CharField(help_text="its id")
    createdAt = Moment(help_text="when it began")
    provider = serializers.CharField(help_text="who was called")
    service = serializers.CharField(help_text="the product line: whisper, tts, chat, ...")
    model = serializers.CharField(help_text="the exact model")
    operation = serializers.CharField(help_text="what was asked of it")
    feature = serializers.CharField(help_text="what it was for")
    analysisId = serializers.CharField(help_text="the analysis it belongs to")
    userId = serializers.IntegerField(allow_null=True, help_text="whose it was: the id of an account; null: nobody's")
    tags = serializers.DictField(child=serializers.CharField(), help_text="its tags, by name")
    status = serializers.CharField(help_text="ok, error, timeout, refused, ...")
    cost = UsdNumber(allow_null=True, help_text="USD; null: it has no price yet")
    priceStatus = serializers.CharField(help_text="priced, unpriced, free or assumed")
    inputTokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    cachedTokens = serializers.IntegerField(help_text="tokens in that were read from a cache")
    outputTokens = serializers.IntegerField(help_text="tokens out, reasoning included")
    audioMinutes = serializers.FloatField(help_text="minutes of sound billed by duration")
    characters = serializers.IntegerField(help_text="characters spoken")
    images = serializers.IntegerField(help_text="images made")
    latencyMs = serializers.IntegerField(allow_null=True, help_text="milliseconds until the last byte; null: not known")


class LogsAnswer(serializers.Serializer):
    """A page of calls, the newest first."""

    logs = Log(many=True, help_text="the calls")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class Trend(serializers.Serializer):
    """The sums of one day."""

    date = serializers.DateField(help_text="the day, in the site's time zone")
    cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    count = serializers.IntegerField(help_text="calls")
    unpricedCount = serializers.IntegerField(help_text="calls that have no price yet")


class DashboardAnswer(serializers.Serializer):
    """All data of the dashboard. Parts by service, model and feature are those of the month."""

    today = Sums(help_text="today")
    week = Sums(help_text="this calendar week")
    month = Sums(help_text="this month")
    trends = Trend(many=True, help_text="the last 30 days, the oldest first; days without calls too")
    byService = serializers.DictField(child=CostCount(), help_text="this month by service")
    byModel = serializers.DictField(child=CostCount(), help_text="this month by model")
    byFeature = serializers.DictField(child=CostCount(), help_text="this month by feature")
    budget = Budget(allow_null=True, help_text="the budget of the account; null where everybody's calls are asked for")
    alerts = CamelAlert(many=True, help_text="the ten latest alerts, the newest first")
    unreadCount = serializers.IntegerField(help_text="how many the caller was told of and has not read, up to 1000")
    recent = Log(many=True, help_text="the ten latest calls, the newest first")


class DashboardView(ApiView):
    """Everything in one call."""

    @endpoint("All dashboard data", query=ForUser, answer=DashboardAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Sums of today, the week and the month, the last thirty days, the budget and the latest calls."""
        now, user_id = timezone.now(), whose(request, query["user"])
        recent = queries.latest_calls(user_id=user_id, limit=RECENT).calls
        return {
            **{name: _sums(name, period(now), user_id) for name, period in PERIODS.items()},
            "trends": [_trend(day) for day in _trends(now, user_id)],
            **_parts(periods.month(now), user_id),
            "budget": _budget(get_budget_status(_user(user_id), at=now)) if user_id is not None else None,
            **alerts_for_dashboard(request.user, query["user"]),
            "recent": [log_of(call) for call in recent],
        }


class SummaryView(ApiView):
    """The sums of a period."""

    @endpoint("Cost summary", query=SummaryQuery, answer=SummaryAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What was spent today, this week or this month, and on what."""
        user_id = whose(request, query["user"])
        period = PERIODS[query["period"]](timezone.now())
        return {"summary": {**_sums(query["period"], period, user_id), **_parts(period, user_id)}}


class UsageLogsView(ApiView):
    """The calls."""

    @endpoint("Usage logs", query=UsageQuery, answer=LogsAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Calls, the newest first. Pages may be shorter than `limit` where a status is asked for."""
        page = page_of_calls(request, query)
        return {"logs": [log_of(call) for call in page.calls], "next": page.next}


class BudgetView(ApiView):
    """One's own budget."""

    scopes = {"PUT": "admin"}

    @endpoint("Budget", query=ForUser, answer=BudgetAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """How an account's budget stands."""
        user_id = whose(request, query["user"])
        if user_id is None:
            raise serializers.ValidationError({"user": "A budget is of one account: give its id."})
        return {"budget": _budget(get_budget_status(_user(user_id), at=timezone.now()))}

    @endpoint("Change the budget", body=BudgetChange, answer=BudgetAnswer)
    def put(self, request: Any, query: dict, body: dict) -> dict:
        """Change one's own budget. It stands under the limits that staff set: those stay as they are."""
        names = {
            "dailyLimit": "daily_limit", "monthlyLimit": "monthly_limit", "alertThreshold": "alert_threshold",
            "alertsEnabled": "alerts_enabled", "pauseOnExceed": "pause_on_exceed",
        }  # fmt: skip
        values = {names[name]: value for name, value in body.items()}
        try:
            status = update_budget_config(request.user, **values, at=timezone.now())
        except ValidationError as error:
            told = error.message_dict
            raise serializers.ValidationError({n: told[ours] for n, ours in names.items() if ours in told}) from None
        return {"budget": _budget(status)}


def log_of(call: Call) -> dict[str, Any]:
    """A call in the names of the first document."""
    same = (
        "id",
        "provider",
        "service",
        "model",
        "operation",
        "feature",
        "tags",
        "status",
        "cost",
        "characters",
        "images",
    )
    return {
        **{name: getattr(call, name) for name in same},
        "createdAt": call.occurred_at,
        "analysisId": call.analysis_id,
        "userId": call.user_id,
        "priceStatus": call.price_status,
        "inputTokens": call.input_tokens,
        "cachedTokens": call.cache_read_tokens,
        "outputTokens": call.output_tokens,
        "audioMinutes": call.audio_ms / 60_000,
        "latencyMs": call.latency_ms,
    }


def _user(user_id: int) -> User:
    try:
        return User.objects.get(pk=user_id)
    except User.DoesNotExist:
        raise NotFound("There is no such account.") from None


def _sums(name: str, period: periods.Period, user_id: int | None) -> dict[str, Any]:
    totals: Totals = queries.totals(period=period, user_id=user_id)
    return {
        "period": name,
        "start": period.starts_at,
        "end": period.ends_at,
        "totalCost": totals.cost,
        "count": totals.calls,
        "unpricedCount": totals.unpriced,
        "inputTokens": totals.input_tokens,
        "outputTokens": totals.output_tokens,
        "audioMinutes": totals.audio_minutes,
        "characters": totals.characters,
    }


def _parts(period: periods.Period, user_id: int | None) -> dict[str, Any]:
    return {
        "byService": _named(queries.by_service(period=period, user_id=user_id)),
        "byModel": _named(queries.by_model(period=period, user_id=user_id)),
        "byFeature": _named(queries.by_feature(period=period, user_id=user_id)),
    }


def _named(entries: list[NamedTotals]) -> dict[str, dict[str, Any]]:
    return {entry.name: {"cost": entry.totals.cost, "count": entry.totals.calls} for entry in entries}


def _trends(now: Any, user_id: int | None) -> list[queries.DayTotals]:
    return queries.by_day(period=periods.last_days(now, TREND_DAYS), user_id=user_id)


def _trend(day: queries.DayTotals) -> dict[str, Any]:
    totals = day.totals
    return {"date": day.day, "cost": totals.cost, "count": totals.calls, "unpricedCount": totals.unpriced}


def _budget(status: BudgetStatus) -> dict[str, Any]:
    return {
        "dailyLimit": status.own_daily_limit,
        "monthlyLimit": status.own_monthly_limit,
        "alertThreshold": status.alert_threshold,
        "alertsEnabled": status.alerts_enabled,
        "pauseOnExceed": status.pause_on_exceed,
        "dailySpent": status.own_daily_spent,
        "dailyRemaining": status.daily_remaining,
        "monthlySpent": status.own_monthly_spent,
        "monthlyRemaining": status.monthly_remaining,
        "resetsAt": status.own_resets_at,
        "binding": {name: _binding(status.binding(name)) for name in ("daily", "monthly")},
    }


def _binding(line: Standing | None) -> dict[str, Any] | None:
    if line is None:
        return None
    return {
        "name": line.name, "scope": line.scope, "isOwn": line.own, "limit": line.limit, "remaining": line.remaining,
        "resetsAt": line.resets_at,
    }  # fmt: skip
