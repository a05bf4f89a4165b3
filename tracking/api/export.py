"""Exports: `GET /api/v1/usage/export` and `GET /api/cost-monitoring/export`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation

from tracking.api.access import whose
from tracking.api.fields import Choice, ForUser
from tracking.api.usage import CallQuery
from tracking.api.views import _PROBLEMS, ApiView, ProblemAnswer, _checked
from tracking.exports import FORMATS, Wanted, export
from tracking.periods import last_days

DAYS = 30


class ExportQuery(CallQuery, ForUser):
    """Which calls, whose, and in which format."""

    format = Choice(FORMATS, default="csv", help_text="csv, json, ndjson, or focus: CSV in the columns of FOCUS 1.3")


class TheFormatAskedFor(BaseContentNegotiation):
    """`?format=` decides, whatever types the caller says that he accepts."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class ExportView(ApiView):
    """Calls as a file."""

    content_negotiation_class = TheFormatAskedFor

    @extend_schema(
        summary="Export calls",
        parameters=[ExportQuery],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="The file, named by its period."),
            (200, "application/x-ndjson"): OpenApiTypes.STR,
            (200, "application/json"): {"type": "array", "items": {"type": "object"}},
            **{
                (code, "application/problem+json"): OpenApiResponse(ProblemAnswer, description=_PROBLEMS[code])
                for code in (400, 401, 403, 404, 405, 429)
            },
        },
    )
    def get(self, request: Any) -> StreamingHttpResponse:
        """The calls of a period as a file, one record a call, streamed. Without `since`: the last 30 days; without
        `until`: to the end of today, as for a report. `tag:<name>=<value>` filters by a tag.

        Costs are decimal strings in USD, empty (null) while the price is not known.
        """
        query = _checked(ExportQuery, request.query_params)
        end = query["until"] or last_days(timezone.now(), 1).ends_at
        start = query["since"] or last_days(end - timedelta(microseconds=1), DAYS).starts_at
        if start >= end:
            text = "It must come before the end, which is that of today unless you say."
            raise serializers.ValidationError({"since": text})
        names = ("provider", "model", "service", "feature", "analysis", "status", "price_status")
        filters = {name: query[name] or None for name in names}
        more = {"tags": query["tags"], "api_key": query["api_key"]}
        wanted = Wanted(start=start, end=end, user_id=whose(request, query["user"]), **filters, **more)
        made = export(wanted, format=query["format"])
        return StreamingHttpResponse(
            made.pieces,
            content_type=made.content_type,
            headers={"Content-Disposition": f'attachment; filename="{made.filename}"', "Cache-Control": "no-store"},
        )
