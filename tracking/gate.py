"""The gate that a call passes before it is sent, and that hears what became of it. Quick to import.

`settings.GATE` names a class with the methods of `Gate` ("budgets.gate.BudgetGate"); without it all are admitted.
The gate is asked before an attempt is sent (`reserve`), and told by the recorder, inside the transaction that writes
the ledger, what each attempt cost (`settle_many`).
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tracking.django_setup import ensure_django

if TYPE_CHECKING:
    from tracking.bounds import Ask

#: ledger: a new row; expire: the same, of status unknown; correction: a row that corrects this one; void: nothing is
#: billed under this id; pending: the result is not known yet, keep its hold; refused: the gate refused it, for `window`
Verb = Literal["ledger", "expire", "correction", "void", "pending", "refused"]


@dataclass(slots=True)
class Attempt:
    """What the gate is asked about: one attempt that is about to be sent."""

    id: str  # of the hold: the attempt's own
    at_us: int
    provider: str
    operation: str
    endpoint: str
    model: str
    #: what bounds it; made only where a limit applies
    ask: Callable[[], Ask]
    user: int | str | None = None
    feature: str = ""
    analysis: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    hold_s: float = 900.0  # how long its money is held, unless something is heard of it


@dataclass(frozen=True, slots=True)
class Admitted:
    """The attempt may be sent. `max_tokens`: with this maximum of output written into `field` of the request."""

    held: bool = False
    field: str = ""
    max_tokens: int | None = None
    flags: tuple[str, ...] = ()


FREELY = Admitted()


class Refused(Exception):  # noqa: N818 - what happened to the call, not to us
    """The attempt may not be sent. `details` are JSON: the limit, what is spent, held, remains, when it resets.

    `window` is the gate's own name for what had no room: the recorder tells it, so that refusals are counted there.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        details: Mapping[str, Any],
        retry_after_s: int | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status  # 402 refused, 503 it cannot be checked
        self.code = code
        self.details = details
        self.retry_after_s = retry_after_s
        self.window = window


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the ledger has just been told of a call. `cost` in USD, None where it is not known or has no price."""

    id: str
    verb: Verb
    cost: Decimal | None
    at: datetime
    user_id: int | None = None
    provider: str = ""
    model_asked: str = ""
    model_served: str = ""
    feature: str = ""
    analysis: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    operation: str = ""
    endpoint: str = ""
    window: int | None = None  # of one that was refused


class Gate(Protocol):
    """Decides whether calls are sent. All methods may be called from any thread."""

    def reserve(self, attempt: Attempt) -> Admitted:
        """Admit the attempt, its money held, or raise `Refused`. Costs no round trip where no limit applies."""

    async def areserve(self, attempt: Attempt) -> Admitted:
        """The same without blocking the event loop."""

    def void(self, hold_id: str) -> None:
        """Nothing was sent under this hold: let it go soon. Never raises and does not wait."""

    def held_for_others(self, users: Mapping[str, int | str | None]) -> set[str]:
        """Of these calls (id: whose it is said to be), those whose money is held for somebody else."""

    def open_ahead(self, outcomes: Iterable[Outcome], *, at: datetime) -> None:
        """These will be settled: before the transaction that writes them. Never raises."""

    def settle_many(self, outcomes: Iterable[Outcome], *, now: datetime) -> None:
        """Count what calls cost, within the caller's transaction on the default connection."""


class OpenGate:
    """Admits all."""

    def reserve(self, attempt: Attempt) -> Admitted:
        return FREELY

    async def areserve(self, attempt: Attempt) -> Admitted:
        return FREELY

    def void(self, hold_id: str) -> None:
        """Nothing is held."""

    def held_for_others(self, users: Mapping[str, int | str | None]) -> set[str]:
        return set()

    def open_ahead(self, outcomes: Iterable[Outcome], *, at: datetime) -> None:
        """Nothing is counted."""

    def settle_many(self, outcomes: Iterable[Outcome], *, now: datetime) -> None:
        """Nothing is counted."""


OPEN = OpenGate()
_gates: dict[str, Gate] = {}
_lock = threading.Lock()


def current() -> Gate:
    """The gate that `settings.GATE` names. Raises what keeps the settings or the gate from being loaded."""
    from tracking.spool import settings_of

    name = getattr(settings_of(), "GATE", "")
    if not name:
        return OPEN
    gate = _gates.get(name)
    if gate is None:
        with _lock:
            gate = _gates.get(name) or _gates.setdefault(name, _load(name))
    return gate


def is_loaded() -> bool:
    """Whether `current` takes no set-up of Django."""
    return bool(_gates)


def _load(name: str) -> Gate:
    ensure_django()
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)()


def facts_of(refused: Refused) -> dict[str, Any]:
    """What the event of a refused call says of it: nothing was sent, and which window had no room."""
    return {"sent": False} if refused.window is None else {"sent": False, "refused_by": refused.window}


def unavailable(message: str) -> Refused:
    """The refusal of a call whose limits cannot be checked."""
    return Refused(message, status=503, code="budget_unavailable", details={})
