"""Samples of real usage and the cost expected to the last digit; `samples.jsonl` tells the arithmetic in its notes."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.tracking.pricing.books import catalogue_book
from tracking.money import from_nanousd
from tracking.pricing import price
from tracking.pricing.samples import read_sample

DATA = Path(__file__).parents[2] / "data"
SAMPLES = [json.loads(line) for file in ("golden", "samples") for line in (DATA / f"{file}.jsonl").open()]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
def test_a_sample_costs_exactly_what_is_expected(sample):
    usage, at = read_sample(sample)
    receipt = price(usage, at, catalogue_book())
    if sample["expected_usd"] is None:
        assert (receipt.status, receipt.total_nanousd) == ("unpriced", None), sample["note"]
        assert receipt.reason
    else:
        assert receipt.total_nanousd is not None, receipt.reason
        assert from_nanousd(receipt.total_nanousd) == Decimal(sample["expected_usd"]), sample["note"]
        assert receipt.status == ("free" if sample["expected_usd"] == "0" else "priced")


@pytest.mark.parametrize("file", ["golden.jsonl", "samples.jsonl"])
def test_the_command_prices_a_file_from_the_database(db, file):
    out = io.StringIO()
    call_command("price_usage", str(DATA / file), stdout=out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    samples = [json.loads(line) for line in (DATA / file).open()]
    assert [answer["id"] for answer in answers] == [sample["id"] for sample in samples]
    for sample, answer in zip(samples, answers, strict=True):
        expected, cost = sample["expected_usd"], answer["cost_usd"]
        assert (cost if cost is None else Decimal(cost)) == (expected if expected is None else Decimal(expected)), (
            sample
        )
        assert set(answer) == {"id", "cost_usd", "status", "receipt"}
        assert all(line["rate_id"] for line in answer["receipt"]["lines"] if line["amount_usd"] is not None)


def test_bad_lines_are_answered_and_the_others_priced(db, tmp_path, monkeypatch):
    good = json.dumps(SAMPLES[0])
    lines = [
        good,
        "not json",
        "[1, 2]",
        '{"id": "a"}',
        '{"id": "b", "provider": "openai", "model": "gpt-4o", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}',
        '{"id": "c", "provider": "openai", "model": "gpt-4o", "at": "yesterday"}',
        '{"id": "d", "provider": "openai", "model": 7, "at": "2026-11-01"}',
        '{"id": "e", "provider": "openai", "model": "gpt-4o", "at": "2026-11-01", '
        '"usage": {"prompt_tokens": 1e999, "completion_tokens": NaN}}',
        '{"id": "f", "provider": "openai", "model": "gpt-4o", "at": "2026-11-01", "usage": [1], "images": "x"}',
        "",
        good,
    ]
    file = tmp_path / "usage.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8-sig")  # as spreadsheets and Windows write it
    out = io.StringIO()
    call_command("price_usage", str(file), stdout=out)
    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [answer["status"] for answer in answers] == ["priced"] + ["error"] * 6 + ["unpriced"] * 2 + ["priced"]
    assert [answer["cost_usd"] for answer in answers[1:-1]] == [None] * 8
    assert "`at` is missing" in answers[4]["error"]
    assert "not_finite:prompt_tokens" in answers[7]["receipt"]["flags"]

    monkeypatch.setattr("sys.stdin", io.StringIO(good + "\n"))
    out = io.StringIO()
    call_command("price_usage", "-", stdout=out)
    assert json.loads(out.getvalue())["cost_usd"] == "0.004"
