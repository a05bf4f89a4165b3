"""What a call that is planned elsewhere could cost at most, and whether it would be admitted: for other languages.

The same bounds, prices and policies as for a metered client, but that no maximum can be written into a request which
is sent by somebody else: where a limit says `cap`, the model's own limit of output counts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from budgets import book, operations
from budgets.calls import Call
from budgets.errors import BudgetExceeded, BudgetUnavailable, Refusal
from budgets.operations import Held
from budgets.policy import NotBounded, Question
from budgets.refusals import not_bounded
from tracking.bounds import Ask, Bound, Output, Quantity, bound
from tracking.bounds.limits import limits_of
from tracking.pricing import book as prices
from tracking.wire import endpoints
from tracking.wire.requests import Sent

logger = logging.getLogger(__name__)

#: USD: no limit has room for it.
_MORE_THAN_ANY = Decimal(10**9)
_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a planned call would be admitted now."""

    allowed: bool
    reason: str  # why not; where it would: why its cost is not known, or ""
    cost: Decimal | None  # USD at most; None: it has no bound or no price
    max_output_tokens: int | None  # what was counted on; None: the call has no such output
    refusal: Refusal | None = None  # the limit that stands in the way


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is held for a planned call: None where nothing is. Not `checked`: the budgets could not be asked."""

    held: Held | None
    max_output_tokens: int | None = None
    checked: bool = True


def of_request(*, provider: str, endpoint: str, request: Mapping[str, Any], model: str = "") -> Bound:
    """The bound of a request as it will be sent to `endpoint`, a path at the provider. Nothing of it is kept.

    Raises `ValueError` where nothing is known of such a path.
    """
    kinds = ("anthropic", "openai") if provider == "anthropic" else ("openai", "anthropic")
    found = [(kind, endpoints.find(kind=kind, method="POST", path=endpoint)) for kind in kinds]
    kind, known = next(((k, e) for k, e in found if e is not None and e.operation != "other"), (kinds[0], None))
    if known is None:
        raise ValueError(f"{endpoint} is no path of requests that are billed, such as /v1/chat/completions.")
    body = json.dumps(request, ensure_ascii=False, separators=(",", ":"), default=float)
    named = request.get("model")
    sent = Sent(fields=dict(request), content=body.encode(), model=named if isinstance(named, str) else model)
    rates = prices.current()

    def window_of(name: str) -> int | None:
        rule = rates.resolve(provider, name)
        return rule.context_window if rule is not None else None

    wide = "context-1m" in str(request.get("betas") or "")
    asked = Ask(kind, provider, known.name, known.operation, sent, window_of=window_of, wide=wide)
    return _priced_first(_uncapped(bound(asked)))


def of_meters(
    *, provider: str, model: str, meters: Mapping[str, Any], max_output_tokens: int | None = None, batch: bool = False
) -> Bound:
    """The bound of these meters. Where input tokens are given and no output, the model's own limit of output counts."""
    amounts = {name: Decimal(str(n)) if isinstance(n, float) else n for name, n in meters.items()}
    found = Bound(
        provider,
        model,
        ways=(tuple(Quantity((name,), amount) for name, amount in amounts.items()),),
        context_tokens=int(sum(amounts.get(name, 0) for name in _INPUT)),
        tiers=("batch",) if batch else ("standard",),
    )
    if "output_tokens" in amounts:
        return found
    if max_output_tokens is not None:
        return replace(found, output=Output(max_output_tokens, given=True))
    if "input_tokens" not in amounts or "embedding" in model:
        return found
    known = prices.current().resolve(provider, model)
    window = known.context_window if known is not None else None
    most = limits_of(provider=provider, model=model, listed_window=window).output
    if most is None:
        return _priced_first(found.without("nothing bounds its output: give max_output_tokens"))
    return replace(found, output=Output(most))


def digest_of(asked: Bound, amount: Decimal | None) -> str:
    """What tells a request for money from another one: what the call may use at most, or the amount that is named.

    Not what that costs: a price may change between a request and its repetition.
    """
    ways = tuple(tuple(sorted(way, key=repr)) for way in asked.ways)
    named = format(amount.normalize(), "f") if amount is not None else ""
    return hashlib.sha256(repr((replace(asked, ways=ways), named)).encode()).hexdigest()[:32]


def check(call: Call, asked: Bound) -> Checked:
    """Whether `reserve` would admit the call now. Holds nothing."""
    try:
        question = _question(call, asked)
        told = {"cost": question.worst.cost, "max_output_tokens": _output_of(asked)}
        try:
            amount = question.amount().usd
        except NotBounded as error:
            refusal = operations.check(call, amount=_MORE_THAN_ANY)
            return Checked(False, not_bounded(error, refusal).message, **told, refusal=refusal)
        refusal = operations.check(call, amount=amount)
    except BudgetUnavailable:
        _let_pass(call)
        return Checked(True, "The budgets could not be checked.", None, _output_of(asked))
    unknown = f"What it costs is not known: {question.worst.reason}." if question.worst.cost is None else ""
    return Checked(refusal is None, refusal.message if refusal else unknown, **told, refusal=refusal)


def reserve(
    call: Call, asked: Bound, *, hold_id: uuid.UUID, amount: Decimal | None, expires_at: datetime | None
) -> Reserved:
    """Hold the most that the call can cost, or `amount` USD where that is given.

    Raises `BudgetExceeded`; `tracking.gate.Refused` where a hard limit applies and nothing says what the call could
    cost; `BudgetUnavailable` where a hard limit cannot be checked, unless `ON_GATE_FAILURE` lets such calls pass.
    """
    try:
        if amount is None:
            try:
                amount = _question(call, asked).amount().usd
            except NotBounded as error:
                raise not_bounded(error, operations.check(call, amount=_MORE_THAN_ANY)) from None
        held = operations.reserve(call, hold_id=hold_id, amount=amount, expires_at=expires_at)
    except BudgetExceeded as error:
        operations.note_refused(error.refusal, at=call.at)
        raise
    except BudgetUnavailable:
        _let_pass(call)
        return Reserved(None, _output_of(asked), checked=False)
    return Reserved(held, _output_of(asked))


def _question(call: Call, asked: Bound) -> Question:
    return Question(asked, call, [match for match in book.matches(call) if match.limit.hard and match.enforced])


def _let_pass(call: Call) -> None:
    """Within an `except`: goes on only where calls may be made that no budget was asked about."""
    if settings.ON_GATE_FAILURE != "allow":
        raise  # noqa: PLE0704
    logger.error("Budgets cannot be checked: a call to %s is ADMITTED UNCHECKED (ON_GATE_FAILURE).", call.provider)


def _priced_first(found: Bound) -> Bound:
    """Where nothing bounds a call of a model that has no price, that is told first: a maximum alone would not help."""
    if not found.problem or prices.current().resolve(found.provider, found.model) is not None:
        return found
    return found.without(f"no prices for {found.provider} model {found.model!r}, and {found.problem}")


def _output_of(asked: Bound) -> int | None:
    return asked.output.tokens if asked.output is not None else None


def _uncapped(found: Bound) -> Bound:
    return replace(found, output=replace(found.output, field="")) if found.output is not None else found
