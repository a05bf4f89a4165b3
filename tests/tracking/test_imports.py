"""Files of usage that others keep: whichever way they tell it, it is counted once and priced."""

import csv
import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from tests.tracking.test_ingestion import an_item
from tracking.audit import audit
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db

#: As `GET /v1/organization/usage/completions?group_by=model,project_id` answers.
OPENAI = {
    "object": "page",
    "data": [
        {
            "object": "bucket", "start_time": 1793491200, "end_time": 1793577600,
            "results": [
                {
                    "object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                    "input_cached_tokens": 400, "input_audio_tokens": 0, "output_audio_tokens": 0,
                    "num_model_requests": 5, "project_id": "proj_a", "user_id": None, "api_key_id": None,
                    "model": "gpt-4o-2024-08-06", "batch": False,
                },
                {
                    "object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                    "input_cached_tokens": 0, "num_model_requests": 2, "project_id": "proj_b",
                    "model": "gpt-4o-2024-08-06", "batch": True,
                },
            ],
        }
    ],
    "has_more": False, "next_page": None,
}  # fmt: skip
#: As `GET /v1/organizations/usage_report/messages?group_by[]=model` answers.
ANTHROPIC = {
    "data": [
        {
            "starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1000, "cache_creation": {"ephemeral_1h_input_tokens": 0,
                    "ephemeral_5m_input_tokens": 100}, "cache_read_input_tokens": 200, "output_tokens": 500,
                    "server_tool_use": {"web_search_requests": 1}, "api_key_id": "apikey_1", "workspace_id": None,
                    "model": "claude-sonnet-4-5-20250929", "service_tier": "standard", "context_window": "0-200k",
                }
            ],
        }
    ],
    "has_more": False,
}  # fmt: skip
LITELLM = {
    "request_id": "chatcmpl-1", "call_type": "acompletion", "spend": 0.009, "prompt_tokens": 1000,
    "completion_tokens": 500, "total_tokens": 1500, "startTime": "2026-11-01 08:00:00.5",
    "endTime": "2026-11-01 08:00:02",
    "model": "openai/gpt-4o", "custom_llm_provider": "openai", "user": "alice@example.com", "team_id": "red",
    "request_tags": '["summary"]', "messages": {"role": "my-secret-prompt"}, "response": "my-secret-answer",
}  # fmt: skip
LANGFUSE = {
    "id": "obs-1", "traceId": "trace-1", "type": "GENERATION", "name": "summarise",
    "startTime": "2026-11-01T08:00:00.000Z",
    "model": "claude-sonnet-4-5-20250929", "usageDetails": {"input": 1000, "output": 500, "total": 1500},
    "totalCost": 0.02, "input": "my-secret-prompt", "output": "my-secret-answer", "userId": "user-7",
}  # fmt: skip
SPAN = {"id": "obs-2", "type": "SPAN", "startTime": "2026-11-01T08:00:00.000Z", "usageDetails": {}}


@pytest.fixture
def imported(tmp_path):
    """Import a file with this text; the report."""

    def run(text: str, *arguments: str, name: str = "usage.txt") -> dict:
        (tmp_path / name).write_text(text)
        out = io.StringIO()
        call_command("import_usage", str(tmp_path / name), "--json", *arguments, stdout=out)
        assert audit().ok
        return json.loads(out.getvalue())

    return run


def lines(*rows: dict) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def table(*rows: dict) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_openais_usage_is_a_row_for_each_bucket_however_often_it_is_read(imported):
    report = imported(json.dumps(OPENAI, indent=2))
    assert (report["recorded"], report["invalid"], report["unpriced"]) == (2, 0, 0)
    plain, batch = ApiUsageLog.objects.order_by("-cost")
    # 600 x 2.50 + 400 x 1.25 + 500 x 10, per million; and half of 1000 x 2.50 + 500 x 10
    assert (plain.cost, batch.cost) == (Decimal("0.007"), Decimal("0.00375"))
    assert plain.tags == {"provider_project_id": "proj_a", "requests": "5"} and batch.service == "batch"
    assert plain.occurred_at.isoformat() == "2026-11-01T00:00:00+00:00"
    assert imported(lines(OPENAI), name="again.jsonl")["duplicate"] == 2
    changed = json.loads(json.dumps(OPENAI))
    changed["data"][0]["results"][0]["output_tokens"] = 600
    report = imported(json.dumps(changed))
    assert (report["conflict"], report["duplicate"]) == (1, 1) and "other content" in str(report["problems"])


def test_openais_csv(imported):
    row = {"start_time_iso": "2026-11-01T00:00:00+00:00", "num_model_requests": "5", "input_tokens": "1000"}
    row |= {"output_tokens": "500", "input_cached_tokens": "0", "model": "gpt-4o-2024-08-06", "batch": "False"}
    assert imported(table(row))["cost_usd"] == "0.0075"


