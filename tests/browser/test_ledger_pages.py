"""From a list to a receipt, and from a model without a price to one whose calls are in the sums: in a real browser."""

from playwright.sync_api import expect


def test_filter_then_page_then_call_then_receipt(scene, owner, open_page, come_in):
    for number in range(60):
        scene.workspace.call(user=owner, feature="paged", days_ago=number / 100)
    page = open_page()
    come_in(page, scene.reader)
    page.goto("/calls/")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Feature").fill("paged")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("row")).to_have_count(51)
    expect(page.get_by_text("60 calls · $0.0270")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("row")).to_have_count(11)
    assert "feature=paged" in page.url
    page.get_by_role("row").nth(1).get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.get_by_role("row", name="Total").get_by_role("cell")).to_have_text("$0.00045")
    page.get_by_role("link", name="paged").click()
    expect(page.get_by_label("Without the filter by Feature")).to_be_visible()


def test_a_call_is_found_by_the_providers_id(scene, open_page, come_in):
    page = open_page(390)
    come_in(page, scene.reader)
    page.goto("/calls/")
    page.get_by_label("Find a call by an id").fill("req_1")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/calls/{scene.ids['call']}/")
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()


def test_a_model_without_a_price_gets_one_and_its_calls_come_into_the_sums(scene, owner, open_page, come_in):
    for _ in range(4):
        scene.workspace.call(
            user=owner,
            model="house-model",
            usage={"prompt_tokens": 10**6, "completion_tokens": 10**6, "total_tokens": 2 * 10**6},
        )
    page = open_page()
    come_in(page, scene.reader)
    page.goto("/?period=today")
    before = page.locator(".cw-sums strong").text_content()
    page.goto("/models/")
    page.get_by_role("link", name="Price it: house-model").click()
    page.get_by_label("input_tokens, USD per 1,000,000 tokens").fill("1")
    page.get_by_label("output_tokens, USD per 1,000,000 tokens").fill("2")
    page.get_by_label("Where the price is from").fill("contract 7")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("4 calls would be priced")).to_be_visible()
    expect(page.locator("#preview")).to_contain_text("$12.00")
    page.get_by_role("button", name="Enter and price the calls").click()
    expect(page.get_by_text("4 calls priced: $12.00.")).to_be_visible()
    page.goto("/?period=today")
    after = page.locator(".cw-sums strong").text_content()
    assert float(after.strip("$")) - float(before.strip("$")) > 11.9


def test_an_analysis_is_found_and_leads_to_its_calls(scene, open_page, come_in):
    page = open_page()
    come_in(page, scene.reader)
    page.goto("/analyses/")
    page.get_by_label("Find an analysis by its id or title").fill("report")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="report-17").click()
    expect(page.get_by_role("heading", name="By feature")).to_be_visible()
    page.get_by_role("link", name="Its calls").click()
    expect(page.get_by_label("Without the filter by Analysis")).to_be_visible()


def test_from_the_users_to_one_of_them_and_a_part_of_his_spending(scene, owner, open_page, come_in):
    page = open_page()
    come_in(page, scene.reader)
    page.goto("/users/")
    page.get_by_role("link", name=owner.email).click()
    expect(page.get_by_role("heading", name=owner.email)).to_be_visible()
    page.get_by_role("link", name="Feature", exact=True).click()
    page.get_by_role("link", name="summary").first.click()
    assert "feature=summary" in page.url


def test_pages_work_without_scripts(scene, chromium, live_server, come_in):
    context = chromium.new_context(java_script_enabled=False, base_url=live_server.url)
    page = context.new_page()
    come_in(page, scene.reader)
    page.goto("/model/?provider=openai&model=gpt-4o-mini")
    expect(page.get_by_role("region", name="Spend by day")).to_be_visible()
    page.goto("/calls/?feature=summary")
    expect(page.get_by_role("row")).not_to_have_count(0)
    context.close()
