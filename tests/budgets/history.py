"""Past spending, put into the ledger as the recorder does."""

import uuid
from datetime import datetime

from tracking.events import CallEvent
from tracking.recording import record


def spend(
    amount: str, at: datetime, *, user=None, feature: str = "", model: str = "gpt-4o", provider: str = "openai",
    analysis: str = "", **fields,
) -> None:  # fmt: skip
    """A call at `at` that cost `amount` USD."""
    event = CallEvent(
        id=str(uuid.uuid4()), at_us=int(at.timestamp() * 1_000_000), provider=provider, operation="chat", endpoint="",
        model_asked=model, user=user.pk if user else None, feature=feature, analysis=analysis, quality="exact",
        cost_usd=amount, **fields,
    )  # fmt: skip
    record([event], now=at)
