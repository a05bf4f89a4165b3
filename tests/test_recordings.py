"""Real traffic of the providers, recorded by public projects, sent again through the metered clients.

Each row is compared with the usage in the raw answer, which is read here without Costwatch's own readers.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.replay import drive, recorded
from tests.replay.report import exactness, is_billed, summarise

pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(recorded.MISSING is not None, reason=str(recorded.MISSING)),
]


@pytest.mark.django_db
def test_every_row_says_what_the_raw_answer_says():
    """From the SDK to the ledger, row by row. One test, so that everything is sent once."""
    from tests.replay.run import replay_all
    from tracking.audit import audit

    replayed = replay_all()
    assert len([one for one in replayed if "async" not in one.way]) == len(recorded.replayer().load())
    assert [named(one) for one in replayed if drive.not_recorded(one.metered)] == []
    assert {named(one): len(one.events) for one in replayed if len(one.events) != is_billed(one.exchange)} == {}

    rows = record_all(one.events for one in replayed)
    differences = {}
    for one in replayed:
        for event in one.events:
            status = one.exchange.raw["status"]
            assert (event.http_status, event.status == "error") == (status, status >= 400), named(one)
            row = rows[f"{one.exchange.id} {one.way}"]
            if event.kind == "call" and (difference := exactness(one, row)):
                differences[named(one)] = difference
        assert_no_text(one)
    assert differences == {}
    assert audit().ok
    for line in summarise(replayed, rows):
        print(json.dumps(line))


@pytest.mark.slow
def test_the_caller_sees_what_it_would_have_seen(settings):
    """Answers, errors and streams, event for event, with the bare SDK and metered."""
    from tests.replay.run import replay_all

    settings.GATE = ""  # no database here, so no limits
    replayed = replay_all(bare=True)
    assert [named(one) for one in replayed if drive.plain(one.bare) != drive.plain(one.metered)] == []


@pytest.mark.django_db
def test_realtime_sessions_leave_a_row_for_each_answer_and_each_transcription():
    from tests.replay.realtime import replay_sessions, usages
    from tracking.audit import audit

    played = replay_sessions()
    assert len(played) == len(recorded.sessions()) > 0
    for session, seen, events in played:
        assert seen == [e["data"]["type"] for e in session["events"] if e["direction"] == "received"], session["id"]
        assert [event.usage for event in events] == usages(session), session["id"]
    rows = record_all(events for _session, _seen, events in played)
    for row in rows.values():
        raw = row.raw_usage
        if raw.get("type") == "duration":
            assert row.audio_ms == round(raw["seconds"] * 1000)
        else:
            assert (row.input_tokens, row.output_tokens) == (raw["input_tokens"], raw["output_tokens"])
        assert row.price_status == "priced", (row.model, row.receipt)
    assert audit().ok
    print(json.dumps({"realtime sessions": len(played), "rows": len(rows), "exact": len(rows), "priced": len(rows)}))


def named(one) -> str:
    return f"{one.exchange.id} {one.exchange.raw['path']} ({one.way})"


def record_all(events) -> dict:
    """Write the events to the ledger; its rows by the tag `exchange`."""
    from tracking.models import ApiUsageLog
    from tracking.recording import record

    flat = [event for some in events for event in some]
    for start in range(0, len(flat), 500):
        assert not record(flat[start : start + 500], now=datetime.now(UTC)).conflicts
    return {row.tags["exchange"]: row for row in ApiUsageLog.objects.all()}


def assert_no_text(one) -> None:
    """No sentence of the prompt is in an event."""
    sentences = [text for text in _texts(one.exchange.raw["request"]) if len(text) > 40]
    for event in one.events:
        line = event.to_json().decode()
        assert not any(json.dumps(text)[1:-1] in line for text in sentences), named(one)


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key in ("content", "text", "input", "prompt", "instructions", "system", "messages"):
            yield from _texts(value.get(key))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
