"""Weeks of ordinary spending, put into the ledger as the recorder does, and what comes on top of it."""

import math
import random
import uuid
from datetime import datetime, timedelta

from tracking.events import CallEvent
from tracking.recording import record

WEEKS = 5


def an_event(at: datetime, amount: float, *, user=None, feature="mail", model="gpt-4o", provider="openai") -> CallEvent:
    return CallEvent(
        id=str(uuid.uuid4()), at_us=int(at.timestamp() * 1_000_000), provider=provider, operation="chat", endpoint="",
        model_asked=model, user=user.pk if user else None, feature=feature, quality="exact", cost_usd=f"{amount:.6f}",
    )  # fmt: skip


def spend(at: datetime, amount: float, **fields) -> None:
    record([an_event(at, amount, **fields)], now=at)


def usual(at: datetime, noise: random.Random) -> float:
    """What an office spends in an hour: most at two in the afternoon, a fifth of it at weekends, with some noise."""
    day = 0.3 + 3 * math.exp(-(((at.hour - 14) / 4) ** 2))
    return day * (0.2 if at.weekday() >= 5 else 1) * math.exp(noise.gauss(0, 0.3))


def five_weeks(until: datetime, *, seed: int = 1, **fields) -> None:
    """An ordinary call in every hour before `until`."""
    noise = random.Random(seed)
    hours = [until - timedelta(hours=back) for back in range(WEEKS * 168, 0, -1)]
    events = [an_event(hour + timedelta(minutes=5), usual(hour, noise), **fields) for hour in hours]
    for start in range(0, len(events), 500):
        record(events[start : start + 500], now=until)
