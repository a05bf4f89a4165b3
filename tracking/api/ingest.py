"""Sending usage: `POST /api/v1/usage`. One event, up to 1000 in a list, or one a line (NDJSON)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.response import Response

from tracking.api.access import key_of
from tracking.api.fields import Question, UsdInput
from tracking.api.parsers import read_bounded, why_not_json
from tracking.api.views import _PROBLEMS, ApiView, ProblemAnswer, Unavailable, _checked
from tracking.events import SERVICE_BY_OPERATION
from tracking.ingestion import MAX_ITEMS, Reporter, Result, ingest
from tracking.items import STATUSES, Unread

REPORT_FOR_OTHERS = "tracking.add_apiusagelog"
#: The largest body of events, in bytes.
MAX_BODY_BYTES = 8 * 1024 * 1024
_AWAY = "The database does not answer. Send the same again shortly: nothing is counted twice."
_OUTCOMES = {"recorded": "recorded", "duplicate": "duplicates", "conflict": "conflicts", "invalid": "invalid"}


class Conflict(APIException):
    """The id was used for another call."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class EventsParser(BaseParser):
    """JSON, quickly: each event is checked field by field afterwards."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        found = _loads(read_bounded(stream, parser_context))
        if isinstance(found, dict) and found.keys() == {"events"}:
            found = found["events"]
        if not isinstance(found, list | dict):
            raise ParseError("The body must be an event, or a list of events.")
        return found


class Lines(list):
    """Events that were sent one a line; `numbers` are those of their lines, from 1."""

    def __init__(self, events: list[Any], numbers: list[int]) -> None:
        super().__init__(events)
        self.numbers = numbers


class LinesParser(BaseParser):
    """One event a line. A line that is no JSON is an event that is not taken; it spoils no other."""

    media_type = "application/x-ndjson"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Lines:
        lines = read_bounded(stream, parser_context).splitlines()
        if len(lines) > 2 * MAX_ITEMS:
            raise _too_many(len(lines))
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        return Lines([_line(number, line) for number, line in numbered], [number for number, _ in numbered])


class NdjsonParser(LinesParser):
    """The same by a name that is used too."""

    media_type = "application/ndjson"


class JsonlParser(LinesParser):
    """And by another one."""

    media_type = "application/jsonl"


def _loads(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"The body is not valid JSON: {why_not_json(error)}") from None


def _line(number: int, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return Unread(f"line {number} is not valid JSON: {why_not_json(error)}")


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number.")


def _too_many(count: int) -> APIException:
    return serializers.ValidationError(f"At most {MAX_ITEMS} events are taken at a time; these are {count}.")


class EventBody(serializers.Serializer):
    """A call that was made elsewhere. What it used is told by `usage`, `meters` or `cost_usd`."""

    id = serializers.CharField(
        required=False, max_length=200, help_text="of your own: the same again is counted once. A UUID, or any text"
    )
    at = serializers.DateTimeField(
        required=False, help_text="when it began: ISO 8601 with offset, or seconds since 1970; without: now"
    )
    provider = serializers.CharField(max_length=40, help_text="such as openai or anthropic")
    model = serializers.CharField(required=False, max_length=200, help_text="the model that answered")
    model_asked = serializers.CharField(required=False, max_length=200, help_text="the model that was asked for")
    operation = serializers.ChoiceField(
        list(SERVICE_BY_OPERATION), required=False, help_text="without: told from the endpoint and the quantities"
    )
    endpoint = serializers.CharField(required=False, max_length=200, help_text="path at the provider, without ids")
    usage = serializers.DictField(required=False, help_text="the usage as the provider reported it; texts are dropped")
    meters = serializers.DictField(
        required=False, help_text="instead of usage: disjoint quantities by meter, in its units (tokens, seconds, ...)"
    )
    facts = serializers.DictField(
        required=False, help_text="what the price depends on beside the usage: service_tier, characters, images, ..."
    )
    cost_usd = UsdInput(required=False, help_text="USD, where the cost is known: it is taken, and marked as given")
    batch = serializers.BooleanField(required=False, help_text="whether it is billed at the rates of batches")
    user = serializers.CharField(
        required=False, help_text="whose call: id or email address; without: yours. Others': by permission"
    )
    feature = serializers.CharField(required=False, max_length=200, help_text="what it was for")
    analysis = serializers.CharField(required=False, max_length=200, help_text="the analysis it belongs to")
    tags = serializers.DictField(child=serializers.CharField(), required=False, help_text="names and texts, at most 50")
    request_id = serializers.CharField(required=False, max_length=200, help_text="the provider's name of the attempt")
    response_id = serializers.CharField(required=False, max_length=200, help_text="the provider's name of the result")
    attempt = serializers.IntegerField(required=False, min_value=1, max_value=1000, help_text="1: the first try")
    status = serializers.ChoiceField(list(STATUSES), required=False, help_text="how it ended; without: ok")
    http_status = serializers.IntegerField(required=False, min_value=100, max_value=599, help_text="of the answer")
    error = serializers.CharField(required=False, max_length=100, help_text="code of the error, never its text")
    stream = serializers.BooleanField(required=False, help_text="whether the answer was streamed")
    latency_ms = serializers.FloatField(required=False, min_value=0, help_text="milliseconds until the last byte")
    ttft_ms = serializers.FloatField(required=False, min_value=0, help_text="milliseconds until the first content")


class EventResult(serializers.Serializer):
    """What became of one event."""

    index = serializers.IntegerField(help_text="its place in what was sent, from 0; empty lines are not counted")
    line = serializers.IntegerField(required=False, help_text="its line, from 1, of events that are sent one a line")
    id = serializers.CharField(help_text="of the call; empty where the event could not be read")
    status = serializers.ChoiceField(list(_OUTCOMES), help_text="what became of it")
    code = serializers.IntegerField(help_text="201 recorded, 200 known already, 409 other content, 400 not valid")
    errors = serializers.DictField(child=serializers.CharField(), help_text="what is wrong, by field")
    warnings = serializers.DictField(
        child=serializers.CharField(),
        help_text="what was taken and is hardly meant, by field: a user without an account, whose call is nobody's",
    )


class EventsAnswer(serializers.Serializer):
    """What became of the events."""

    recorded = serializers.IntegerField(help_text="events that are new")
    duplicates = serializers.IntegerField(help_text="events that were known already: nothing changed")
    conflicts = serializers.IntegerField(help_text="events whose id is that of another call: nothing changed")
    invalid = serializers.IntegerField(help_text="events that were not taken")
    results = EventResult(many=True, help_text="of each event, in their order")


_EITHER = PolymorphicProxySerializer(
    component_name="EventOrEvents",
    serializers={"one": EventResult, "several": EventsAnswer},
    resource_type_field_name=None,
)


class SendsUsage(ApiView):
    """Takes usage in."""

    scopes = {"POST": "ingest"}
    parser_classes = [EventsParser, LinesParser, NdjsonParser, JsonlParser]
    max_body_bytes = MAX_BODY_BYTES

    @extend_schema(
        summary="Send usage",
        request={"application/json": EventBody, "application/x-ndjson": EventBody},
        responses={
            200: OpenApiResponse(_EITHER, description="One event that was known; or a list, each one taken."),
            201: OpenApiResponse(EventResult, description="One event, recorded."),
            207: OpenApiResponse(EventsAnswer, description="A list, some of which were not taken: `results` says why."),
            **{
                (code, "application/problem+json"): OpenApiResponse(
                    ProblemAnswer, description=_PROBLEMS.get(code) or text
                )
                for code, text in {
                    400: "", 401: "", 403: "", 405: "", 406: "", 413: "", 415: "", 429: "",
                    409: "One event, whose id is that of another call.",
                    503: "The database does not answer: send the same again.",
                }.items()
            },
        },
    )  # fmt: skip
    def post(self, request: Any) -> Response:
        """One event, or up to 1000: a list, `{"events": [...]}`, or one a line as `application/x-ndjson`.

        The same `id` with the same content is counted once, so a request may be sent again. A bad event spoils no
        other. Calls are taken up to 40 days late and 5 minutes early.
        """
        _checked(Question, request.query_params)
        sent = request.data
        events = sent if isinstance(sent, list) else [sent]
        if len(events) > MAX_ITEMS:
            raise _too_many(len(events))
        try:
            results = ingest(events, reporter=reporter_of(request), now=timezone.now())
        except (OperationalError, InterfaceError) as error:
            raise Unavailable(_AWAY) from error
        return _of_several(results, sent) if isinstance(sent, list) else _of_one(results[0])


def reporter_of(request: Any) -> Reporter:
    """Who reports by this request, and for whom he may."""
    user = request.user
    return Reporter(
        user_id=user.pk,
        email=user.email,
        may_attribute=bool(user.is_staff and user.has_perm(REPORT_FOR_OTHERS)),
        api_key=key_of(request),
    )


def _of_one(result: Result) -> Response:
    if result.status == "invalid":
        raise serializers.ValidationError({name: [text] for name, text in result.errors.items()})
    if result.status == "conflict":
        raise Conflict(f"id {result.errors['id']}.")
    return Response(_shown(result), status=result.code)


def _of_several(results: Sequence[Result], sent: list[Any]) -> Response:
    counts = Counter(result.status for result in results)
    body: dict[str, Any] = {name: counts[outcome] for outcome, name in _OUTCOMES.items()}
    numbers = sent.numbers if isinstance(sent, Lines) else None
    body["results"] = [_shown(result, numbers[result.index] if numbers else None) for result in results]
    return Response(body, status=207 if counts["conflict"] or counts["invalid"] else 200)


def _shown(result: Result, line: int | None = None) -> dict[str, Any]:
    return {
        "index": result.index,
        **({"line": line} if line is not None else {}),
        "id": result.id,
        "status": result.status,
        "code": result.code,
        "errors": result.errors,
        "warnings": result.warnings,
    }
