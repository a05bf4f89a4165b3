"""`/api/v1/check` and `/api/v1/holds`: asking before a call, and setting money aside, for callers in any language."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from budgets import operations, quoting
from budgets.calls import Call
from budgets.errors import HoldNotFound
from budgets.models import Hold
from budgets.refusals import details_of, flat_limit
from tracking.api.access import key_of
from tracking.api.fields import Moment, Strict, Text, UsdInput, UsdText, Whole, usd_text
from tracking.api.ingest import reporter_of
from tracking.api.views import ApiView, Conflict, endpoint
from tracking.bounds import Bound
from tracking.ingestion import ingest
from tracking.items import Invalid, read_item
from tracking.users import emails_of, ids_of

#: How long money may be set aside, in seconds.
MAX_HOLD_S = 7 * 86_400
_NO_HOLD = "There is no such hold."
_NONE = {"amount": Decimal(0), "cost": None, "expires_at": None}
#: The largest body of a planned call, in bytes: the request that will be sent may be part of it.
MAX_BODY_BYTES = 8 * 1024 * 1024


class PlannedCall(Strict):
    """A call that is about to be made."""

    provider = Text(max_length=40, help_text="such as openai or anthropic")
    model = Text(required=False, help_text="the model that will be asked; without: the one that `request` names")
    request = serializers.DictField(
        required=False,
        help_text="the body as it will be sent to `endpoint`: what bounds it is read, as for a metered client, and "
        "nothing of it is kept. Instead of input_tokens, max_output_tokens and meters",
    )
    input_tokens = Whole(min_value=0, max_value=10**12, required=False, help_text="tokens in, at most")
    max_output_tokens = Whole(
        min_value=0, max_value=10**12, required=False, help_text="tokens out, at most; without: the model's own limit"
    )
    meters = serializers.DictField(
        required=False, help_text="further quantities by meter, at most: characters, audio_seconds, images, ..."
    )
    operation = Text(required=False, max_length=40, help_text="such as chat or speech")
    endpoint = Text(required=False, help_text="path at the provider, such as /v1/chat/completions")
    batch = serializers.BooleanField(required=False, default=False, help_text="whether it goes into a batch")
    feature = Text(required=False, allow_blank=True, help_text="what it is for")
    analysis = Text(required=False, allow_blank=True, help_text="the analysis it belongs to")
    tags = serializers.DictField(required=False, help_text="names and texts, at most 50")
    user = Text(required=False, help_text="whose call: id or email; without: yours. Others': by permission")

    def validate(self, attrs: dict) -> dict:
        """The names and quantities are checked as those of an event are."""
        request = attrs.get("request")
        if request is not None:
            self._check_request(request, attrs)
            attrs.setdefault("model", request["model"] if isinstance(request.get("model"), str) else "")
        if not attrs.get("model"):
            raise serializers.ValidationError({"model": "Is missing: the price depends on it."})
        names = ("provider", "model", "operation", "endpoint", "feature", "analysis", "tags", "user", "batch")
        item = {name: attrs[name] for name in names if attrs.get(name) not in (None, "")}
        meters = dict(attrs.get("meters") or {})
        if attrs.get("input_tokens") is not None:
            meters["input_tokens"] = attrs["input_tokens"]
        try:
            values = read_item({**item, "meters": meters} if meters else {**item, "cost_usd": 0})
        except Invalid as error:
            raise serializers.ValidationError({name: [text] for name, text in error.errors.items()}) from None
        return {**attrs, **values, "meters": values.get("meters", {})}

    def _check_request(self, request: dict, attrs: dict) -> None:
        if not attrs.get("endpoint"):
            raise serializers.ValidationError({"endpoint": "Say where the request is sent, as /v1/chat/completions."})
        beside = [name for name in ("input_tokens", "max_output_tokens", "meters") if attrs.get(name) is not None]
        if beside:
            raise serializers.ValidationError(dict.fromkeys(beside, "Is told by the request: leave it out."))
        if attrs.get("model") and request.get("model") not in (None, attrs["model"]):
            raise serializers.ValidationError({"model": "The request names another one."})


class NewHold(PlannedCall):
    """A call for which money is set aside."""

    id = serializers.UUIDField(required=False, help_text="of the call; the same request again holds nothing more")
    amount_usd = UsdInput(required=False, help_text="USD to set aside; without: the most that the call can cost")
    expires_in_s = Whole(
        min_value=1, max_value=MAX_HOLD_S, required=False, help_text="seconds after which it counts as spent, unsettled"
    )


class CheckAnswer(serializers.Serializer):
    """Whether a call would be admitted now. Nothing is held."""

    allowed = serializers.BooleanField(help_text="whether it would be")
    reason = serializers.CharField(help_text="why not; where it would: why its cost is not known, or empty")
    estimated_cost = UsdText(allow_null=True, help_text="USD, at most; null: it has no price")
    max_output_tokens = serializers.IntegerField(allow_null=True, help_text="what was counted on; null: none")
    limit = serializers.DictField(
        allow_null=True, help_text="the limit in the way, and how it stands, as in a 402; null: none"
    )
    resets_at = Moment(allow_null=True, help_text="when that limit resets; null: never, or none is in the way")


class HoldAnswer(serializers.Serializer):
    """Money that is set aside."""

    id = serializers.UUIDField(help_text="of the hold and of its call")
    state = serializers.ChoiceField(
        ("open", "settled", "void", "expired", "none", "unchecked"),
        help_text="open; settled, void or expired: what became of it; none: no limit counts the call, nothing is held; "
        "unchecked: the budgets could not be asked, and the setting ON_GATE_FAILURE lets such calls pass",
    )
    amount = UsdText(help_text="USD set aside")
    cost = UsdText(allow_null=True, help_text="USD that it cost; null: not known yet")
    expires_at = Moment(allow_null=True, help_text="when it counts as spent unless it is settled; null: never")


class CheckView(ApiView):
    """Asking before a call."""

    scopes = {"POST": "call"}
    max_body_bytes = MAX_BODY_BYTES

    @endpoint("Would this call be admitted?", body=PlannedCall, answer=CheckAnswer, problems=(503,))
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """What a call could cost at most, and whether the budgets have room for it now. Holds nothing."""
        now = timezone.now()
        told = quoting.check(_call(request, body, now), _bound(body))
        return {
            "allowed": told.allowed,
            "reason": told.reason,
            "estimated_cost": told.cost,
            "max_output_tokens": told.max_output_tokens,
            "limit": flat_limit(details_of(told.refusal)) if told.refusal else None,
            "resets_at": told.refusal.resets_at if told.refusal else None,
        }


class HoldList(ApiView):
    """Setting money aside."""

    scopes = {"POST": "call"}
    max_body_bytes = MAX_BODY_BYTES

    @endpoint("Set money aside for a call", body=NewHold, answer=HoldAnswer, code=201, problems=(402, 409, 503))
    def post(self, request: Any, query: dict, body: dict) -> dict:
        """Hold the most that the call can cost, in every budget that counts it, or in none: then 402 says which one
        lacks room. Settle it with what the call used, or void it where nothing was billed. The same request with the
        same `id` holds nothing more while the hold is open; 409 where it is not, or was for something else.
        """
        now, hold_id = timezone.now(), body.get("id") or uuid.uuid4()
        expires_at = now + timedelta(seconds=body["expires_in_s"]) if body.get("expires_in_s") else None
        bound, amount = _bound(body), body.get("amount_usd")
        call = replace(_call(request, body, now), asked=quoting.digest_of(bound, amount))
        if body.get("id") and (was := Hold.objects.filter(pk=hold_id).first()):
            return _shown(_repeated(was, call))
        told = quoting.reserve(call, bound, hold_id=hold_id, amount=amount, expires_at=expires_at)
        if told.held is None:
            return {**_NONE, "id": hold_id, "state": "none" if told.checked else "unchecked"}
        held = Hold.objects.get(pk=hold_id)
        return _shown(_repeated(held, call) if told.held.repeated else held)


class HoldSettle(ApiView):
    """The end of a hold: what the call cost."""

    scopes = {"POST": "call"}

    @endpoint("Settle a hold", answer=HoldAnswer, problems=(404, 409, 503))
    def post(self, request: Any, query: dict, hold_id: uuid.UUID) -> dict:
        """Record what the call used: an event as `POST /api/v1/usage` takes it, without `id` and `at`; provider, model,
        feature, analysis, tags and user are those of the hold unless they are given. It settles the hold at its cost.
        """
        if not isinstance(request.data, dict):
            raise serializers.ValidationError("The body must be an event.")
        hold = _hold_of(request, hold_id, missing_ok=True)
        told = {name: value for name, value in request.data.items() if name not in ("id", "at")}
        if hold is not None:
            names = ("provider", "model", "operation", "endpoint", "feature", "analysis", "user")
            was = {name: hold.call[name] for name in names if hold.call.get(name)}
            tags = {name: tag for name, tag in hold.call.get("tags", {}).items() if name != "api_key"}
            told = {**was, **({"tags": tags} if tags else {}), **told, "at": hold.call_at.isoformat()}
        reporter = reporter_of(request)
        if hold is not None:  # nobody's call stays nobody's, and that of a key that key's
            user_id = reporter.user_id if hold.call.get("user") else None
            reporter = replace(reporter, user_id=user_id, api_key=hold.call.get("api_key", ""))
        (result,) = ingest([{**told, "id": str(hold_id)}], reporter=reporter, now=timezone.now())
        if result.status == "invalid":
            raise serializers.ValidationError({name: [text] for name, text in result.errors.items()})
        if result.status == "conflict":
            raise Conflict("The hold was settled before with other content, or it is another account's.")
        after = Hold.objects.filter(pk=hold_id).first()
        if after is None:
            return {**_NONE, "id": hold_id, "state": "none"}
        return _shown(after)


class HoldVoid(ApiView):
    """The end of a hold: nothing was billed."""

    scopes = {"POST": "call"}

    @endpoint("Void a hold", answer=HoldAnswer, problems=(404, 409, 503))
    def post(self, request: Any, query: dict, hold_id: uuid.UUID) -> dict:
        """Let go of the money: only where it is proven that nothing was billed."""
        if _hold_of(request, hold_id).state == Hold.State.EXPIRED:
            raise Conflict("The hold has expired and counts as spent. If it cost nothing, settle it with cost_usd 0.")
        try:
            settled = operations.void(hold_id, now=timezone.now())
        except HoldNotFound:
            raise NotFound(_NO_HOLD) from None
        if settled.state != Hold.State.VOID:
            raise Conflict(f"The hold is {settled.state}: it cannot be voided any more.")
        return _shown(Hold.objects.get(pk=hold_id))


_WAS = {
    Hold.State.SETTLED: "was settled: its call has been paid for",
    Hold.State.VOID: "was voided",
    Hold.State.EXPIRED: "has expired and counts as spent: settle it with what its call used",
}


def _repeated(was: Hold, call: Call) -> Hold:
    """The open hold of a request that is sent again. Raises `Conflict` where nothing is held for that request."""
    asked, before = call.as_json(), dict(was.call)
    if {**asked, "asked": ""} != {**before, "asked": ""}:
        raise Conflict("There is a hold of this id for another call. Use another id, or send none.")
    if was.state != Hold.State.OPEN:
        raise Conflict(f"The hold of this id {_WAS[was.state]}. Nothing is held now: use another id, or send none.")
    if asked["asked"] != before.get("asked"):
        raise Conflict(
            f"The hold of this id is open with {usd_text(was.amount)} USD, for other quantities or another amount than "
            "these. Use another id, or send none; void this one if its call is not made."
        )
    return was


def _bound(body: dict) -> Bound:
    if body.get("request") is None:
        names = ("provider", "model", "meters", "max_output_tokens", "batch")
        return quoting.of_meters(**{name: body.get(name) for name in names})
    try:
        return quoting.of_request(
            provider=body["provider"], endpoint=body["endpoint"], request=body["request"], model=body["model"]
        )
    except ValueError as error:
        raise serializers.ValidationError({"endpoint": str(error)}) from None


def _call(request: Any, body: dict, at: datetime) -> Call:
    """The call as limits see it. Raises `ValidationError` where it is said to be somebody else's without permission."""
    reporter = reporter_of(request)
    user = body.get("user")
    if user is None or user in (reporter.user_id, reporter.email.lower()):
        user = reporter.user_id
    elif not reporter.may_attribute:
        raise serializers.ValidationError({"user": "It must be yourself, without the permission to add usage logs."})
    else:
        user = _account_of(user)
    key = key_of(request)
    return Call(
        at=at,
        user=user,
        provider=body["provider"],
        model=body["model"],
        feature=body.get("feature", ""),
        analysis=body.get("analysis", ""),
        api_key=key,
        tags={**body.get("tags", {}), **({"api_key": key} if key else {})},
        operation=body.get("operation", ""),
        endpoint=body.get("endpoint", ""),
    )


def _account_of(user: int | str) -> int:
    """The id of an account. Raises `ValidationError`: money held for nobody could not be settled."""
    found = ids_of([user]).get(user)
    if found is None or not emails_of([found]):
        raise serializers.ValidationError({"user": f"There is no account {user}. Give the id or email of one."})
    return found


def _hold_of(request: Any, hold_id: uuid.UUID, *, missing_ok: bool = False) -> Hold | None:
    """The hold, which must be one of the caller's, or of anybody where he may report for others."""
    hold = Hold.objects.filter(pk=hold_id).first()
    reporter = reporter_of(request)
    if hold is None:
        if missing_ok:
            return None
        raise NotFound(_NO_HOLD)
    if hold.call.get("user") not in (reporter.user_id, reporter.email.lower()) and not reporter.may_attribute:
        raise NotFound(_NO_HOLD)
    return hold


def _shown(hold: Hold) -> dict:
    is_open = hold.state == Hold.State.OPEN
    return {
        "id": hold.pk,
        "state": hold.state,
        "amount": hold.amount,
        "cost": None if is_open or not hold.cost_known else hold.cost,
        "expires_at": hold.expires_at,
    }
