"""Estimates before a call: the worked examples of the quick start, and errors that say what is wrong."""

import asyncio
import decimal
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.tracking.making import database_url, run_python
from tracking.ai_cost_tracker import AICostTracker, atrack_ai_cost, track_ai_cost
from tracking.calculators import (
    PriceNotKnownError,
    calculate_gpt4o_cost,
    calculate_realtime_api_cost,
    calculate_tts_cost,
    calculate_whisper_cost,
)
from tracking.models import Rate
from tracking.pricing import book
from tracking.typical import SESSIONS

pytestmark = pytest.mark.django_db


def test_the_worked_examples():
    whisper = calculate_whisper_cost(5.5)
    assert (whisper.cost, whisper.breakdown) == (Decimal("0.033"), "5.50 minutes × $0.006 = $0.033000")
    chat = calculate_gpt4o_cost(1500, 2000)
    assert chat.cost == Decimal("0.02375")
    assert chat.breakdown == ("Input: 1500 tokens × $2.50/1M = $0.003750\nOutput: 2000 tokens × $10.00/1M = $0.020000")
    speech = calculate_tts_cost(5000)
    assert (speech.cost, speech.breakdown) == (Decimal("0.15"), "5000 characters × $0.030/1K = $0.150000")
    # 10000 x 5/M + 15000 x 20/M + 5.5 x 0.06 + 7.2 x 0.24 = 0.05 + 0.3 + 0.33 + 1.728
    realtime = calculate_realtime_api_cost(10000, 15000, 5.5, 7.2)
    assert realtime.cost == Decimal("2.408")
    assert realtime.breakdown == (
        "Input: 10000 tokens × $5.00/1M = $0.050000\n"
        "Output: 15000 tokens × $20.00/1M = $0.300000\n"
        "Audio input: 5.50 minutes × $0.06 = $0.330000\n"
        "Audio output: 7.20 minutes × $0.24 = $1.728000\n"
        "Total: $2.408000"
    )


def test_the_price_table():
    """Whisper $0.006 a minute; GPT-4o $2.50/$10; TTS-1-HD $0.030 a thousand; Realtime $5/$20 and $0.06/$0.24."""
    assert calculate_whisper_cost(1).cost == Decimal("0.006")
    assert calculate_gpt4o_cost(1_000_000, 0).cost == Decimal("2.50")
    assert calculate_gpt4o_cost(0, 1_000_000).cost == 10
    assert calculate_tts_cost(1000).cost == Decimal("0.030")
    assert calculate_realtime_api_cost(1_000_000, 0, 0, 0).cost == 5
    assert calculate_realtime_api_cost(0, 1_000_000, 0, 0).cost == 20
    assert calculate_realtime_api_cost(0, 0, 1, 0).cost == Decimal("0.06")
    assert calculate_realtime_api_cost(0, 0, 0, 1).cost == Decimal("0.24")


def test_other_models_and_other_times():
    long = calculate_gpt4o_cost(1_000_000, 0, model="gpt-5.6-sol", at=datetime(2026, 8, 1, tzinfo=UTC))
    assert long.cost == 10  # above the long-context threshold
    assert calculate_gpt4o_cost(1000, 0, model="gpt-5.6-sol", at=datetime(2026, 8, 1, tzinfo=UTC)).cost == Decimal(
        "0.005"
    )
    assert calculate_gpt4o_cost(1000, 0, model="gpt-5.6-sol", at=datetime(2026, 9, 1, tzinfo=UTC)).cost == Decimal(
        "0.004"
    )
    assert calculate_whisper_cost(2, model="gpt-transcribe").breakdown == "2.00 minutes × $0.0045 = $0.009000"
    assert calculate_tts_cost(1000, model="tts-1").breakdown == "1000 characters × $0.015/1K = $0.015000"
    assert calculate_realtime_api_cost(0, 0, 1, 1, model="gpt-realtime").cost == Decimal("0.0192") + Decimal("0.0768")


