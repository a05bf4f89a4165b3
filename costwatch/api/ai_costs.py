"""`/api/v1/monitoring/ai-costs/`: the second document's endpoints. snake_case, money as JSON numbers in USD."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework import serializers

from budgets.outlook import with_forecasts
from budgets.queries import Standing, standings, standings_of_user
from tracking import queries, reports
from tracking.api.access import sees_all, whose
from tracking.api.fields import ForUser, Moment, UsdNumber, Whole
from tracking.api.views import ApiView, endpoint
from tracking.models import Analysis
from tracking.periods import last_days
from tracking.queries import Totals

TOP = 10


class DaysQuery(ForUser):
    """How many days."""

    days = Whole(min_value=1, max_value=1000, default=30, help_text="days that end with today, which counts")


class TracksQuery(ForUser):
    """How many analyses."""

    limit = Whole(min_value=1, max_value=1000, default=100, help_text="analyses in the answer, 1 to 1000")


class Entry(serializers.Serializer):
    """What the calls of one feature, model or service add up to."""

    name = serializers.CharField(help_text='the feature, model or service; "": calls without one')
    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")
    unpriced_calls = serializers.IntegerField(help_text="calls that have no price yet")
    input_tokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    output_tokens = serializers.IntegerField(help_text="tokens out, reasoning included")


class TopUser(serializers.Serializer):
    """A user who spent much."""

    user_id = serializers.IntegerField(help_text="the id of the account")
    email = serializers.CharField(help_text="its email address")
    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")


class AiSummary(serializers.Serializer):
    """What was spent in the last days, and on what."""

    days = serializers.IntegerField(help_text="days of the period, today included")
    start = Moment(help_text="when the period begins")
    end = Moment(help_text="when it is over; not part of it")
    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")
    unpriced_calls = serializers.IntegerField(help_text="calls that have no price yet")
    input_tokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    output_tokens = serializers.IntegerField(help_text="tokens out, reasoning included")
    by_feature = Entry(many=True, help_text="the 100 dearest features, the dearest first")
    by_model = Entry(many=True, help_text="the 100 dearest models, the dearest first")
    by_service = Entry(many=True, help_text="by service, the dearest first")
    average_cost_per_analysis = UsdNumber(
        allow_null=True,
        help_text="USD: the mean, over all their calls, of the analyses with their last call in the period; null: none",
    )
    top_users = TopUser(many=True, help_text="staff only: who spent most, of everybody; else empty")


class ModelCost(serializers.Serializer):
    """What one model cost on one day."""

    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")


class AiDay(serializers.Serializer):
    """One day."""

    date = serializers.DateField(help_text="the day, in the site's time zone")
    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")
    unpriced_calls = serializers.IntegerField(help_text="calls that have no price yet")
    by_model = serializers.DictField(child=ModelCost(), help_text="by model")


class AiDaily(serializers.Serializer):
    """Day by day, the oldest first; days without calls too."""

    days = AiDay(many=True, help_text="the days")


class Track(serializers.Serializer):
    """What one analysis cost, over all its calls."""

    analysis_id = serializers.CharField(help_text="the key of the analysis")
    title = serializers.CharField(help_text="its title")
    total_cost = UsdNumber(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")
    unpriced_calls = serializers.IntegerField(help_text="calls that have no price yet")
    by_feature = serializers.DictField(child=UsdNumber(), help_text="USD by feature")
    by_model = serializers.DictField(child=UsdNumber(), help_text="USD by model")
    first_call_at = Moment(help_text="when its first call began")
    last_call_at = Moment(help_text="when its latest call began")


class AiTracks(serializers.Serializer):
    """Analyses, the dearest first."""

    tracks = Track(many=True, help_text="the analyses")


class ForecastNumbers(serializers.Serializer):
    """Where a window is expected to end."""

    expected = UsdNumber(allow_null=True, help_text="USD spent at its end; null for a window without an end")
    low = UsdNumber(allow_null=True, help_text="USD: in 8 cases of 10 it is at least this; null: not known")
    high = UsdNumber(allow_null=True, help_text="USD: in 8 cases of 10 it is at most this; null: not known")
    exhausted_at = Moment(
        allow_null=True, help_text="when the limit is expected to be reached; null: not in this window"
    )
    basis = serializers.CharField(help_text="`pattern` of the past weeks, or the `pace` of this window")


class LimitNumbers(serializers.Serializer):
    """Where one limit stands."""

    id = serializers.IntegerField(source="limit_id", help_text="of the limit")
    name = serializers.CharField(help_text="the limit, in words")
    scope = serializers.CharField(help_text="whose calls it counts")
    period = serializers.CharField(help_text="hour, day, week, month, quarter, year or total")
    limit = UsdNumber(help_text="USD, with temporary increases")
    spent = UsdNumber(help_text="USD spent in this window")
    held = UsdNumber(help_text="USD set aside for calls in flight")
    remaining = UsdNumber(help_text="USD neither spent nor held")
    percent = serializers.FloatField(help_text="percent of the limit that is spent")
    status = serializers.ChoiceField(["ok", "warning", "exceeded", "paused"], help_text="paused: calls are refused")
    resets_at = Moment(allow_null=True, help_text="when the window ends; null: never")
    forecast = ForecastNumbers(
        allow_null=True, help_text="where the window is expected to end; null: nothing can be said"
    )


class AiBudget(serializers.Serializer):
    """Where limits stand."""

    analysis_max_usd = UsdNumber(
        allow_null=True, help_text="USD that each analysis may cost (a setting); null: not set"
    )
    user_daily_max_usd = UsdNumber(
        allow_null=True, help_text="USD that each user may spend a day (a setting); null: not set"
    )
    limits = LimitNumbers(many=True, help_text="the limits that bind the account; of everybody's: all in force")


class AiSummaryView(ApiView):
    """What was spent."""

    @endpoint("Overall cost summary", query=DaysQuery, answer=AiSummary, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What was spent in the last days, and on what."""
        user_id, period = whose(request, query["user"]), last_days(timezone.now(), query["days"])
        totals = queries.totals(period=period, user_id=user_id)
        top = queries.top_users(period=period, limit=TOP) if sees_all(request.user) else []
        parts = {"feature": queries.by_feature, "model": queries.by_model, "service": queries.by_service}
        average = reports.average_cost_per_analysis(start=period.starts_at, end=period.ends_at, user_id=user_id)
        return {
            "days": query["days"],
            "start": period.starts_at,
            "end": period.ends_at,
            **_numbers(totals),
            **{
                f"by_{name}": [
                    {"name": entry.name, **_numbers(entry.totals)} for entry in read(period=period, user_id=user_id)
                ]
                for name, read in parts.items()
            },
            "average_cost_per_analysis": average,
            "top_users": [{"user_id": one.user_id, "email": one.email, **_numbers(one.totals)} for one in top],
        }


