"""Calls without a price on every page that adds up: which a price would help, and which told no usage."""

from tests.costwatch.test_calls_pages import page_of
from tests.costwatch.test_models_pages import BROKEN

NEW_TIER = {"facts": {"service_tier": "no-such-tier"}}


def test_the_overview_tells_them_apart_and_leads_to_the_price(client, workspace, owner, staff):
    workspace.call(user=owner)
    workspace.call(user=owner, **BROKEN)
    html = page_of(client, staff, "/?period=7d", most=30)
    assert "1 call told no usage" in html and "no price yet" not in html and "Enter the price" not in html
    workspace.call(user=owner, model="house-model")
    workspace.call(user=owner, model="other-model")
    html = page_of(client, staff, "/?period=7d")
    assert "2 calls have no price yet" in html and "1 call told no usage" in html
    assert "/models/price/?provider=openai&amp;model=house-model" in html
    own = page_of(client, owner, "/?period=7d", most=30)
    assert "2 calls have no price yet" in own and "/models/price/" not in own
    narrow = page_of(client, staff, "/?period=7d&model=house-model", most=30)
    assert "1 call has no price yet" in narrow and "told no usage" not in narrow
    assert "no prices for openai model &#x27;house-model&#x27;" in narrow
    page = page_of(client, staff, f"/users/{owner.pk}/?period=7d", most=30)
    assert "2 calls have no price yet" in page and "1 call told no usage" in page


def test_no_change_is_told_where_the_span_before_leaves_calls_out(client, workspace, owner):
    for days in (1, 8):
        workspace.call(user=owner, days_ago=days, feature="digest")
    assert "unpriced before" not in page_of(client, owner, "/?period=7d", most=30)
    workspace.call(user=owner, days_ago=8, feature="digest", **NEW_TIER)
    html = page_of(client, owner, "/?period=7d")
    assert html.count("unpriced before") >= 2, "of the whole, and of the feature"
