"""Calls in the ledger, made through the recorder."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tracking.events import CallEvent
from tracking.recording import record


class Workspace:
    """Records calls as the background recorder does, at any time of the past."""

    def __init__(self):
        self.now = datetime.now(UTC)

    def call(self, user=None, *, days_ago: float = 0, model: str = "gpt-4o-mini", **fields: Any) -> uuid.UUID:
        """One chat call with 1,000 tokens in and 500 out, $0.00045, unless told otherwise; returns its id."""
        at = self.now - timedelta(days=days_ago, seconds=1)
        event = CallEvent(
            **{
                "id": str(uuid.uuid4()),
                "at_us": int(at.timestamp() * 1_000_000),
                "provider": "openai",
                "operation": "chat",
                "endpoint": "/v1/chat/completions",
                "model_asked": model,
                "model_served": model,
                "user": user.pk if user else None,
                "http_status": 200,
                "quality": "exact",
                "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
                **fields,
            }
        )
        record([event], now=self.now)
        return uuid.UUID(event.id)