class AiDailyView(ApiView):
    """Day by day."""

    @endpoint("Daily breakdown", query=DaysQuery, answer=AiDaily, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What was spent on each day, and on which models."""
        user_id, period = whose(request, query["user"]), last_days(timezone.now(), query["days"])
        models = reports.models_by_day(period=period, user_id=user_id)
        return {
            "days": [
                {
                    "date": one.day,
                    **_numbers(one.totals),
                    "by_model": {name: _numbers(totals) for name, totals in models.get(one.day, {}).items()},
                }
                for one in queries.by_day(period=period, user_id=user_id)
            ]
        }


class AiTracksView(ApiView):
    """Analysis by analysis."""

    @endpoint("Cost per analysis", query=TracksQuery, answer=AiTracks, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What each analysis cost, the dearest first. An account sees the analyses that its own calls began."""
        found = reports.dearest_analyses(user_id=whose(request, query["user"]), limit=query["limit"])
        titles = dict(Analysis.objects.filter(id__in=[one.analysis_id for one in found]).values_list("id", "title"))
        names = ("analysis_id", "by_feature", "by_model", "first_call_at", "last_call_at")
        return {
            "tracks": [
                {
                    **{name: getattr(one, name) for name in names},
                    "title": titles.get(one.analysis_id, ""),
                    **_numbers(one.totals),
                }
                for one in found
            ]
        }


class AiBudgetView(ApiView):
    """Where limits stand."""

    @endpoint("Budget status", query=ForUser, answer=AiBudget, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Where the limits stand that bind the account, and where they will end."""
        now, user_id = timezone.now(), whose(request, query["user"])
        lines: list[Standing] = standings(at=now) if user_id is None else standings_of_user(user_id, at=now)
        shown = with_forecasts([line for line in lines if line.enforced][:1000], at=now)
        return {
            "analysis_max_usd": settings.ANALYSIS_MAX_USD,
            "user_daily_max_usd": settings.USER_DAILY_MAX_USD,
            "limits": shown,
        }


def _numbers(totals: Totals) -> dict[str, Any]:
    return {
        "total_cost": totals.cost,
        "calls": totals.calls,
        "unpriced_calls": totals.unpriced,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
    }
