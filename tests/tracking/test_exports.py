"""Exports: what they hold adds up to what the pages show, and it opens right where people open it."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas
import pytest
from django.core.management import CommandError, call_command

from tests.tracking.making import NOW, an_event, microseconds
from tests.tracking.test_repricing import LATER, add_rates
from tracking import exports, focus, queries
from tracking.exports import Wanted, export
from tracking.periods import last_days
from tracking.recording import record
from tracking.repricing import reprice

pytestmark = pytest.mark.django_db

WEEK = last_days(NOW, 7)


def wanted(**filters) -> Wanted:
    return Wanted(**{"start": WEEK.starts_at, "end": WEEK.ends_at, **filters})


def text_of(format: str, **filters) -> str:
    return b"".join(export(wanted(**filters), format=format).pieces).decode()


def rows_of(format: str = "csv", **filters) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text_of(format, **filters).removeprefix("\ufeff"), newline="")))


def cost_of(rows: list[dict], column: str = "cost_usd") -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


@pytest.fixture
def week(owner, member):
    """Calls of two people; one of them of a model whose price became known three days later, one never priced."""
    at = microseconds(NOW)
    calls = [an_event(user=owner.pk, at_us=at + n // 3, tags={"team": "blue"}) for n in range(20)]
    record(
        [
            *calls,
            an_event(user=member.pk, model_served="our-model", model_asked="our-model", at_us=at + 2),
            an_event(user=member.pk, model_served="gpt-99", at_us=at + 2, feature="pitch"),
            an_event(
                user=member.pk, operation="transcription", model_served="whisper-1", at_us=at - 86_400_000_000,
                usage={"type": "duration", "seconds": 60}, feature="",
            ),
            an_event(status="error", http_status=500, usage=None, at_us=at + 9),
        ],
        now=NOW,
    )  # fmt: skip
    add_rates()
    reprice(now=LATER)


@pytest.mark.parametrize("page_rows", [3, 5_000])
def test_every_format_adds_up_to_what_the_pages_show(week, owner, member, monkeypatch, page_rows):
    monkeypatch.setattr(exports, "PAGE_ROWS", page_rows)  # groups of one microsecond go over the border of a page
    for user_id in (None, owner.pk, member.pk):
        shown = queries.totals(period=WEEK, user_id=user_id)
        rows = rows_of(user_id=user_id)
        as_json = json.loads(text_of("json", user_id=user_id))
        lines = [json.loads(line) for line in text_of("ndjson", user_id=user_id).splitlines()]
        assert as_json == lines
        assert len(rows) == len(lines) == shown.calls
        assert len({row["id"] for row in rows}) == shown.calls
        costs = [Decimal(line["cost_usd"]) for line in lines if line["cost_usd"] is not None]
        assert cost_of(rows) == sum(costs) == shown.cost
        assert cost_of(rows_of("focus", user_id=user_id), "BilledCost") == shown.cost
        assert sum(row["price_status"] == "unpriced" for row in rows) == shown.unpriced
        assert sum(int(row["input_tokens"]) for row in rows) == shown.input_tokens
        assert [row["id"] for row in rows] == [line["id"] for line in lines]
        assert [row["occurred_at"] for row in rows] == sorted(row["occurred_at"] for row in rows)


def test_a_call_priced_later_is_one_record_with_its_price(week):
    (row,) = rows_of(model="our-model")
    assert (row["cost_usd"], row["price_status"], row["calls"], row["input_tokens"]) == ("0.002", "priced", "1", "1000")
    (row,) = rows_of(model="gpt-99")
    assert (row["cost_usd"], row["price_status"]) == ("", "unpriced"), "not known is not nothing"


def test_filters_leave_the_rest_out(week, owner):
    assert len(rows_of(service="whisper")) == 1
    assert len(rows_of(status="error")) == 1
    assert {row["id"] for row in rows_of(price_status="unpriced")} == {row["id"] for row in rows_of(model="gpt-99")}
    assert len(rows_of(user_id=owner.pk, feature="pitch", provider="openai", source="sdk")) == 20
    assert rows_of(feature="none such") == []
    assert json.loads(text_of("json", analysis="none such")) == []
    assert text_of("ndjson", end=WEEK.starts_at) == ""


def test_pandas_and_duckdb_read_it_as_it_is_meant(week, tmp_path):
    shown = queries.totals(period=WEEK)
    path = tmp_path / "usage.csv"
    path.write_text(text_of("csv"), newline="")
    frame = pandas.read_csv(path, parse_dates=["occurred_at"])
    assert len(frame) == shown.calls
    assert list(frame.columns) == list(exports.COLUMNS), "the mark is no part of a name"
    assert frame["cost_usd"].sum() == pytest.approx(float(shown.cost))
    assert str(frame["occurred_at"].dt.tz) == "UTC" and frame["input_tokens"].sum() == shown.input_tokens
    assert frame["user_email"].value_counts()["alice@example.com"] == 20

    def ask(what: str, source: str):
        return duckdb.sql(f"SELECT {what} FROM {source}").fetchall()[0]

    assert ask("count(DISTINCT id)", f"read_csv('{path}')") == (shown.calls,)
    total = ask("sum(cost_usd::DECIMAL(20, 9)), count(*), year(min(occurred_at))", f"read_csv('{path}')")
    assert total == (shown.cost, shown.calls, 2026)
    lines = tmp_path / "usage.ndjson"
    lines.write_text(text_of("ndjson"))
    assert ask("sum(cost_usd::DECIMAL(20, 9)), sum((tags.team = 'blue')::INT)", f"read_json('{lines}')") == (
        shown.cost,
        20,
    )
    billing = tmp_path / "focus.csv"
    billing.write_text(text_of("focus"), newline="")
    assert ask(
        "sum(BilledCost::DECIMAL(30, 15)), sum(x_Calls), sum(x_InputTokens)", f"read_csv('{billing}')"
    ) == (shown.cost, shown.calls, shown.input_tokens)  # fmt: skip


def test_the_guide_makes_parquet_of_it_by_one_statement(week, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guide = (Path(__file__).parents[2] / "docs/guides/export.md").read_text()
    (statement,) = re.findall(r"^```sql\n(.*?)^```", guide, re.S | re.M)
    for filters in ({}, {"service": "whisper"}):  # some with tags; none
        shown = rows_of(**filters)
        Path("usage.ndjson").write_text(text_of("ndjson", **filters))
        duckdb.sql(statement)
        (found,) = duckdb.sql("SELECT sum(cost_usd), count(*), sum(input_tokens) FROM 'usage.parquet'").fetchall()
        assert found == (cost_of(shown), len(shown), sum(int(row["input_tokens"]) for row in shown))
        types = dict(row[:2] for row in duckdb.sql("DESCRIBE FROM 'usage.parquet'").fetchall())
        assert types["cost_usd"] == "DECIMAL(20,9)" and types["occurred_at"].startswith("TIMESTAMP")
        assert tuple(types) == exports.COLUMNS


HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1+1", '=HYPERLINK("http://x","y")']


def test_no_text_is_a_formula_in_a_spreadsheet(owner):
    record(
        [
            an_event(feature=text, analysis=text, request_id=text, model_served=text, user=owner.pk, tags={"t": text})
            for text in HOSTILE
        ],
        now=NOW,
    )
    for format in ("csv", "focus"):
        for row in rows_of(format):
            for name, cell in row.items():
                number = cell.lstrip("-").replace(".", "", 1).isdigit()
                assert number or not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")), (format, name, cell)
    assert sorted(row["feature"] for row in rows_of()) == sorted(f"'{text}" for text in HOSTILE)
    kept = [json.loads(line)["feature"] for line in text_of("ndjson").splitlines()]
    assert sorted(kept) == sorted(HOSTILE), "a program reads what was recorded"


def test_quotes_commas_and_line_breaks_survive(owner):
    feature = 'a "quoted", and\nbroken line; é'
    record([an_event(feature=feature)], now=NOW)
    assert [row["feature"] for row in rows_of()] == [feature]


#: As they are typed into forms: emoji, right to left, quotes, line breaks, and what a spreadsheet would calculate.
TYPED = [
    "🎵 song",
    "שלום",
    "مرحبا, 'x'",
    'a "quoted" one',
    "two\nlines",
    "two\r\nlines",
    "=1+1",
    "+49 30",
    "-5",
    "@me",
    "\ttab",
]


def test_excel_reads_every_name_as_it_was_typed(owner, tmp_path):
    """Excel knows UTF-8 by the mark, and a line by CR LF; line feeds within quotes stay in their cell."""
    at = microseconds(NOW)
    record([an_event(feature=text, user=owner.pk, at_us=at + n) for n, text in enumerate(TYPED)], now=NOW)
    data = text_of("csv").encode()
    assert data.startswith(b"\xef\xbb\xbfid,occurred_at,"), "one mark, then the first name"
    assert data.count(b"\xef\xbb\xbf") == 1 and data.endswith(b"\r\n")
    outside = re.sub(rb'"(?:[^"]|"")*"', b"", data)
    assert outside.count(b"\r\n") == outside.count(b"\n") == outside.count(b"\r") == 1 + len(TYPED)
    shown = [f"'{text}" if text.lstrip()[0] in "=+-@" or text[0] == "\t" else text for text in TYPED]
    assert [row["feature"] for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))] == shown
    path = tmp_path / "usage.csv"
    path.write_bytes(data)
    assert pandas.read_csv(path).set_index("id")["feature"].tolist() == shown
    asked = f"SELECT id, feature FROM read_csv('{path}') ORDER BY occurred_at"
    assert [feature for _, feature in duckdb.sql(asked).fetchall()] == shown
    assert text_of("focus").startswith("BilledCost,"), "FinOps tools read the first name as it stands"
    assert text_of("csv", feature="none such").encode().startswith(b"\xef\xbb\xbfid,"), "a file without calls too"


def test_focus_tells_each_meter_of_a_call(owner):
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 333},
    }
    record([an_event(user=owner.pk, usage=usage, feature="pitch", tags={"team": "blue"})], now=NOW)
    rows = rows_of("focus")
    assert tuple(rows[0]) == focus.COLUMNS
    assert {row["SkuMeter"]: (row["ConsumedQuantity"], row["ConsumedUnit"], row["PricingUnit"]) for row in rows} == {
        "input_tokens": ("667", "Tokens", "1000000 Tokens"),
        "cache_read_tokens": ("333", "Tokens", "1000000 Tokens"),
        "output_tokens": ("500", "Tokens", "1000000 Tokens"),
    }
    for row in rows:
        product = Decimal(row["PricingQuantity"]) * Decimal(row["ListUnitPrice"])
        assert abs(product - Decimal(row["BilledCost"])) <= Decimal("1e-9")
        assert (row["ServiceProviderName"], row["BillingCurrency"], row["ChargeCategory"]) == ("OpenAI", "USD", "Usage")
        assert row["BillingPeriodStart"] == "2026-11-01T00:00:00Z"
        assert row["ChargePeriodStart"] == "2026-11-20T12:00:00Z" < row["ChargePeriodEnd"]
        assert json.loads(row["Tags"]) == {"team": "blue"} and row["SubAccountName"] == "alice@example.com"
    assert cost_of(rows, "BilledCost") == queries.totals(period=WEEK).cost
    assert [row["x_Calls"] for row in rows] == ["1", "0", "0"], "the calls of a file may be summed"


def test_a_file_is_named_by_its_period():
    made = export(wanted(), format="csv")
    assert made.filename == "costwatch-usage-2026-11-14-2026-11-21.csv"
    assert made.content_type == "text/csv; charset=utf-8"
    half = wanted(end=datetime(2026, 11, 20, 12, 30, tzinfo=UTC) + timedelta(seconds=1))
    assert export(half, format="focus").filename == "costwatch-focus-2026-11-14-2026-11-20T1230Z.csv"
    with pytest.raises(ValueError, match="csv, json, ndjson, focus"):
        export(wanted(), format="parquet")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("export", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_writes_a_file_or_to_the_standard_output(week, owner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    period = ("--since", "2026-11-14", "--until", "2026-11-21")
    assert "costwatch-usage-2026-11-14-2026-11-21.csv" in run(*period)
    (made,) = tmp_path.glob("costwatch-*")
    assert made.read_text() == text_of("csv").replace("\r\n", "\n")
    said = run("-", "--format", "ndjson", "--user", "alice@example.com", *period)
    assert [json.loads(line)["user_id"] for line in said.splitlines()] == [owner.pk] * 20
    assert len(run("-", "--feature", "pitch", "--status", "ok", *period).splitlines()) == 23


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "yesterday"], "as in 2026-11-01"),
        (["--since", "2026-11-03", "--until", "2026-11-03"], "must lie before"),
        (["--days", "0"], "at least 1"),
        (["--user", "nobody@example.com"], "no account nobody@example.com"),
        (["/nowhere/at/all.csv"], "cannot be written"),
    ],
)
def test_the_command_says_what_it_cannot_do(arguments, told):
    with pytest.raises(CommandError, match=told):
        run(*arguments)
