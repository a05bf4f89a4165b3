"""A request as bounds see it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tracking.bounds.limits import limits_of
from tracking.bounds.types import Bound, Limits
from tracking.wire.requests import Sent

MAX_ANSWERS = 2048
#: OpenAI's tiers that cost more than the standard one
_DEAR_TIERS = frozenset({"priority", "fast"})


@dataclass(slots=True)
class Ask:
    """One request: whose shape it has, who is billed, and what it holds."""

    kind: str  # whose paths and shapes: "openai" or "anthropic"
    provider: str  # who sends the bill
    endpoint: str  # path template
    operation: str
    sent: Sent
    #: the catalogue's context window of a model, None where it lists none
    window_of: Callable[[str], int | None] = field(default=lambda model: None)
    wide: bool = False  # the caller asked for the long context window
    parts: tuple[Any, ...] = ()  # of a form

    @property
    def fields(self) -> dict[str, Any]:
        return self.sent.fields

    @property
    def content(self) -> bytes:
        return self.sent.content

    @property
    def model(self) -> str:
        return self.sent.model

    @property
    def limits(self) -> Limits:
        return self.limits_of(self.model)

    def limits_of(self, model: str) -> Limits:
        """The limits of a model of this provider; its makers' own facts count for clouds that serve Anthropic's."""
        maker = self.provider
        if self.kind == "anthropic":
            maker, model = "anthropic", model.rpartition(".")[2].partition("@")[0]
        return limits_of(provider=maker, model=model, listed_window=self.window_of(model), wide=self.wide)

    def number(self, name: str) -> int | None:
        """A field's whole number, or None; negative ones are refused by the provider, and count as 0 here."""
        value = self.sent.number(name)
        return None if value is None else max(0, value)

    def count(self, name: str) -> int:
        """How many answers were asked for, at least one."""
        return max(1, min(self.number(name) or 1, MAX_ANSWERS))

    def bound(self, **found: Any) -> Bound:
        """A bound of this request."""
        return Bound(self.provider, self.model, **found)

    def with_parts(self, bound: Bound, parts: Iterable[Bound]) -> Bound:
        return replace(bound, parts=(*bound.parts, *parts))


def tiers_of(ask: Ask) -> tuple[str, ...]:
    """The tiers in which it may be billed. A dear one that was asked for must have a price, so it comes first."""
    tier = ask.fields.get("service_tier")
    tier = tier.lower() if isinstance(tier, str) else ""
    speed = ask.fields.get("speed")
    if ask.kind == "anthropic":
        return ("fast", "standard") if speed == "fast" else ("standard",)
    return (tier, "standard") if tier in _DEAR_TIERS else ("standard",)
