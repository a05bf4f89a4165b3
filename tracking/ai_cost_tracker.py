"""Costs that an application computes and reports by itself: for calls that do not go through a metered client.

cost_info = AICostTracker.calculate_anthropic_cost(input_tokens=1000, output_tokens=500, model="claude-sonnet-5")
track_ai_cost(analysis_id=analysis.id, feature="pitch_generation", **cost_info)
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tracking.calculators import _price, _tokens, provider_of
from tracking.events import CallEvent
from tracking.money import from_nanousd, to_nanousd

#: Makes ids of names that are not UUIDs: the same name always has the same one.
_NAMED = uuid.UUID("c0a1f7de-52b9-5d5a-9d0e-5a0c8f2e6b11")


class AICostTracker:
    """The second half of a call's bookkeeping: its cost from its tokens."""

    @staticmethod
    def calculate_anthropic_cost(
        *, input_tokens: int, output_tokens: int, model: str, at: datetime | None = None
    ) -> dict[str, Any]:
        """The cost of a message without caching, by the price book: `cost` (Decimal USD), `model` and `tokens`.

        Raises `ValueError` for tokens that are not whole numbers from 0 on, and
        `tracking.calculators.PriceNotKnownError` for a model without a price.
        """
        tokens = {"input": _tokens(input_tokens, "input_tokens"), "output": _tokens(output_tokens, "output_tokens")}
        meters: dict[str, int | Decimal] = {"input_tokens": tokens["input"], "output_tokens": tokens["output"]}
        receipt = _price(model, meters, at, context_tokens=tokens["input"], provider="anthropic")
        return {"cost": from_nanousd(receipt.total_nanousd), "model": model, "tokens": tokens}


def track_ai_cost(
    *,
    analysis_id: Any,
    feature: str,
    cost: Decimal | int | float | str,
    model: str,
    tokens: Mapping[str, int],
    id: str | uuid.UUID | None = None,
    user: int | str | None = None,
    provider: str | None = None,
    db: Any = None,
) -> str:
    """Record a cost in USD that the caller computed. Returns the id of the ledger row to be.

    `tokens` is {"input": ..., "output": ...}. `user` is a primary key or an email address. With an `id` of the
    caller's own (any text) the same cost is recorded once, however often it is reported. `db` is accepted and not
    used: Costwatch writes on a connection of its own. Raises `ValueError` for a cost or tokens that are negative or
    not numbers; recording itself never fails the caller.
    """
    from tracking import spool

    event = _event(analysis_id, feature, cost, model, tokens, id, user, provider)
    spool.emit(event)
    return event.id


async def atrack_ai_cost(**cost: Any) -> str:
    """`track_ai_cost` for asynchronous code: takes the same arguments, and does not block the event loop."""
    return await asyncio.to_thread(track_ai_cost, **cost)


def _event(
    analysis_id: Any,
    feature: str,
    cost: Decimal | int | float | str,
    model: str,
    tokens: Mapping[str, int],
    id: str | uuid.UUID | None,
    user: int | str | None,
    provider: str | None,
) -> CallEvent:
    if not isinstance(tokens, Mapping) or not {"input", "output"}.issuperset(tokens):
        raise ValueError(f'tokens is {tokens!r}; it must be {{"input": ..., "output": ...}}.')
    into, out = (_tokens(tokens.get(side, 0), f"tokens[{side!r}]") for side in ("input", "output"))
    provider = (provider or provider_of(model)).lower()
    names = ("input_tokens", "output_tokens") if provider == "anthropic" else ("prompt_tokens", "completion_tokens")
    return CallEvent(
        id=_event_id(id),
        at_us=time.time_ns() // 1000,
        provider=provider,
        operation="chat",
        endpoint="",
        source="helper",
        model_asked=str(model),
        model_served=str(model),
        user=user,
        feature=str(feature or ""),
        analysis="" if analysis_id is None else str(analysis_id),
        status="ok",
        quality="exact",
        usage=dict(zip(names, (into, out), strict=True)),
        cost_usd=format(_cost(cost), "f"),
    )


def _event_id(id: str | uuid.UUID | None) -> str:
    if id is None:
        import uuid_utils

        return str(uuid_utils.uuid7())
    try:
        return str(uuid.UUID(str(id)))
    except ValueError:
        return str(uuid.uuid5(_NAMED, str(id)))


def _cost(cost: Decimal | int | float | str) -> Decimal:
    try:
        # A float is taken as it is written (0.1 is a dime), not as the binary fraction that it is.
        amount = from_nanousd(to_nanousd(Decimal(str(cost))))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise ValueError(f"cost is {cost!r}; it must be an amount in USD.") from error
    if amount < 0 or isinstance(cost, bool):
        raise ValueError(f"cost is {cost!r}; it must be an amount in USD that is not negative.")
    return amount
