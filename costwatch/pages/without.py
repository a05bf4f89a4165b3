"""What pages say of calls without a price: which of them a price would help, and of which nobody knows the usage."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from costwatch.formatting import change
from tracking.api.access import sees_all
from tracking.unpriced import Reasons

#: Models that are named with a link to their prices.
MOST_NAMED = 3
#: From so many of the calls on, those without a price make a comparison say nothing.
NOTABLE = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class Without:
    """Counts for `components/without.html`. What was not looked at is taken for calls that lack a price."""

    priceable: int
    unknown: int
    complete: bool
    reason: str
    models: tuple[tuple[str, str], ...]  # (name, the page where it is priced), for those who may
    more: int  # models that are not named

    @property
    def calls(self) -> int:
        return self.priceable + self.unknown


def without(total: int, found: Reasons, user: Any) -> Without | None:
    """What is said of `total` calls without a price; None where there are none."""
    if total <= 0:
        return None
    unknown = min(found.unknown, total)
    lacking = {name: why for name, why in found.models.items() if why.priceable}
    named: list[tuple[str, str]] = []
    if lacking and may_price(user):
        ranked = sorted(lacking, key=lambda name: -lacking[name].priceable)
        named = [(model, price_address(provider, model)) for provider, model in ranked if model][:MOST_NAMED]
        named = [(model, link) for model, link in named if link]
    reason = next((why.reason for why in lacking.values() if why.reason), "")
    return Without(
        priceable=total - unknown,
        unknown=unknown,
        complete=found.complete,
        reason=reason if len(lacking) == 1 else "",
        models=tuple(named),
        more=len(lacking) - len(named) if named else 0,
    )


def may_price(user: Any) -> bool:
    """Whether an account may enter prices here: staff who see everybody's calls and may add rates."""
    return sees_all(user) and user.has_perm("tracking.add_rate")


def price_address(provider: str, model: str) -> str:
    """Where a model is priced; "" where the pages of another project leave that one out."""
    try:
        return f"{reverse('price_model')}?{urlencode({'provider': provider, 'model': model})}"
    except NoReverseMatch:
        return ""


def compared(now: Any, before: Decimal, *, calls_before: int, unpriced_before: int) -> tuple[dict | None, str]:
    """(change, why there is none): a share of sums that leave out a good part of the calls would be misleading.

    `now` has `cost`, `calls` and `unpriced`.
    """
    if unpriced_before and unpriced_before > calls_before * NOTABLE:
        return None, "unpriced before"
    if now.cost and now.unpriced > now.calls * NOTABLE:
        return None, "unpriced now"
    return change(now.cost, before), "" if before else "new"