def test_a_negotiated_price_is_used():
    rate = {"provider": "openai", "model": "whisper-1", "meter": "audio_seconds", "per": 3600, "source": "contract"}
    Rate.objects.create(**rate, amount=Decimal("0.30"), own=True)
    assert calculate_whisper_cost(60).breakdown == "60.00 minutes × $0.005 = $0.300000"


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), Decimal("NaN"), "5", None, True, 1e30])
def test_quantities_that_are_none(bad):
    for estimate in (calculate_whisper_cost, calculate_tts_cost):
        with pytest.raises(ValueError, match=r"minutes is|characters is"):
            estimate(bad)
    with pytest.raises(ValueError, match="output_tokens is"):
        calculate_gpt4o_cost(1, bad)
    with pytest.raises(ValueError, match="audio_output_minutes is"):
        calculate_realtime_api_cost(1, 1, 1, bad)
    with pytest.raises(ValueError, match="input_tokens is"):
        AICostTracker.calculate_anthropic_cost(input_tokens=bad, output_tokens=1, model="claude-opus-5")


def test_tokens_are_whole():
    with pytest.raises(ValueError, match="whole number"):
        calculate_gpt4o_cost(1.5, 1)


def test_a_model_without_such_a_price_is_an_error_not_zero():
    with pytest.raises(PriceNotKnownError, match="no prices for openai model 'gpt-99'"):
        calculate_gpt4o_cost(1, 1, model="gpt-99")
    with pytest.raises(PriceNotKnownError, match="no rate for audio_seconds of gpt-4o"):
        calculate_whisper_cost(0, model="gpt-4o")


def test_the_callers_decimal_context_does_not_matter():
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP)):
        estimate = calculate_realtime_api_cost(10000, 15000, 5.5, 7.2)
    assert str(estimate.cost) == "2.408"
    assert estimate.breakdown.endswith("Total: $2.408000")


# --- Costs that an application reports ----------------------------------------------------------------


def test_an_anthropic_cost_has_the_shape_of_the_second_quick_start():
    info = AICostTracker.calculate_anthropic_cost(
        input_tokens=1000, output_tokens=500, model="claude-3-5-sonnet-20241022"
    )
    assert info == {
        "cost": Decimal("0.0105"),  # 1000 x 3/M + 500 x 15/M
        "model": "claude-3-5-sonnet-20241022",
        "tokens": {"input": 1000, "output": 500},
    }
    with pytest.raises(PriceNotKnownError):
        AICostTracker.calculate_anthropic_cost(input_tokens=1, output_tokens=1, model="claude-9")


@pytest.fixture
def emitted(monkeypatch):
    events = []
    monkeypatch.setattr("tracking.spool.emit", events.append)
    return events


def test_a_tracked_cost_becomes_an_event(emitted):
    info = AICostTracker.calculate_anthropic_cost(input_tokens=10, output_tokens=5, model="claude-sonnet-5")
    name = track_ai_cost(analysis_id=17, feature="pitch", user="bob@example.com", db=object(), **info)
    (event,) = emitted
    assert (event.id, event.source, event.cost_usd) == (name, "helper", "0.00007")
    assert (event.provider, event.analysis, event.feature, event.user) == (
        "anthropic",
        "17",
        "pitch",
        "bob@example.com",
    )
    assert event.usage == {"input_tokens": 10, "output_tokens": 5}


def test_the_asynchronous_one_does_the_same(emitted):
    cost = {"analysis_id": "a", "feature": "f", "cost": 0.1, "model": "gpt-4o", "tokens": {"input": 1}, "id": "job 7"}
    name = asyncio.run(atrack_ai_cost(**cost, provider="openai"))
    (event,) = emitted
    assert (event.id, event.cost_usd) == (name, "0.1")
    assert event.usage == {"prompt_tokens": 1, "completion_tokens": 0}
    track_ai_cost(analysis_id="a", feature="f", cost="0.1", model="gpt-4o", tokens={"input": 1}, id="job 7")
    assert emitted[1].id == name, "the same name has the same id"


@pytest.mark.parametrize("cost", [-1, float("nan"), "x", None, True, "1e99"])
def test_a_cost_that_is_none_is_refused(emitted, cost):
    with pytest.raises(ValueError, match="cost is"):
        track_ai_cost(analysis_id=1, feature="f", cost=cost, model="gpt-4o", tokens={})
    for tokens in ({"input": -1}, {"input_tokens": 5}, [5, 6]):
        with pytest.raises(ValueError, match="tokens"):
            track_ai_cost(analysis_id=1, feature="f", cost=1, model="gpt-4o", tokens=tokens)
    assert emitted == []


# --- The command --------------------------------------------------------------------------------------


