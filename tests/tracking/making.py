"""Events, as the clients hand them over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracking.events import CallEvent

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def an_event(**changes: Any) -> CallEvent:
    """A chat call of gpt-4o: 1000 tokens in ($0.0025), 500 out ($0.005), $0.0075 in all."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "at_us": microseconds(NOW),
        "provider": "openai",
        "operation": "chat",
        "endpoint": "/v1/chat/completions",
        "model_asked": "gpt-4o",
        "model_served": "gpt-4o-2024-08-06",
        "feature": "pitch",
        "http_status": 200,
        "quality": "exact",
        "latency_us": 812_345,
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }
    return CallEvent(**{**values, **changes})


def database_url() -> str:
    """The database of this test, for the processes it starts."""
    from django.db import connection

    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    return f"postgres://{settings['USER']}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"


def environment(spool_dir: Path, url: str = "") -> dict[str, str]:
    return {**os.environ, "SPOOL_DIR": str(spool_dir), "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}


def run_python(script: str, *, spool_dir: Path, url: str = "", timeout_s: float = 60) -> subprocess.CompletedProcess:
    """Run a script in a process of its own, with `an_event` at hand."""
    prelude = "import os, sys\nfrom tests.tracking.making import an_event\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script)],
        cwd=ROOT,
        env=environment(spool_dir, url),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def lines_of(folder: Path) -> list[dict]:
    """Every intact event that stands in the segments of a folder."""
    from tracking.segments import segments, unframe

    found = []
    for path in segments(folder):
        for line in path.read_bytes().split(b"\n"):
            if line and (payload := unframe(line)) is not None:
                found.append(json.loads(payload))
    return found
