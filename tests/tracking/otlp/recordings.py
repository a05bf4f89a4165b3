"""What the real libraries sent (tests/otel/record.py), and what the provider says it was asked meanwhile."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracking.ingestion import Reporter, ingest
from tracking.models import ApiUsageLog
from tracking.otlp import protobuf
from tracking.otlp.spans import Span

DATA = Path(__file__).parents[2] / "data" / "otel"
LIBRARIES = ("openai-v2", "openllmetry", "langfuse", "pydantic-ai")
#: The official instrumentation tells neither cached tokens nor the responses API: its rows stand at the full price.
TELLS_NO_CACHE = ("openai-v2",)
TELLS_NO_RESPONSES = ("openai-v2",)


@dataclass(frozen=True)
class Recording:
    """One run of a library."""

    name: str
    now: datetime
    bodies: list[bytes]
    asked: list[dict[str, Any]]

    @property
    def exports(self) -> list[list[Span]]:
        return [protobuf.spans_of(body) for body in self.bodies]


def recording(name: str) -> Recording:
    """The recording of a library."""
    found = json.loads((DATA / f"{name}.json").read_text())
    bodies = [gzip.decompress(base64.b64decode(export["gzip"])) for export in found["exports"]]
    now = datetime.fromtimestamp(found["recorded_at"], UTC) + timedelta(seconds=1)
    return Recording(name, now, bodies, found["asked"])


def expected(name: str, asked: list[dict[str, Any]], *, now: datetime) -> list[tuple]:
    """The rows that the provider's own books ask for, sorted: recorded, read and taken away again."""
    items = []
    for number, request in enumerate(asked):
        if name in TELLS_NO_RESPONSES and request["path"] == "/v1/responses":
            continue
        usage = dict(request["usage"] or {})
        if name in TELLS_NO_CACHE:
            usage.pop("prompt_tokens_details", None)
            usage.pop("completion_tokens_details", None)
        provider = "anthropic" if "/messages" in request["path"] else "openai"
        if name == "langfuse" and request["status"] != 200:
            provider = "unknown"  # it names models only, and this one is nobody's
        items.append(
            {
                "id": f"expected-{number}",
                "at": now.isoformat(),
                "provider": provider,
                "model": request["model"],
                "endpoint": request["path"],
                **({"usage": usage} if request["status"] == 200 else {"status": "error"}),
            }
        )
    if name == "langfuse":  # told by hand: no provider was asked
        meters = {"input_tokens": 100, "cache_read_tokens": 1000, "output_tokens": 20}
        by_hand = {"provider": "anthropic", "model": "claude-sonnet-4-5", "meters": meters}
        items.append({"id": "by-hand", "at": now.isoformat(), **by_hand})
    before = set(ApiUsageLog.objects.values_list("id", flat=True))
    results = ingest(items, reporter=Reporter(user_id=None, source="expected"), now=now)
    assert {result.status for result in results} == {"recorded"}
    return rows(ApiUsageLog.objects.exclude(id__in=before))


def rows(logs: Any) -> list[tuple]:
    """What counts of rows, sorted."""
    names = ("provider", "operation", "status", "input_tokens", "cache_read_tokens", "cache_write_tokens")
    names = (*names, "output_tokens", "reasoning_tokens", "price_status", "cost")
    return sorted((tuple(getattr(log, name) for name in names) for log in logs), key=str)


def money(of: list[tuple]) -> Decimal:
    return sum((row[-1] or Decimal(0) for row in of), Decimal(0))
