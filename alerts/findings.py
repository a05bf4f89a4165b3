"""What was noticed, before it is an alert: the one shape that every detector gives to `operations.raise_alerts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from alerts.kinds import Severity, Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that somebody should hear of. Money in USD; texts are plain text, names in them as they are.

    `dedupe_key` says what makes it the same thing: a finding with a key that is known never becomes a second alert
    and is never sent again. It begins with the type: "forecast:7:2026-11-01". At most 500 characters.
    """

    type: Type
    severity: Severity
    dedupe_key: str
    title: str  # one line, at most 300 characters
    text: str  # what is the case, against what, and what to do next
    at: datetime  # when it came to be
    user_id: int | None = None  # whom it concerns; None: the installation, so staff are told
    limit_id: int | None = None
    window_id: int | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None
    subject: str = ""  # "user:7", "analysis:track-42", "model:openai/gpt-4o", or ""
    threshold: Decimal | None = None  # share of the limit
    spent: Decimal | None = None
    limit_amount: Decimal | None = None
    held: Decimal | None = None
    facts: tuple[tuple[str, str], ...] = ()  # label and value, in the order in which they are shown
    details: Mapping[str, Any] = field(default_factory=dict)  # JSON: what programs read
    count: int = 1
    silent: bool = False  # kept and shown, and nobody is told
