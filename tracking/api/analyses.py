"""`/api/v1/analyses`: units of work whose calls are added up."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from tracking import analyses
from tracking.api.access import sees_all, whose
from tracking.api.fields import Choice, ForUser, Moment, Page, Strict, Text, UsdText
from tracking.api.views import ApiView, Conflict, endpoint
from tracking.models import Analysis
from tracking.queries import analysis_costs


class AnalysesQuery(ForUser, Page):
    """Which analyses."""

    cursor = Text(default="", max_length=1200, help_text="the `next` of the page before")  # it holds a key
    state = Choice(["open", "closed"], default="", help_text="those that are open, or closed, only")


class NewAnalysis(Strict):
    """A new analysis."""

    id = Text(default="", allow_blank=True, help_text="its key, which calls name; without it, one is made up")
    title = Text(default="", allow_blank=True, help_text="how people call it")


class AnalysisAnswer(serializers.Serializer):
    """An analysis."""

    id = serializers.CharField(help_text="its key, which calls name")
    title = serializers.CharField(help_text="how people call it")
    user_id = serializers.IntegerField(allow_null=True, help_text="whose it is: the id of an account; null: nobody's")
    created_at = Moment(help_text="when it was made, or its first call recorded")
    closed_at = Moment(allow_null=True, help_text="when it was closed; null: it is open")


class AnalysesAnswer(serializers.Serializer):
    """A page of analyses, the newest first."""

    analyses = AnalysisAnswer(many=True, help_text="the analyses")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class TokensAnswer(serializers.Serializer):
    """Tokens."""

    input = serializers.IntegerField(help_text="tokens in, cached ones included")
    output = serializers.IntegerField(help_text="tokens out, reasoning included")


class CostsAnswer(serializers.Serializer):
    """What the calls of an analysis add up to."""

    total = UsdText(help_text="USD; without the calls that have no price yet")
    by_feature = serializers.DictField(child=UsdText(), help_text="USD by feature")
    by_model = serializers.DictField(child=UsdText(), help_text="USD by model")
    tokens = TokensAnswer(help_text="tokens of all calls")
    calls = serializers.IntegerField(help_text="calls")
    unpriced = serializers.IntegerField(help_text="calls that have no price yet")
    first_call_at = Moment(allow_null=True, help_text="when the first call began; null: there was none")
    last_call_at = Moment(allow_null=True, help_text="when the latest call began; null: there was none")


class AnalysisDetailAnswer(AnalysisAnswer):
    """An analysis and what it cost."""

    ai_costs = CostsAnswer(help_text="the sums of its calls")


class AnalysisList(ApiView):
    """Analyses."""

    scopes = {"POST": "ingest"}

    @endpoint("List analyses", query=AnalysesQuery, answer=AnalysesAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> analyses.AnalysisPage:
        """The analyses that the caller made, or that began with a call of his; the newest first."""
        is_open = {"open": True, "closed": False}.get(query["state"])
        user_id = whose(request, query["user"])
        try:
            return analyses.list_analyses(
                user_id=user_id, is_open=is_open, limit=query["limit"], before=query["cursor"]
            )
        except ValueError:
            raise serializers.ValidationError({"cursor": "This is not a cursor of this list."}) from None

    @endpoint("Make an analysis", body=NewAnalysis, answer=AnalysisAnswer, code=201, problems=(409,))
    def post(self, request: Any, query: dict, body: dict) -> Analysis:
        """An analysis ahead of its first call. (Calls that name one make it by themselves.)"""
        try:
            return analyses.create_analysis(
                user_id=request.user.pk, title=body["title"], analysis_id=body["id"], now=timezone.now()
            )
        except analyses.AnalysisExists:
            raise Conflict("This key is taken. Choose another, or send none.") from None


class AnalysisDetail(ApiView):
    """One analysis."""

    @endpoint("One analysis and its costs", answer=AnalysisDetailAnswer, problems=(404,))
    def get(self, request: Any, query: dict, analysis_id: str) -> dict:
        """An analysis and what its calls add up to."""
        found = _find(request, analysis_id)
        return _detail(found)


class AnalysisClose(ApiView):
    """The end of an analysis."""

    scopes = {"POST": "ingest"}

    @extend_schema(exclude=True)
    @endpoint("One analysis and its costs", answer=AnalysisDetailAnswer, problems=(404,))
    def get(self, request: Any, query: dict, analysis_id: str) -> dict:
        """The analysis whose own key ends as this address does: keys may hold slashes."""
        return _detail(_find(request, f"{analysis_id}/close"))

    @endpoint("Close an analysis", answer=AnalysisAnswer, problems=(404,))
    def post(self, request: Any, query: dict, analysis_id: str) -> Analysis:
        """Say that an analysis is over. Calls that name it still count in it."""
        return analyses.close_analysis(_find(request, analysis_id), now=timezone.now())


def _detail(found: Analysis) -> dict:
    return {
        **{name: getattr(found, name) for name in AnalysisAnswer().fields},
        "ai_costs": analysis_costs(found.pk),
    }


def _find(request: Any, analysis_id: str) -> Analysis:
    user_id = None if sees_all(request.user) else request.user.pk
    found = analyses.find_analysis(analysis_id, user_id=user_id) if "\0" not in analysis_id else None
    if found is None:
        raise NotFound("There is no such analysis.")
    return found