def estimate(*options: str) -> str:
    out = io.StringIO()
    call_command("estimate", *options, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_line_for_each_quantity():
    text = estimate("--model", "gpt-4o", "--input-tokens", "1500", "--output-tokens", "2000", "--cached-tokens", "500")
    rows = [re.split(r"\s{2,}", line) for line in text.strip().splitlines()]
    assert rows == [
        ["input_tokens", "1000", "$2.5 / 1,000,000", "$0.002500000"],
        ["cache_read_tokens", "500", "$1.25 / 1,000,000", "$0.000625000"],
        ["output_tokens", "2000", "$10 / 1,000,000", "$0.020000000"],
        ["total", "$0.023125"],
    ]


def test_the_command_prints_json():
    data = json.loads(estimate("--model", "sora-2-pro", "--video-seconds", "4", "--size", "1792x1024", "--json"))
    assert (data["total_usd"], data["lines"][0]["variant"]) == ("2", "1792x1024")
    data = json.loads(
        estimate("--model", "gpt-5", "--input-tokens", "1000", "--tier", "flex", "--at", "2026-11-01", "--json")
    )
    assert data["total_usd"] == "0.000625"


def test_the_command_says_what_it_cannot_do():
    for options, message in (
        (("--model", "gpt-99", "--input-tokens", "1"), "no prices for openai model 'gpt-99'"),
        (("--model", "gpt-4o"), "Nothing to estimate"),
        (("--model", "gpt-4o", "--input-tokens", "1", "--cached-tokens", "2"), "than there are"),
        (("--model", "gpt-4o", "--input-tokens", "NaN"), "not a quantity"),
        (("--model", "gpt-4o", "--input-tokens", "1.5"), "not a whole number"),
        (("--model", "gpt-4o", "--input-tokens", "1", "--at", "soon"), "not a time"),
    ):
        with pytest.raises(CommandError, match=message):
            estimate(*options)


# --- The documents ------------------------------------------------------------------------------------


def test_the_typical_sessions_in_the_docs_are_what_their_quantities_cost():
    text = (Path(__file__).parents[2] / "docs" / "typical-sessions.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "| `" in line]
    assert len(rows) == 12
    names = {
        "calculate_whisper_cost": calculate_whisper_cost,
        "calculate_gpt4o_cost": calculate_gpt4o_cost,
        "calculate_tts_cost": calculate_tts_cost,
        "calculate_realtime_api_cost": calculate_realtime_api_cost,
    }
    totals: dict[str, Decimal] = {}
    for session, _, call, shown in rows:
        name, arguments = re.fullmatch(r"`(\w+)\((.*)\)`", call).groups()
        cost = names[name](*(Decimal(a) if "." in a else int(a) for a in arguments.split(", "))).cost
        assert f"${cost:.4f}" == shown, call
        totals[session] = totals.get(session, Decimal(0)) + cost
    shown_totals = dict(re.findall(r"^- (\w+): \$([\d.]+)", text, re.M))
    assert {name: f"{total:.2f}" for name, total in totals.items()} == shown_totals
    now = datetime.now(UTC)
    assert {session.name: session.cost(now) for session in SESSIONS} == totals, "the page of estimates says the same"
    months = dict(re.findall(r"^- (\w+): .*? (\d+) sessions a month", text, re.M))
    assert {session.name: str(session.a_month) for session in SESSIONS} == months


@pytest.mark.django_db(transaction=True)
def test_the_second_documents_example_works_on_an_event_loop():
    """The calculation is an ordinary call there; looking at the price book must not forbid it."""

    async def record() -> dict:
        cost_info = AICostTracker.calculate_anthropic_cost(
            input_tokens=1000, output_tokens=500, model="claude-3-5-sonnet-20241022"
        )
        await atrack_ai_cost(analysis_id="a", feature="pitch_generation", **cost_info)
        return cost_info

    book.forget()
    assert asyncio.run(record())["cost"] == Decimal("0.0105")


@pytest.mark.django_db(transaction=True)
def test_a_script_that_never_heard_of_django_can_calculate(settings):
    script = "from tracking.calculators import calculate_whisper_cost; print(calculate_whisper_cost(5.5).breakdown)"
    done = run_python(script, spool_dir=settings.SPOOL_DIR, url=database_url())
    assert done.stdout == "5.50 minutes × $0.006 = $0.033000\n", done.stderr
