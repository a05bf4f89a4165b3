"""A guarded view of an application: a refused call is its 402, whichever way the refusal came."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import openai
import pytest
from django.http import JsonResponse
from django.test import override_settings
from django.urls import path
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.response import Response

from budgets import operations
from budgets.calls import Call
from tests.flows.budgeting import ask, limit_of

CLIENT: dict = {}


def summary(request):
    """A view that knows nothing of budgets."""
    return JsonResponse({"text": ask(CLIENT["openai"]).choices[0].message.content})


async def async_summary(request):
    client = openai.AsyncOpenAI(base_url=CLIENT["base_url"], api_key="local")
    from costwatch.clients import wrap

    answer = await ask(wrap(client, feature="summary"))
    await client.close()
    return JsonResponse({"text": answer.choices[0].message.content})


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def drf_summary(request):
    return Response({"text": ask(CLIENT["openai"]).choices[0].message.content})


def direct(request):
    """A view that holds money itself."""
    from uuid import uuid4

    operations.reserve(Call(at=datetime.now(UTC), feature="summary"), hold_id=uuid4(), amount=Decimal(1))
    return JsonResponse({})


def broken(request):
    raise openai.OpenAIError("something else")


urlpatterns = [
    path("summary", summary),
    path("async", async_summary),
    path("drf", drf_summary),
    path("direct", direct),
    path("broken", broken),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def clean_memory(transactional_db, sdk, provider):
    from budgets import connections

    operations.forget()
    CLIENT.update(openai=sdk("openai", feature="summary"), base_url=provider.openai_base_url)
    yield
    operations.forget()
    connections.shut_down()


@pytest.mark.parametrize("address", ["/summary", "/async", "/drf", "/direct"])
def test_a_refused_call_is_the_views_402(client, provider, address):
    limit = limit_of("0.0001", scope="feature", target="summary", name="Summaries of the month")
    answer = client.get(address)
    assert answer.status_code == 402 and not provider.requests
    body = json.loads(answer.content)
    assert body["error"] == "Budget limit exceeded"
    assert body["message"] == "Please increase your budget or wait until the next period."
    assert (body["limit"]["id"], body["limit"]["name"]) == (limit.pk, "Summaries of the month")
    assert (body["limit"]["amount"], body["limit"]["spent"]) == ("0.0001", "0")
    assert datetime.fromisoformat(body["resetsAt"]) > datetime.now(UTC)


@override_settings(REST_FRAMEWORK={"EXCEPTION_HANDLER": "budgets.http.exception_handler"})
def test_drf_renders_the_refusal_itself_where_its_handler_is_named(client):
    limit_of("0.0001", scope="feature", target="summary")
    answer = client.get("/drf")
    assert answer.status_code == 402 and answer.data["error"] == "Budget limit exceeded"


def test_an_answered_call_and_other_errors_stay_as_they_are(client):
    assert client.get("/summary").status_code == 200
    with pytest.raises(openai.OpenAIError, match="something else"):
        client.get("/broken")


def test_a_budget_that_cannot_be_checked_is_503(client, provider, monkeypatch):
    from budgets import gate
    from budgets.errors import BudgetUnavailable

    limit_of("5")

    def away(*args):
        raise BudgetUnavailable("away")

    monkeypatch.setattr(gate, "_decide", away)
    answer = client.get("/summary")
    assert answer.status_code == 503 and not provider.requests
    assert answer.headers["Retry-After"] and answer.json()["error"] == "Budget cannot be checked"
