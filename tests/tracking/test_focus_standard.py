"""FOCUS exports of every kind of call, against the rules of the standard (focus_1_3.toml says where they stand)."""

import json
import re
import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model

from tests.tracking.making import NOW, an_event, microseconds
from tests.tracking.test_exports import WEEK, cost_of, rows_of
from tests.tracking.test_repricing import LATER, add_rates
from tracking import focus, queries
from tracking.recording import record
from tracking.repricing import reprice

pytestmark = pytest.mark.django_db

RULES = tomllib.loads(Path(__file__).with_name("focus_1_3.toml").read_text())["columns"]
MANDATORY = {name for name, rule in RULES.items() if rule["level"] == "mandatory"}
#: What Costwatch does not know of a call without a price; the standard has no way to say so.
MONEY = {"BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "ContractedUnitPrice", "ListUnitPrice"}

_FORMS = {
    "decimal": r"-?\d+(\.\d+)?",
    "price": r"\d+(\.\d+)?",
    "currency": r"[A-Z]{3}",
    "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "unit": r"([1-9]\d* )?[A-Z][A-Za-z]*s",  # a count, where it is not one, and a plural
    "string": r"(?s).+",
    "object": r"(?s)\{.*\}",
}


@pytest.fixture
def rows(owner, member):
    """The rows of calls of every kind, by what each call is for."""
    gone = get_user_model().objects.create_user(email="gone@example.com")
    tokens = {"prompt_tokens": 1000, "completion_tokens": 7, "total_tokens": 1007}
    cached = {**tokens, "prompt_tokens_details": {"cached_tokens": 333}}
    speech = {"type": "duration", "seconds": 61}
    embedded = {"prompt_tokens": 11, "total_tokens": 11}
    kinds = {
        "priced": {"user": owner.pk, "tags": {"team": "blue", "é": "=1"}},
        "unpriced": {"model_served": "gpt-99"},
        "corrected": {"model_served": "our-model", "model_asked": "our-model"},
        "cached": {"usage": cached},
        "audio": {"operation": "transcription", "model_served": "whisper-1", "usage": speech},
        "embedded": {"operation": "embeddings", "model_served": "text-embedding-3-small", "usage": embedded},
        "free": {"status": "error", "http_status": 429, "usage": None},
        "given": {"cost_usd": "0.0123", "model_served": "a-model-of-ours", "usage": None},
        "given nothing": {"cost_usd": "0", "model_served": "a-model-of-ours", "usage": None},
        "batch": {"batch": True, "user": member.pk},
        "nameless": {"provider": "a-provider", "model_served": "", "model_asked": "", "usage": None},
        "of someone gone": {"user": gone.pk},
    }
    at = microseconds(NOW)
    record([an_event(**{"feature": kind, "at_us": at, **values}) for kind, values in kinds.items()], now=NOW)
    add_rates()
    assert reprice(now=LATER).priced == 1
    gone.delete()
    found: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for row in rows_of("focus"):
        found[row["x_Feature"]].append(row)
    assert all(found.values()), "no kind is left out"
    return found


def test_the_columns_are_those_of_the_standard_in_its_spelling(rows):
    assert len(MANDATORY) == 23
    assert set(RULES) <= set(focus.COLUMNS), "every column whose condition is met"
    theirs = [name for name in focus.COLUMNS if not name.startswith("x_")]
    assert set(theirs) == set(RULES), "what is ours begins with x_"
    assert theirs == sorted(theirs) and len(set(focus.COLUMNS)) == len(focus.COLUMNS)
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]{1,48}", name) for name in focus.COLUMNS)


def wrong(row: dict) -> set[str]:
    """The columns of a row that break a rule."""
    found = set()
    for name, rule in RULES.items():
        value, null = row[name], rule["null"]
        if not value:
            if null in ("never", "usage") or (null != "may" and row[null]):
                found.add(name)
            continue
        allowed = re.fullmatch(_FORMS[rule["type"]], value) and value in rule.get("values", [value])
        if not allowed or (null in RULES and not row[null]):
            found.add(name)
    return found


