"""Models: what was paid for which, the price book, and giving a model a price."""

import csv
import re
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

import pytest

from tests.costwatch.test_calls_pages import FAILED, HOSTILE, page_of
from tracking.model_spend import paid_by_meter, unit_price, used
from tracking.models import Rate
from tracking.periods import last_days

COST = "$0.00045"
BROKEN = {"status": "timeout", "http_status": None, "usage": None, "quality": "none"}
LIST, BOOK = "/models/", "/models/prices/"
MINI = "/model/?provider=openai&model=gpt-4o-mini"
HOUSE = "/models/price/?provider=openai&model=house-model"
PRICES = {"rate|input_tokens||standard": "1", "rate|output_tokens||standard": "2", "source": "contract 7"}


def test_models_with_what_a_unit_came_to(client, workspace, owner, member, staff):
    workspace.call(user=owner)
    workspace.call(user=owner, days_ago=40)
    workspace.call(user=member, model="gpt-4o")
    workspace.call(user=owner, model="house-model")
    html = page_of(client, owner, LIST)
    for text in ("gpt-4o-mini", COST, "$0.30", "per 1M tokens", "house-model", "Without a price"):
        assert text in html, text
    assert ">gpt-4o<" not in html and "Price it" not in html
    body = page_of(client, staff, LIST)
    assert ">gpt-4o<" in body and "Price it" in body and "94 %" in body and COST in body
    assert "/models/price/?provider=openai&amp;model=house-model" in body


def test_a_missing_price_and_unknown_usage_are_worded_apart(client, workspace, owner, staff):
    workspace.call(user=owner)
    workspace.call(user=owner, **BROKEN)
    workspace.call(user=owner, facts={"service_tier": "no-such-tier"})
    workspace.call(user=owner, model="whisper-1", **BROKEN)
    html = page_of(client, staff, LIST)
    assert "No price for tier &#x27;no-such-tier&#x27; of gpt-4o-mini" in html, "the reason of the newest such call"
    assert html.count("Price it</a>") == 1 and "1 of 3" in html
    assert "Usage unknown" in html and "whisper-1</bdi>: 1" in html and "gpt-4o-mini</bdi>: 1" in html
    assert "$0.30" in html and "priced calls" in html, "over those that have a price"
    body = page_of(client, staff, MINI)
    assert "1 call without a price." in body and "Price this model" in body and "1 call told no usage" in body
    body = page_of(client, staff, "/model/?provider=openai&model=whisper-1")
    assert "told no usage" in body and "Price this model" not in body
    assert "Price this model" not in page_of(client, owner, MINI)


def test_no_share_is_told_of_sums_that_leave_calls_out(client, workspace, owner):
    workspace.call(user=owner)
    workspace.call(user=owner, days_ago=40)
    assert "0 %" in page_of(client, owner, LIST)
    workspace.call(user=owner, days_ago=40, facts={"service_tier": "no-such-tier"})
    assert "unpriced before" in page_of(client, owner, LIST)


def test_the_names_of_a_model_stand_under_it(client, workspace, owner):
    for _ in range(2):
        workspace.call(user=owner, model="gpt-4o-mini-2024-07-18")
    workspace.call(user=owner, **FAILED)
    html = page_of(client, owner, LIST)
    assert html.count("cw-version") == 2 and "2 names" in html
    body = page_of(client, owner, MINI)
    assert "Other names of this model" in body and "gpt-4o-mini-2024-07-18" in body and "$0.0009" in body
    assert "Other names" in page_of(client, owner, MINI + "-2024-07-18")


def test_the_table_as_a_file(client, workspace, owner, member, staff):
    workspace.call(user=owner, model="=1+1")
    workspace.call(user=owner)
    workspace.call(user=owner, **BROKEN)
    workspace.call(user=member, model="gpt-4o")
    assert "file=csv" in page_of(client, owner, LIST)
    client.force_login(owner)
    answer = client.get(LIST + "?file=csv")
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    lines = list(csv.DictReader(answer.content.decode("utf-8-sig").splitlines()))
    assert {line["model"]: line["cost_usd"] for line in lines} == {"gpt-4o-mini": "0.00045", "'=1+1": ""}
    mini = next(line for line in lines if line["model"] == "gpt-4o-mini")
    assert (mini["calls"], mini["usage_unknown"], mini["paid_per_unit_usd"]) == ("2", "1", "0.3")
    client.force_login(staff)
    assert "gpt-4o," in client.get(LIST + "?file=csv").content.decode()


