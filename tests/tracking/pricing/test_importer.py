"""The importer adds what changed and nothing else; what was priced before stays explained."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from tests.tracking.pricing.books import NOW, day, price_list
from tracking.models import PricedModel, Rate
from tracking.pricing import ModelRule, book, price
from tracking.pricing.catalogue import PriceList, RateKey, Span
from tracking.pricing.importer import import_price_list
from tracking.usage import Usage

INPUT = RateKey("acme", "m", "input_tokens")
OUTPUT = RateKey("acme", "m", "output_tokens")

pytestmark = pytest.mark.django_db


def listed(**spans) -> PriceList:
    keys = {"input": INPUT, "output": OUTPUT}
    return PriceList(
        spans={keys[name]: span for name, span in spans.items()},
        rules=[ModelRule("acme", "m", {"starts_with": "m"}, "M", 1000)],
    )


def span(amount, start=None, end=None, per=1_000_000) -> Span:
    return Span(start and day(start), end and day(end), Decimal(amount), per, "acme.example")


def cost(at: datetime = NOW, **meters) -> int | None:
    return price(Usage(provider="acme", model="m", meters=meters), at, book.current()).total_nanousd


def test_migrating_fills_the_price_book():
    assert Rate.objects.filter(provider="openai", own=False).count() > 1000
    assert book.current().resolve("anthropic", "claude-opus-4-8").context_window == 1_000_000
    done = import_price_list(price_list(), dry_run=True)
    assert (done.changes, done.rules) == ([], [])


def test_importing_twice_adds_nothing():
    first = import_price_list(listed(input=[span("5")], output=[span("9")]))
    before = list(Rate.objects.values())
    second = import_price_list(listed(input=[span("5.0")], output=[span("9")]))
    assert (len(first.changes), first.unchanged) == (2, 0)
    assert (len(second.changes), second.unchanged, second.rules) == (0, 2, [])
    assert list(Rate.objects.values()) == before


def test_a_new_price_adds_a_row_and_old_calls_keep_theirs():
    import_price_list(listed(input=[span("5")]))
    assert cost(day("2026-08-20"), input_tokens=1) == 5000
    done = import_price_list(listed(input=[span("5", end="2026-08-21"), span("4", start="2026-08-21")]))
    assert [str(change) for change in done.changes] == ["~ acme m input_tokens: $5 -> $4 per 1000000 from 2026-08-21"]
    assert cost(day("2026-08-20"), input_tokens=1) == 5000
    assert cost(day("2026-08-21"), input_tokens=1) == 4000
    assert Rate.objects.filter(provider="acme").count() == 2


def test_a_price_that_was_wrong_all_along_is_overruled_not_edited():
    import_price_list(listed(input=[span("5", end="2026-08-21"), span("4", start="2026-08-21")]))
    done = import_price_list(listed(input=[span("3")]))
    assert len(done.changes) == 2
    assert {cost(day("2026-08-20"), input_tokens=1), cost(input_tokens=1)} == {3000}
    assert import_price_list(listed(input=[span("3")])).changes == []
    assert Rate.objects.filter(provider="acme").count() == 4


def test_a_price_no_longer_listed_is_withdrawn_and_can_come_back():
    import_price_list(listed(input=[span("5")], output=[span("9")]))
    done = import_price_list(listed(input=[span("5")]))
    assert [str(change) for change in done.changes] == ["- acme m output_tokens: $9 -> none per 1000000"]
    assert cost(input_tokens=1) == 5000
    assert cost(input_tokens=1, output_tokens=1) is None
    assert import_price_list(listed(input=[span("5")])).changes == []
    import_price_list(listed(input=[span("5")], output=[span("9")]))
    assert cost(input_tokens=1, output_tokens=1) == 14_000


def test_a_dry_run_tells_and_writes_nothing():
    before = Rate.objects.count(), PricedModel.objects.count()
    done = import_price_list(listed(input=[span("5")]), dry_run=True)
    assert [str(change) for change in done.changes] == ["+ acme m input_tokens: none -> $5 per 1000000"]
    assert done.rules == ["+ rule acme m"]
    assert (Rate.objects.count(), PricedModel.objects.count()) == before


def test_rates_of_an_admin_are_left_alone_and_win():
    import_price_list(listed(input=[span("5")]))
    Rate.objects.create(
        provider="acme", model="m", meter="input_tokens", amount=Decimal("1"), source="contract", own=True
    )
    assert cost(input_tokens=1) == 1000
    assert import_price_list(listed(input=[span("5")])).changes == []
    import_price_list(listed(input=[span("6")]))
    assert cost(input_tokens=1) == 1000


def test_rules_follow_the_list():
    import_price_list(listed(input=[span("5")]))
    prices = listed(input=[span("5")])
    prices.rules = [ModelRule("acme", "n", {"equals": "n"}), replace(prices.rules[0], match={"equals": "m"})]
    assert import_price_list(prices).rules == ["+ rule acme n", "~ rule acme m"]
    prices.rules.pop()
    assert import_price_list(prices).rules == ["- rule acme m"]
    assert book.current().resolve("acme", "m") is None


def test_other_providers_are_not_touched():
    import_price_list(listed(input=[span("5")]))
    other = PriceList(spans={}, rules=[ModelRule("other", "x", {"equals": "x"})])
    assert import_price_list(other).changes == []
    assert cost(input_tokens=1) == 5000


def test_the_command_prints_what_changed_and_is_quiet_when_nothing_did():
    wrong = Rate.objects.filter(model="gpt-4o", meter="input_tokens", tier="standard", region="", own=False).get()
    Rate.objects.create(
        provider="openai", model="gpt-4o", meter="input_tokens", amount=Decimal("9"), source="an older catalogue"
    )
    out = io.StringIO()
    call_command("import_prices", "--provider", "openai", "--dry-run", stdout=out)
    assert f"~ openai gpt-4o input_tokens: $9 -> ${wrong.amount} per 1000000" in out.getvalue()
    assert "1 rates would be recorded" in out.getvalue()
    call_command("import_prices", "--provider", "openai", stdout=io.StringIO())
    out = io.StringIO()
    call_command("import_prices", "--provider", "openai", stdout=out)
    assert out.getvalue().startswith("0 rates recorded")


# --- The book of the process ------------------------------------------------------------------------


def test_a_rate_entered_here_counts_at_once():
    import_price_list(listed(input=[span("5")]))
    assert cost(input_tokens=1) == 5000
    Rate.objects.create(provider="acme", model="m", meter="input_tokens", amount=Decimal("2"), source="x", own=True)
    assert cost(input_tokens=1) == 2000


def test_a_rate_recorded_by_another_process_counts_within_a_second(monkeypatch):
    import_price_list(listed(input=[span("5")]))
    clock = [1000.0]
    monkeypatch.setattr(book.time, "monotonic", lambda: clock[0])
    book.forget()
    kept = book.current()
    Rate.objects.bulk_create(  # sends no signal, as another process sends none
        [Rate(provider="acme", model="m", meter="input_tokens", amount=Decimal("2"), source="x")]
    )
    assert book.current() is kept
    clock[0] += book.FRESH_S
    assert cost(input_tokens=1) == 2000
    kept = book.current()
    clock[0] += book.FRESH_S
    assert book.current() is kept, "an unchanged book is kept"


def test_the_book_can_be_read_as_it_was_known():
    import_price_list(listed(input=[span("5")]))
    Rate.objects.filter(provider="acme").update(recorded_at=timezone.now() - timedelta(days=2))
    import_price_list(listed(input=[span("4")]))
    usage = Usage(provider="acme", model="m", meters={"input_tokens": 1})
    yesterday = book.as_known(datetime.now(UTC) - timedelta(days=1))
    assert price(usage, NOW, yesterday).total_nanousd == 5000
    assert cost(input_tokens=1) == 4000


def test_pricing_a_call_asks_the_database_only_for_a_new_provider(django_assert_num_queries):
    import_price_list(listed(input=[span("5")]))
    cost(input_tokens=1)
    with django_assert_num_queries(0):
        for name in range(50):
            price(Usage(provider="acme", model=f"m-{name}", meters={"input_tokens": 1}), NOW, book.current())