def test_every_row_keeps_the_rules_of_its_columns(rows):
    for kind, of_kind in rows.items():
        for row in of_kind:
            unknown = MONEY if row["x_PriceStatus"] == "unpriced" else set()
            assert wrong(row) == unknown, (kind, row)
            assert (row["ChargeCategory"], row["ChargeClass"]) == ("Usage", "")
            assert not row["Tags"] or isinstance(json.loads(row["Tags"]), dict)
            details = json.loads(row["SkuPriceDetails"] or "{}")
            assert all(name.startswith("x_") for name in details), "properties of our own"
    assert {row["x_PriceStatus"] for row in rows["unpriced"] + rows["nameless"]} == {"unpriced"}
    assert rows["corrected"][0]["x_PriceStatus"] == "priced", "net of its correction"


def test_a_rule_that_is_broken_is_found(rows):
    (row,) = rows["audio"]
    for name, value in (
        *(("ChargeCategory", "usage"), ("BilledCost", ""), ("BilledCost", "1,5"), ("PricingCategory", "On-Demand")),
        *(("ListUnitPrice", "-1"), ("ConsumedUnit", "seconds"), ("BillingPeriodEnd", "2026-12-01"), ("SkuPriceId", "")),
        *(("PricingUnit", ""), ("SubAccountName", "somebody"), ("ServiceCategory", "AI"), ("BillingCurrency", "usd")),
    ):
        assert wrong({**row, name: value}) == {name}


def test_prices_times_quantities_are_costs(rows):
    for row in (row for of_kind in rows.values() for row in of_kind if row["x_PriceStatus"] != "unpriced"):
        for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
            product = Decimal(row["PricingQuantity"]) * Decimal(row[price])
            assert abs(product - Decimal(row[cost])) <= Decimal("1e-9"), row
    every = [row for of_kind in rows.values() for row in of_kind]
    shown = queries.totals(period=WEEK)
    assert cost_of(every, "BilledCost") == shown.cost
    assert sum(int(row["x_Calls"]) for row in every) == shown.calls == len(rows)


def test_periods_hold_their_charges(rows):
    for row in (row for of_kind in rows.values() for row in of_kind):
        billing, charge = (
            [datetime.fromisoformat(row[f"{name}Period{side}"]) for side in ("Start", "End")]
            for name in ("Billing", "Charge")
        )
        assert billing[0] <= charge[0] < charge[1] <= billing[1]


def test_ids_of_prices_belong_to_one_sku_each_and_outlive_a_change_of_the_price(rows):
    every = [row for of_kind in rows.values() for row in of_kind]
    parents = {(row["SkuPriceId"], row["SkuId"]) for row in every}
    assert len({price for price, _ in parents}) == len(parents)
    (before,) = {row["SkuPriceId"] for row in rows["corrected"] if row["SkuMeter"] == "input_tokens"}
    add_rates()  # anew: other rows of the price book
    record([an_event(feature="after", model_served="our-model", model_asked="our-model")], now=NOW)
    after = [row for row in rows_of("focus", feature="after") if row["SkuMeter"] == "input_tokens"]
    assert [row["SkuPriceId"] for row in after] == [before]
    assert {row["x_RateId"] for row in after}.isdisjoint(row["x_RateId"] for row in rows["corrected"])
    tiers = {row["SkuPriceId"].rsplit("/", 1)[1] for kind in ("priced", "batch") for row in rows[kind]}
    assert tiers == {"standard", "batch"}


def test_each_kind_is_told_by_what_it_used(rows):
    def told(kind: str) -> list[tuple]:
        names = ("SkuMeter", "ConsumedQuantity", "ConsumedUnit", "PricingCategory", "BilledCost")
        return [tuple(row[name] for name in names) for row in rows[kind]]

    assert told("embedded") == [("input_tokens", "11", "Tokens", "Standard", "0.00000022")], (
        "unused meters cost nothing"
    )
    assert told("free") == [("calls", "1", "Calls", "Other", "0")]
    assert told("given") == [("calls", "1", "Calls", "Other", "0.0123")]
    assert told("unpriced") == [("calls", "1", "Calls", "Other", "")], "not known is not nothing"
    assert [line[:3] for line in told("audio")] == [("audio_seconds", "61", "Seconds")]
    assert {line[0] for line in told("cached")} == {"input_tokens", "cache_read_tokens", "output_tokens"}
    (name,) = {row["SubAccountName"] for row in rows["of someone gone"]}
    assert re.fullmatch(r"User \d+", name)
