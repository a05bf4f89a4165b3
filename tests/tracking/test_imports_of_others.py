"""Files in the shape that LiteLLM and Langfuse write them: each call once, at our prices, or at theirs, marked."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.tracking.test_imports import lines
from tracking.audit import audit
from tracking.imports import LEFT_OUT, read_file
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db
FILES = Path(__file__).resolve().parents[1] / "data/imports"
LANGFUSE = ("langfuse_observations.json", "langfuse_observations.csv", "langfuse_blob.jsonl")


def imported(path, *arguments):
    out = io.StringIO()
    call_command("import_usage", str(path), "--json", *arguments, stdout=out)
    assert audit().ok
    return json.loads(out.getvalue())


def costs():
    return {row.model: (row.cost, bool(row.receipt.get("given"))) for row in ApiUsageLog.objects.all()}


def holds_no_content():
    for values in ApiUsageLog.objects.values():
        assert "my-secret" not in json.dumps(values, default=str)


def test_litellms_spend_logs(owner):
    report = imported(FILES / "litellm_spend_logs.csv")
    # Left out: an answer from LiteLLM's own cache, and a file that was uploaded.
    assert {name: report[name] for name in ("recorded", "invalid", "left_out", "given", "unpriced")} == {
        "recorded": 7, "invalid": 0, "left_out": 2, "given": 2, "unpriced": 1,
    }  # fmt: skip
    assert costs() == {
        "gpt-4o-2024-08-06": (Decimal("0.007"), False),  # 600 x 2.50 + 400 x 1.25 + 500 x 10 a million
        "claude-sonnet-4-5-20250929": (Decimal("0.010935"), False),  # 1000 x 3 + 200 x .3 + 100 x 3.75 + 500 x 15
        "house-model-7b": (Decimal("0.0042"), True),
        "house-model-1b": (None, False),  # 0 of LiteLLM says that it knows no price
        "gpt-4o": (0, False),
        "text-embedding-3-small": (Decimal("0.00002"), False),
        "tts-1": (Decimal("0.001125"), True),  # the logs do not tell how many characters were spoken
    }
    row = ApiUsageLog.objects.get(model="gpt-4o-2024-08-06")
    assert (row.user_id, row.response_id, row.latency_ms, row.service) == (owner.pk, "chatcmpl-AbC1", 1500, "chat")
    assert row.tags == {
        "team_id": "team-red", "team_alias": "Red", "key_alias": "summaries", "user": "alice@example.com",
        "session_id": "s-1", "model_group": "gpt-4o-2024-08-06", "request_tags": "summary",
    }  # fmt: skip
    failed = ApiUsageLog.objects.get(model="gpt-4o")
    assert (failed.status, failed.http_status, failed.error) == ("error", 429, "RateLimitError")
    assert ApiUsageLog.objects.get(model="tts-1").service == "tts"
    holds_no_content()


def test_the_same_calls_are_the_same_whoever_imports_them(owner):
    imported(FILES / "litellm_spend_logs.csv")
    again = imported(FILES / "litellm_spend_logs.csv", "--user", "alice@example.com")
    assert (again["recorded"], ApiUsageLog.objects.count()) == (0, 7)


@pytest.mark.parametrize("name", LANGFUSE)
def test_langfuses_observations_in_every_form(owner, name):
    report = imported(FILES / name)
    assert {key: report[key] for key in ("recorded", "invalid", "left_out", "given", "unpriced")} == {
        "recorded": 6, "invalid": 0, "left_out": 1, "given": 2, "unpriced": 0,
    }  # fmt: skip
    # Both spellings of 400 cached tokens out of 1000: beside the input, and within it.
    assert [row.cost for row in ApiUsageLog.objects.filter(model="gpt-4o-2024-08-06")] == [Decimal("0.007")] * 2
    found = costs()
    assert found["claude-sonnet-4-5-20250929"] == (Decimal("0.010935"), False)
    assert found["house-model-7b"] == (Decimal("0.0042"), True)
    assert found["gpt-4o"] == (Decimal("0.5"), True), "what it counts is not known to us: not cheaper, but as given"
    row = ApiUsageLog.objects.get(model="claude-sonnet-4-5-20250929")
    assert (row.provider, row.user_id, row.feature, row.latency_ms) == ("anthropic", owner.pk, "summarise", 1500)
    assert row.tags["traceId"] == "trace-1" and row.occurred_at.isoformat() == "2026-11-01T08:02:00+00:00"
    assert ApiUsageLog.objects.get(model="text-embedding-3-small").service == "embeddings"
    holds_no_content()


def test_every_form_of_an_observation_is_the_same_call(owner):
    reports = [imported(FILES / name) for name in LANGFUSE]
    assert [report["recorded"] for report in reports] == [6, 0, 0]


def test_a_dry_run_of_another_systems_file(owner):
    report = imported(FILES / "litellm_spend_logs.csv", "--dry-run")
    assert (report["recorded"], report["left_out"], ApiUsageLog.objects.count()) == (7, 2, 0)


def test_all_costs_of_another_system_on_request(owner):
    report = imported(FILES / "langfuse_observations.json", "--keep-costs")
    assert report["given"] == 6 and ApiUsageLog.objects.get(model="text-embedding-3-small").receipt["given"]


def test_early_logs_told_cached_tokens_beside_the_prompt(tmp_path):
    usage = {"cache_read_input_tokens": 5000, "cache_creation_input_tokens": 0}
    row = {"request_id": "1", "call_type": "acompletion", "spend": 0.1, "prompt_tokens": 10, "completion_tokens": 1,
           "startTime": "2026-11-01T08:00:00Z", "model": "anthropic/claude-sonnet-4-5", "custom_llm_provider":
           "anthropic", "metadata": {"additional_usage_values": usage}}  # fmt: skip
    (tmp_path / "logs.jsonl").write_text(lines(row))
    ((_, item),) = read_file(tmp_path / "logs.jsonl")
    assert item["meters"] == {"input_tokens": 10, "cache_read_tokens": 5000, "output_tokens": 1}
    assert item["model"] == "claude-sonnet-4-5" and "cost_usd" not in item


def test_numbers_and_objects_that_are_none_break_nothing(tmp_path):
    row = {
        "request_id": None,
        "call_type": 7,
        "spend": "much",
        "prompt_tokens": "x",
        "startTime": None,
        "metadata": "{",
    }
    (tmp_path / "logs.jsonl").write_text(lines(row, {**row, "call_type": "acompletion", "metadata": [1]}))
    (_, first), (_, second) = read_file(tmp_path / "logs.jsonl")
    assert first is LEFT_OUT and second["provider"] == "unknown"
    assert imported(tmp_path / "logs.jsonl")["invalid"] == 1
