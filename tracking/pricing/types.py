"""The words of pricing: a rate, a line, a receipt."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

PriceStatus = Literal["priced", "unpriced", "free", "assumed"]

#: stands for every model of a provider in `RateRow.model`
ANY_MODEL = "*"


@dataclass(frozen=True, slots=True)
class RateRow:
    """The price of one meter of one model, from a moment on. USD `amount` per `per` units of `meter`."""

    id: int
    provider: str
    model: str
    meter: str
    amount: Decimal | None  # None withdraws an earlier row
    per: int
    tier: str = "standard"
    region: str = ""
    variant: str = ""
    above_context_tokens: int = 0  # applies when the call's context_tokens exceed this
    valid_from: datetime | None = None  # None: since ever
    valid_to: datetime | None = None  # exclusive; None: until further notice
    source: str = ""
    own: bool = False  # entered by an admin: wins over the catalogue


@dataclass(frozen=True, slots=True)
class ModelRule:
    """A model of the catalogue and the rule by which names match it."""

    provider: str
    model: str
    match: Mapping[str, Any]
    name: str = ""
    context_window: int | None = None
    deprecated: bool = False  # by the provider; it may still answer


class Line(NamedTuple):
    """One line of a receipt: quantity x rate / per. `amount_usd` is exact, not rounded."""

    meter: str
    quantity: int | Decimal
    rate: Decimal | None
    per: int
    amount_usd: Decimal | None  # None: no rate for this quantity
    rate_id: int | None
    model: str
    variant: str = ""


class Receipt(NamedTuple):
    """The lines of one call's cost. `total_nanousd` is None exactly when `status` is "unpriced"."""

    lines: tuple[Line, ...]
    total_nanousd: int | None
    status: PriceStatus
    reason: str = ""  # why it is unpriced or assumed, in words
    tier: str = "standard"
    region: str = ""
