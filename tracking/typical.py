"""What typical sessions of a voice-coaching application cost: stated quantities, priced from the book.

docs/typical-sessions.md shows the same figures; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracking.calculators import (
    Estimate,
    calculate_gpt4o_cost,
    calculate_realtime_api_cost,
    calculate_tts_cost,
    calculate_whisper_cost,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a session does, and the quantities it is priced by."""

    what: str
    calculate: Callable[..., Estimate]
    quantities: tuple[int, ...]

    def cost(self, at: datetime) -> Decimal:
        """USD, by the prices in force at `at`. Raises `PriceNotKnownError` where one is missing."""
        return self.calculate(*self.quantities, at=at).cost


@dataclass(frozen=True, slots=True)
class Session:
    """A typical session, and how many of them such a user has in a month."""

    name: str
    steps: tuple[Step, ...]
    a_month: int

    def cost(self, at: datetime) -> Decimal:
        """USD for one session, by the prices in force at `at`."""
        return sum((step.cost(at) for step in self.steps), Decimal(0))


def _session(name: str, a_month: int, *, minutes: int, chat: tuple, characters: int, coaching: tuple) -> Session:
    read, written, heard, spoken = coaching
    steps = (
        Step(f"{minutes} minutes of audio transcribed", calculate_whisper_cost, (minutes,)),
        Step(f"chat: {chat[0]:,} tokens in, {chat[1]:,} out", calculate_gpt4o_cost, chat),
        Step(f"{characters:,} characters spoken", calculate_tts_cost, (characters,)),
        Step(
            f"coaching: {heard} minutes heard, {spoken} spoken, {read:,} tokens in, {written:,} out",
            calculate_realtime_api_cost,
            coaching,
        ),
    )
    return Session(name, steps, a_month)


SESSIONS = (
    _session("Casual", 5, minutes=10, chat=(4000, 3000), characters=1000, coaching=(2000, 3000, 5, 5)),
    _session("Active", 20, minutes=30, chat=(8000, 5000), characters=3000, coaching=(12000, 9000, 15, 15)),
    _session("Professional", 100, minutes=60, chat=(20000, 10000), characters=5000, coaching=(24000, 18000, 30, 30)),
)