def test_no_unit_is_told_where_none_is_right(workspace, owner):
    workspace.call(user=owner, **FAILED)
    workspace.call(
        user=owner,
        model="whisper-1",
        operation="transcription",
        endpoint="/v1/audio/transcriptions",
        usage={"type": "duration", "seconds": 90},
    )
    workspace.call(user=owner, model="house-model")
    found = {
        line.model: unit_price(line.totals)
        for line in used(period=last_days(workspace.now, 1), before=last_days(workspace.now, 1))
    }
    assert found == {"gpt-4o-mini": None, "whisper-1": (Decimal("0.006"), "minute"), "house-model": None}


def test_one_model(client, workspace, owner, member, staff):
    for _ in range(2):
        workspace.call(user=owner, feature="pitch")
    workspace.call(user=member, feature="digest")
    page_of(client, staff, MINI, most=20)  # a process reads the price book once
    html = page_of(client, staff, MINI)
    for text in (
        "$0.00135",
        "3 calls",
        "$0.30",
        "pitch",
        "digest",
        "input_tokens",
        "3,000",
        "$0.15 <span",
        "Total",
    ):
        assert text in html, text
    assert "Enter a price" in html and "batch" in html
    own = page_of(client, owner, MINI)
    assert "2 calls" in own and "digest" not in own and "Enter a price" not in own
    assert "priced as" in page_of(client, owner, MINI + "-2024-07-18")
    assert "No calls in this time" in page_of(client, owner, MINI + "&since=2020-01-01&until=2020-01-02")
    assert "3 calls" in page_of(client, staff, MINI + "&by=service")


def test_prices_over_time(client, workspace, owner):
    june = datetime(2026, 6, 1, tzinfo=UTC)
    for amount, since, until in (("3", None, june), ("2", june, None)):
        Rate.objects.create(
            provider="acme",
            model="m",
            meter="input_tokens",
            amount=Decimal(amount),
            valid_from=since,
            valid_to=until,
            source="page",
        )
    from tracking.models import PricedModel
    from tracking.pricing import book

    PricedModel.objects.create(provider="acme", model="m", position=1, match={"equals": "m"})
    book.forget()
    html = page_of(client, owner, "/model/?provider=acme&model=m", most=16)
    assert 'data-chart="prices"' in html and "1 Jun 2026" in html and "Changes of its prices" in html
    assert "$3.00" in html and "$2.00" in html


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?provider=openai",
        "?model=gpt-4o",
        "?provider=openai&model=nobody",
        "?provider=%00&model=%00",
        "?provider=openai&model=" + "x" * 3000,
    ],
)
def test_a_model_that_nobody_knows_is_not_there(client, workspace, owner, query):
    client.force_login(owner)
    assert client.get("/model/" + query).status_code == 404


def test_the_price_book_as_of_a_day(client, owner, workspace):
    html = page_of(client, owner, f"{BOOK}?q=gpt-4o-mini&provider=openai")
    assert "$0.15" in html and "standard" in html and "The prices in force now" in html
    assert html.count("<summary>standard") == html.count('aria-labelledby="model-'), "tiers stand together"
    assert "Input</span> $0.15 · " in html and "Output</span> $0.60" in html and 'class="cw-tier" open' not in html
    march = page_of(client, owner, f"{BOOK}?q=gpt-4o-mini&provider=openai&at=2024-03-01")
    assert "in force on 1 Mar 2024" in march
    assert "No model matches" in page_of(client, owner, f"{BOOK}?q=%00nobody%22")
    for query in ("at=yesterday", "at=9999-01-01", "from=x&provider=nobody"):
        page_of(client, owner, f"{BOOK}?{query}")
    assert 'rel="next"' in page_of(client, owner, BOOK)
    assert 'rel="prev"' in page_of(client, owner, f"{BOOK}?from=15")


# --- Pricing


