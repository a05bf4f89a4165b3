"""`/api/v1/usage`: calls, and one call with its receipt. (Sending usage: `tracking.api.ingest`.)"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from tracking import queries
from tracking.api.access import sees_all, whose
from tracking.api.fields import Choice, ForUser, Moment, Page, Text, UsdText, When
from tracking.api.ingest import SendsUsage
from tracking.api.names import Provider, Tagged
from tracking.api.views import ApiView, endpoint
from tracking.events import SERVICE_BY_OPERATION, STATUSES
from tracking.lists import Found, Where, newest
from tracking.models import PriceStatus
from tracking.rows import EARLIEST

SERVICES = tuple(dict.fromkeys([*SERVICE_BY_OPERATION.values(), "batch"]))


class CallQuery(Tagged):
    """Which calls. What is left out is not asked for. `tag:<name>=<value>` filters by a tag."""

    service = Choice(SERVICES, default="", help_text="the product line")
    model = Text(default="", help_text="the exact model")
    provider = Provider(help_text="such as openai or anthropic")
    feature = Text(default="", help_text="what they were for")
    analysis = Text(default="", help_text="the key of the analysis they belong to")
    api_key = Text(default="", help_text="the API key that they were reported with: its public id")
    status = Choice(STATUSES, default="", help_text="how they ended, as it is known by now")
    price_status = Choice(PriceStatus.values, default="", help_text="whether their price is known by now")
    since = When(default=None, help_text="from this day or moment on")
    until = When(default=None, help_text="up to this day or moment, which is not part of it")

    def validate(self, attrs: dict) -> dict:
        if attrs.get("since") and attrs.get("until") and attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": "It must come after since."})
        return attrs


class UsageQuery(CallQuery, ForUser, Page):
    """Which calls, whose, and which page of them."""


_FILTERS = ("provider", "model", "service", "feature", "analysis", "status", "price_status")
#: Times that every call lies between (see `tracking.rows`).
_BEGINNING, _AHEAD = EARLIEST, timedelta(days=3)


def page_of_calls(request: Any, query: dict[str, Any]) -> Found:
    """A page of calls that the caller may see. Raises `ValidationError` for a cursor that is none."""
    where = Where(
        since=query["since"] or _BEGINNING,
        until=query["until"] or timezone.now() + _AHEAD,
        user_id=whose(request, query["user"]),
        filters={name: query[name] for name in _FILTERS if query[name]},
        tags=query["tags"],
        api_key=query["api_key"],
    )
    try:
        return newest(where, limit=query["limit"], before=query["cursor"] or None)
    except ValueError:
        raise serializers.ValidationError({"cursor": "This is not a cursor of this list."}) from None


class CallAnswer(serializers.Serializer):
    """One call, its corrections included."""

    id = serializers.UUIDField(help_text="its id")
    occurred_at = Moment(help_text="when it began")
    provider = serializers.CharField(help_text="who was called")
    model = serializers.CharField(help_text="the exact model")
    operation = serializers.CharField(help_text="what was asked of it")
    endpoint = serializers.CharField(help_text="the address at the provider, without ids")
    service = serializers.CharField(help_text="the product line")
    source = serializers.CharField(help_text="how Costwatch heard of it: sdk, websocket, batch, api, otel, ...")
    user_id = serializers.IntegerField(allow_null=True, help_text="whose it was: the id of an account; null: nobody's")
    feature = serializers.CharField(help_text="what it was for")
    analysis_id = serializers.CharField(help_text="the analysis it belongs to")
    tags = serializers.DictField(child=serializers.CharField(), help_text="its tags, by name")
    status = serializers.CharField(help_text="how it ended")
    http_status = serializers.IntegerField(
        allow_null=True, help_text="the HTTP status of the answer; null: there was none"
    )
    error = serializers.CharField(help_text="the code or class of the error")
    quality = serializers.CharField(help_text="how sure its usage is: exact, estimated, partial or none")
    stream = serializers.BooleanField(help_text="whether the answer was streamed")
    attempt = serializers.IntegerField(help_text="1 for the first try")
    latency_ms = serializers.IntegerField(
        allow_null=True, help_text="milliseconds until the last byte; null: not known"
    )
    ttft_ms = serializers.IntegerField(
        allow_null=True, help_text="milliseconds until the first content; null: not known"
    )
    tier = serializers.CharField(help_text="the tier it was served in")
    calls = serializers.IntegerField(help_text="1; 0 where it was taken back")
    input_tokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    cache_read_tokens = serializers.IntegerField(help_text="tokens in that were read from a cache")
    cache_write_tokens = serializers.IntegerField(help_text="tokens in that were written to a cache")
    output_tokens = serializers.IntegerField(help_text="tokens out, reasoning included")
    reasoning_tokens = serializers.IntegerField(help_text="tokens of reasoning")
    audio_tokens = serializers.IntegerField(help_text="tokens of sound, in and out")
    audio_ms = serializers.IntegerField(help_text="milliseconds of sound billed by duration")
    characters = serializers.IntegerField(help_text="characters spoken")
    images = serializers.IntegerField(help_text="images made")
    flags = serializers.ListField(child=serializers.CharField(), help_text="what is worth knowing about it")
    cost = UsdText(allow_null=True, help_text="USD; null: it has no price yet")
    price_status = serializers.CharField(help_text="priced, unpriced, free or assumed")
    corrected = serializers.BooleanField(help_text="whether a later row changed it")


class CallsAnswer(serializers.Serializer):
    """A page of calls, the newest first."""

    usage = CallAnswer(many=True, help_text="the calls")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class LineAnswer(serializers.Serializer):
    """A line of a receipt: quantity x rate / per = amount."""

    meter = serializers.CharField(help_text="what is billed")
    variant = serializers.CharField(help_text="which kind of it, such as the size of an image")
    model = serializers.CharField(help_text="the model whose rate it is")
    quantity = serializers.CharField(help_text="how much, in units of the meter, as a decimal string")
    rate = serializers.CharField(allow_null=True, help_text="USD for `per` units, as a decimal string; null: not known")
    per = serializers.IntegerField(help_text="units that the rate is for")
    amount_usd = serializers.CharField(
        allow_null=True, help_text="USD, unrounded, as a decimal string; null: not known"
    )
    rate_id = serializers.IntegerField(allow_null=True, help_text="the rate in the price book; null: none")


class ReceiptAnswer(serializers.Serializer):
    """How a cost is made up. Empty for a call whose result is not known yet."""

    status = serializers.CharField(
        allow_null=True, default=None, help_text="priced, unpriced, free or assumed; null: no result yet"
    )
    total_usd = serializers.CharField(
        default=None, allow_null=True, help_text="USD, as a decimal string; null: not known"
    )
    reason = serializers.CharField(default="", help_text="why it has no price, or is free or assumed")
    tier = serializers.CharField(allow_null=True, default=None, help_text="the tier of the rates; null: none was used")
    region = serializers.CharField(default="", help_text="the region of the rates")
    lines = LineAnswer(many=True, default=(), help_text="meter by meter")


class CorrectionAnswer(serializers.Serializer):
    """A later row that changed the call."""

    id = serializers.UUIDField(help_text="its id")
    recorded_at = Moment(help_text="when it was written")
    cost = UsdText(help_text="USD that it adds; less than 0: that it takes back")
    price_status = serializers.CharField(help_text="of the row")


class CallDetailAnswer(CallAnswer):
    """One call with everything that explains it."""

    request_id = serializers.CharField(help_text="the provider's name of the attempt")
    response_id = serializers.CharField(help_text="the provider's name of the result")
    recorded_at = Moment(help_text="when it was written")
    meters = serializers.DictField(help_text="the disjoint quantities that are billed, in units of each meter")
    raw_usage = serializers.JSONField(
        allow_null=True, help_text="the usage as the provider reported it; null: it did not"
    )
    receipt = ReceiptAnswer(help_text="how its cost is made up")
    corrections = CorrectionAnswer(many=True, help_text="what changed it, the oldest first")


class UsageList(SendsUsage):
    """The calls."""

    @endpoint("List calls", query=UsageQuery, answer=CallsAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Calls, the newest first. `tag:<name>=<value>` filters by a tag.

        A page costs the same however many calls there are: it may be shorter than `limit`, or empty, where what is
        filtered by is rare. `next` goes on from where it stopped looking; the list ends where `next` is null.
        """
        page = page_of_calls(request, query)
        return {"usage": page.calls, "next": page.next}


class UsageDetail(ApiView):
    """One call."""

    @endpoint("One call with its receipt", answer=CallDetailAnswer, problems=(404,))
    def get(self, request: Any, query: dict, call_id: Any) -> dict:
        """A call, how its cost is made up, and what corrected it."""
        detail = queries.call(call_id, user_id=None if sees_all(request.user) else request.user.pk)
        if detail is None:
            raise NotFound("There is no such call.")
        row = detail.row
        return {
            **{name: getattr(detail.call, name) for name in CallAnswer().fields},
            **{
                name: getattr(row, name) for name in ("request_id", "response_id", "recorded_at", "meters", "raw_usage")
            },
            "receipt": detail.receipt,
            "corrections": detail.corrections,
        }