def test_anthropics_usage(imported):
    report = imported(json.dumps(ANTHROPIC))
    # 1000 x 3 + 100 x 3.75 + 200 x 0.30 + 500 x 15, per million; one search at $10 a thousand
    assert (report["recorded"], Decimal(report["cost_usd"])) == (1, Decimal("0.020935"))
    row = {"usage_date_utc": "2026-11-02", "model_version": "claude-sonnet-4-5-20250929", "api_key": "main"}
    row |= {"usage_input_tokens_no_cache": "1000", "usage_output_tokens": "500", "usage_type": "message"}
    assert imported(table(row))["cost_usd"] == "0.0105"
    assert ApiUsageLog.objects.get(occurred_at__day=2).tags["provider_api_key"] == "main"


def test_litellm_and_langfuse(imported, owner):
    assert imported(lines(LITELLM))["cost_usd"] == "0.0075"
    row = ApiUsageLog.objects.get()
    assert (row.user_id, row.provider, row.model, row.response_id) == (owner.pk, "openai", "gpt-4o", "chatcmpl-1")
    assert row.tags == {"team_id": "red", "user": "alice@example.com", "request_tags": "summary"}
    report = imported(json.dumps([LANGFUSE, SPAN, {**LANGFUSE, "id": "obs-3"}]))
    assert (report["recorded"], report["cost_usd"]) == (2, "0.021")
    assert ApiUsageLog.objects.filter(provider="anthropic", feature="summarise").count() == 2
    kept = imported(lines({**LITELLM, "request_id": "x"}), "--keep-costs")
    assert kept["cost_usd"] == "0.009"
    for values in ApiUsageLog.objects.values():
        assert "my-secret" not in json.dumps(values, default=str)


def test_events_of_our_own_in_lines_and_in_a_table(imported, owner):
    report = imported(lines(an_item(), an_item(model=...)) + "{broken\n", "--user", "alice@example.com")
    assert (report["recorded"], report["invalid"]) == (1, 2)
    assert [problem["row"] for problem in report["problems"]] == [2, 3]
    assert ApiUsageLog.objects.get().user_id == owner.pk
    rows = [
        {"id": "a", "at": "2024-11-01T08:00:00", "provider": "openai", "model": "gpt-4o", "input_tokens": 1000,
         "output_tokens": 500, "user": "alice@example.com", "tag:team": "blue"},
        {"id": "b", "at": "2026-11-01", "provider": "openai", "model": "gpt-4o", "cost_usd": "0.5", "http_status": 200},
        {"id": "c", "at": "2026-11-01", "provider": "openai", "model": "gpt-4o", "input_tokens": "many"},
    ]  # fmt: skip
    report = imported(table(*rows), "--feature", "imported")
    assert (report["recorded"], report["invalid"], report["cost_usd"]) == (2, 1, "0.5075")
    old = ApiUsageLog.objects.get(cost=Decimal("0.0075"), feature="imported")
    assert old.tags == {"team": "blue"} and old.occurred_at.year == 2024, "calls of any age are imported"


def test_a_dry_run_imports_nothing(imported):
    report = imported(lines(an_item(), an_item()), "--dry-run")
    assert (report["dry_run"], report["recorded"]) == (True, 2) and not ApiUsageLog.objects.exists()


def test_the_report_in_words(tmp_path):
    (tmp_path / "file").write_text(lines(an_item(id="1"), an_item(provider=...), *[an_item(at="x")] * 20))
    out = io.StringIO()
    call_command("import_usage", str(tmp_path / "file"), stdout=out)
    said = out.getvalue()
    assert "1 calls imported, 0 known already" in said and "21 not taken" in said and "$0.007500" in said
    assert "row 2: provider is missing" in said and "and 11 more" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [("name,colour\nx,red\n", "no known kind; they have: colour, name"), ("[1, 2", "not valid JSON")],
)
def test_a_file_of_another_kind_is_told(tmp_path, text, told):
    (tmp_path / "file").write_text(text)
    with pytest.raises(CommandError, match=told):
        call_command("import_usage", str(tmp_path / "file"))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_usage", str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "text", ["", "\x00\xff", "a,b\n", '{"provider": 1, "usage": 1, "model": 1}\n', "[[], 1, null]"]
)
def test_nothing_in_a_file_breaks_the_import(imported, text):
    assert imported(text)["recorded"] == 0


def test_addresses_without_an_account_stand_in_the_report(tmp_path, owner):
    """A typing error in an address takes calls from the account: who imports must hear of it."""
    file = tmp_path / "usage.ndjson"
    users = ["alcie@example.com"] * 2 + [owner.email]
    file.write_text("\n".join(json.dumps(an_item(id=f"n{n}", user=user)) for n, user in enumerate(users)))
    for arguments in (["--dry-run"], []):
        out = io.StringIO()
        call_command("import_usage", str(file), *arguments, stdout=out)
        assert "2 of them: there is no account alcie@example.com: the call is recorded as nobody's." in out.getvalue()
    out = io.StringIO()
    call_command("import_usage", str(file), "--json", stdout=out)
    (told,) = json.loads(out.getvalue())["warnings"].items()
    assert "alcie@example.com" in told[0] and told[1] == 2
    assert ApiUsageLog.objects.filter(user_id=None).count() == 2