def test_a_model_is_priced_its_calls_too_and_the_overview_grows(client, workspace, owner, staff):
    workspace.call(user=owner)
    for _ in range(3):
        workspace.call(user=owner, model="house-model")
    assert "$0.00045" in page_of(client, owner, "/", most=20)
    html = page_of(client, staff, HOUSE)
    assert "3 calls of" in html and "No prices for openai model" in html and html.count("USD per 1,000,000 tokens") == 2

    shown = client.post(HOUSE, {**PRICES, "preview": ""}).content.decode()
    assert "What this would do" in shown and "$0.006" in shown and "3 calls would be priced" in shown
    assert 'value="contract 7"' in shown and not Rate.objects.filter(model="house-model").exists()

    done = client.post(HOUSE, {**PRICES, "save": ""}, follow=True)
    assert done.redirect_chain == [("/model/?provider=openai&model=house-model", 302)]
    html = done.content.decode()
    assert "3 calls priced: $0.006" in html and "contract 7" in html and "own" in html
    assert "$0.0064" in page_of(client, owner, "/", most=20), "the sum has grown"
    assert "Without a price" not in page_of(client, staff, LIST)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate|input_tokens||standard": "", "rate|output_tokens||standard": ""}, "Enter one price at least"),
        ({"rate|input_tokens||standard": "-1"}, "greater than or equal to 0"),
        ({"rate|input_tokens||standard": "NaN"}, "Enter a number"),
        ({"rate|input_tokens||standard": "1e999"}, "no more than"),
        ({"source": ""}, "This field is required"),
        ({"valid_from": "2026-05-02", "valid_to": "2026-05-01"}, "must end after it begins"),
        ({"valid_from": "0001-01-01"}, "between the years"),
    ],
)
def test_what_is_no_price_is_said_beside_the_field(client, workspace, staff, changes, said):
    workspace.call(user=staff, model="house-model")
    client.force_login(staff)
    html = client.post(HOUSE, {**PRICES, **changes, "save": ""}).content.decode()
    assert said in html and not Rate.objects.filter(model="house-model").exists()


def test_a_price_that_is_not_enough_says_so(client, workspace, staff):
    workspace.call(user=staff, model="house-model")
    client.force_login(staff)
    half = {**PRICES, "rate|output_tokens||standard": ""}
    assert "1 would still have no price" in client.post(HOUSE, {**half, "preview": ""}).content.decode()
    html = client.post(HOUSE, {**half, "save": ""}, follow=True).content.decode()
    assert "1 call still has no price" in html


def test_calls_beyond_what_is_priced_at_once_follow(client, workspace, staff, monkeypatch):
    monkeypatch.setattr("tracking.own_rates.MOST_AT_ONCE", 1)
    asked = []
    monkeypatch.setattr("costwatch.pages.price_model.reprice_unpriced.delay", lambda: asked.append(1))
    for _ in range(3):
        workspace.call(user=staff, model="house-model")
    client.force_login(staff)
    assert "2 more would be priced in the background" in client.post(HOUSE, {**PRICES, "preview": ""}).content.decode()
    html = client.post(HOUSE, {**PRICES, "save": ""}, follow=True).content.decode()
    assert "1 call priced" in html and "The other 2 are priced in the background" in html and asked == [1]


def test_only_who_may_enter_prices_finds_the_form(client, workspace, owner, django_user_model):
    from django.contrib.auth.models import Permission

    helper = django_user_model.objects.create_user(email="helper@example.com", password="x", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_apiusagelog"))
    for who in (owner, helper):
        client.force_login(who)
        assert client.get(HOUSE).status_code == client.post(HOUSE, {**PRICES, "save": ""}).status_code == 404
    assert not Rate.objects.filter(model="house-model").exists()
    helper.user_permissions.add(Permission.objects.get(codename="add_rate"))
    assert client.get(HOUSE).status_code == 200
    assert (
        client.get("/models/price/").status_code
        == client.get("/models/price/?provider=openai&model=%00").status_code
        == 404
    )


def test_paid_by_meter_is_exact_of_the_calls_it_names(workspace, owner):
    from tracking.lists import Where

    workspace.call(user=owner)
    workspace.call(user=owner, **FAILED)
    period = last_days(workspace.now, 1)
    paid = paid_by_meter(Where(since=period.starts_at, until=period.ends_at, filters={"model": "gpt-4o-mini"}))
    assert paid.calls == 1
    assert {m.meter: (m.quantity, m.amount, m.effective) for m in paid.meters} == {
        "input_tokens": (1000, Decimal("0.00015"), Decimal("0.15")),
        "output_tokens": (500, Decimal("0.0003"), Decimal("0.6")),
    }


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_data(client, workspace, staff, name):
    workspace.call(user=staff, model=name, feature=name)
    asked = quote(name, safe="")
    for path in (
        LIST,
        f"/model/?provider=openai&model={asked}",
        f"/models/price/?provider=openai&model={asked}",
        f"{BOOK}?q={asked}",
    ):
        html = page_of(client, staff, path)
        assert "<script>alert" not in html and "<img src=x" not in html
    assert re.search(r"<bdi", page_of(client, staff, LIST))
