"""A web application calls a provider inside its own requests and transactions."""

import asyncio
import threading

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

QUESTION = [{"role": "user", "content": "What did we spend?"}]
clients: dict = {}


def rolled_back(request):
    """Spends money, writes something, and fails: everything of the application's own is undone."""
    with transaction.atomic():
        get_user_model().objects.create_user("new@example.com")
        clients["openai"].chat.completions.create(model="gpt-4o", messages=QUESTION)
        raise RuntimeError("the view fails after the call")


async def chat(request):
    answer = await clients["async_openai"].chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    return JsonResponse({"answer": answer.choices[0].message.content})


def plain_chat(request):
    answer = clients["openai"].chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    return HttpResponse(answer.choices[0].message.content)


urlpatterns = [path("rolled-back", rolled_back), path("chat", chat), path("plain", plain_chat)]


@pytest.fixture
def site(ledger, sdk):
    clients["openai"] = sdk("openai", feature="site")
    clients["async_openai"] = sdk("async_openai", feature="site")
    with override_settings(ROOT_URLCONF=__name__):
        yield
    clients.clear()


def test_the_row_outlives_the_requests_transaction(site, ledger, owner):
    browser = Client(raise_request_exception=False)
    browser.force_login(owner)
    assert browser.get("/rolled-back").status_code == 500
    assert not get_user_model().objects.filter(email="new@example.com").exists()
    row = ledger.row()
    assert (row.user_id, row.feature, row.price_status) == (owner.pk, "site", "priced")


def test_the_requests_user_pays_in_sync_and_async_views(site, ledger, owner, member):
    def visit(person):
        browser = Client()
        browser.force_login(person)
        assert browser.get("/plain").status_code == 200

    threads = [threading.Thread(target=visit, args=(person,)) for person in (owner, member)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def visit_async():
        browsers = []
        for person in (owner, member, None):
            browser = AsyncClient()
            if person:
                await browser.aforce_login(person)
            browsers.append(browser.get("/chat"))
        return await asyncio.gather(*browsers)

    assert {answer.status_code for answer in asyncio.run(visit_async())} == {200}
    users = sorted(row.user_id or 0 for row in ledger.rows())
    assert users == sorted([0, owner.pk, owner.pk, member.pk, member.pk])
