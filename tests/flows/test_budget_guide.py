"""The guide's transcription endpoint, exactly as it stands there: check, 402, tracked call, answer."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import path

from costwatch.demo.quantities import wav
from tests.flows.budgeting import assert_budgets_agree, limit_of

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "budgets.md"
PYTHON = re.compile(r"```python\n(.*?)^```", re.S | re.M)
SNIPPET = next(text for text in PYTHON.findall(GUIDE.read_text()) if "def transcribe" in text)
_NAMES: dict = {"__name__": "guide"}
exec(compile(SNIPPET, str(GUIDE), "exec"), _NAMES)

urlpatterns = [path("transcribe", _NAMES["transcribe"])]
pytestmark = pytest.mark.urls(__name__)
REFUSAL = {
    "error": "Budget limit exceeded",
    "message": "Please increase your budget or wait until the next period.",
}
#: Half a minute of sound at $0.006 a minute.
SECONDS, COST = 30, Decimal("0.003")


@pytest.fixture
def logged_in(client, owner, provider, monkeypatch):
    """Alice's browser, and an application that reaches the provider as the SDK does by itself."""
    monkeypatch.setenv("OPENAI_API_KEY", "local")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_base_url)
    client.force_login(owner)
    return client


def transcribe(client):
    return client.post("/transcribe", {"audio": SimpleUploadedFile("take.wav", wav(SECONDS), "audio/wav")})


def test_within_the_budget_the_call_is_made_answered_and_counted(ledger, logged_in, owner):
    limit_of("1", scope="each_user", period="day")
    response = transcribe(logged_in)
    assert response.status_code == 200
    answer = response.json()
    assert answer["success"] is True and answer["transcription"]
    row = ledger.row()
    assert (row.user_id, row.feature, row.operation, row.cost) == (owner.pk, "transcription", "transcription", COST)
    assert_budgets_agree(ledger)


def test_a_spent_budget_answers_402_before_anything_is_sent(ledger, logged_in, owner, provider):
    limit_of("0", scope="each_user", period="day")
    response = transcribe(logged_in)
    assert (response.status_code, response.json()) == (402, REFUSAL)
    assert not provider.requests


def test_another_users_spending_is_no_concern_of_hers(ledger, logged_in, member):
    limit_of("0", scope="user", user=member, period="day")
    assert transcribe(logged_in).status_code == 200


def test_what_slips_through_the_check_is_refused_by_the_call_itself(ledger, logged_in, owner, provider, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "budgets.http.BudgetMiddleware"]
    limit_of("0.001", scope="each_user", period="day")  # something is left, but not enough for half a minute
    response = transcribe(logged_in)
    body = response.json()
    assert response.status_code == 402
    assert {name: body[name] for name in REFUSAL} == REFUSAL
    assert body["limit"]["remaining"] == "0.001" and body["resetsAt"]
    assert not provider.requests
    assert_budgets_agree(ledger)


def test_nobody_else_may_use_it(client):
    assert client.get("/transcribe").status_code == 405
