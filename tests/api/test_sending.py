"""Sending usage over HTTP, and taking it out again as a file."""

import csv
import io
import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError, connection
from django.utils import timezone

from tests.api.conftest import Caller, key_for, login_of
from tests.tracking.making import an_event
from tests.tracking.test_ingestion import an_item
from tracking.audit import audit
from tracking.exports import FORMATS
from tracking.models import ApiUsageLog
from tracking.periods import last_days
from tracking.recording import record

pytestmark = pytest.mark.django_db
USAGE = "/api/v1/usage"


def event(**changes) -> dict:
    return an_item(**{"at": timezone.now().isoformat(), **changes})


def send(caller: Caller, body, *, code: int, content_type: str = "application/json"):
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = caller.client.post(
        USAGE, sent, content_type=content_type, headers={"authorization": f"Bearer {caller.token}"}
    )
    assert response.status_code == code, response.content
    return response.json()


def test_one_event_again_and_with_other_content(alice, owner):
    one = event(user=owner.email, tags={"team": "blue"})
    made = send(alice, one, code=201)
    assert made == {"index": 0, "id": one["id"], "status": "recorded", "code": 201, "errors": {}, "warnings": {}}
    assert send(alice, one, code=200)["status"] == "duplicate"
    problem = send(alice, {**one, "feature": "else"}, code=409)
    assert (problem["status"], "other content" in problem["detail"]) == (409, True)
    assert alice.get(f"{USAGE}/{one['id']}")["cost"] == "0.0075"
    assert ApiUsageLog.objects.count() == 1


def test_a_provider_is_known_by_its_name_in_any_letters(alice):
    one = event(id="n1", provider="OpenAI")
    made = send(alice, one, code=201)
    assert alice.get(f"{USAGE}/{made['id']}")["cost"] == "0.0075"
    assert send(alice, {**one, "provider": "openai"}, code=200)["status"] == "duplicate"
    for path in (USAGE, "/api/v1/reports"):
        told = alice.get(path, provider="OPENAI")
        assert len(told.get("usage", told.get("groups"))) == 1, path
    file = alice.ask("GET", f"{USAGE}/export?format=ndjson&provider=OpenAI")
    assert json.loads(b"".join(file.streaming_content))["provider"] == "openai"
    planned = {"provider": "OpenAI", "model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 500}
    assert alice.ask("POST", "/api/v1/check", planned).json()["estimated_cost"] == "0.0075"
    record([an_event(provider="OpenAI")], now=timezone.now())
    assert {row.provider for row in ApiUsageLog.objects.all()} == {"openai"}
    assert ApiUsageLog.objects.count() == 2


def test_an_address_without_an_account_is_told_of_in_the_answer(dora, owner):
    """The money is spent: the call is recorded, and whoever told of it hears that it is nobody's."""
    one = event(id="n1", user="alcie@example.com")
    told = "there is no account alcie@example.com: the call is recorded as nobody's"
    assert send(dora, one, code=201)["warnings"] == {"user": told}
    assert send(dora, one, code=200)["warnings"] == {"user": told}, "told again"
    answer = send(dora, [one, event(user=owner.email), event(user=owner.pk)], code=200)
    assert [bool(result["warnings"]) for result in answer["results"]] == [True, False, False]
    assert ApiUsageLog.objects.get(user_id=None).tags["user"] == "alcie@example.com"
    assert "user" in send(dora, event(user=owner.pk + 1000), code=400)["errors"]


def test_a_bad_event_is_a_problem_that_names_its_fields(alice):
    problem = send(alice, event(provider=..., prompt="hello"), code=400)
    assert problem["errors"]["provider"] == ["is missing"] and "prompt" in problem["errors"]
    assert "hello" not in json.dumps(problem)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_batch_tells_of_each_event(alice, wrapped):
    batch = [event(), event(model=...), event()]
    answer = send(alice, {"events": batch} if wrapped else batch, code=207)
    assert {name: answer[name] for name in ("recorded", "duplicates", "conflicts", "invalid")} == {
        "recorded": 2, "duplicates": 0, "conflicts": 0, "invalid": 1,
    }  # fmt: skip
    assert [result["code"] for result in answer["results"]] == [201, 400, 201]
    assert send(alice, [batch[0], batch[2]], code=200)["duplicates"] == 2
    assert send(alice, [], code=200)["results"] == []


def test_lines_of_which_one_is_broken(alice):
    lines = [json.dumps(event()), "{broken", "", json.dumps(event()), '{"at": NaN}']
    answer = send(alice, "\n".join(lines).encode(), code=207, content_type="application/x-ndjson")
    assert [result["status"] for result in answer["results"]] == ["recorded", "invalid", "recorded", "invalid"]


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (b"{broken", 400, "not valid JSON"),
        (b'[{"at": NaN}]', 400, "NaN"),
        (b"[" * 100_000, 400, "not valid JSON"),
        (b'"text"', 400, "a list of events"),
        (b"\xff\xfe", 400, "not valid JSON"),
        (json.dumps([{}] * 1001).encode(), 400, "At most 1000"),
        (b" " * (8 * 1024 * 1024 + 1), 413, "at most"),
    ],
    ids=["broken", "nan", "deep", "text", "bytes", "many", "large"],
)
def test_what_is_no_batch_at_all(alice, body, code, told):
    assert told in send(alice, body, code=code)["detail"]
    assert "media type" in send(alice, b"a,b", code=415, content_type="text/csv")["detail"].lower()


def test_a_key_needs_the_scope_and_stands_in_the_tags(owner, anonymous, db):
    reading = Caller("reading", key_for(owner, "read"))
    assert "ingest" in send(reading, event(), code=403)["detail"]
    sending = Caller("sending", key_for(owner, "ingest"))
    made = send(sending, event(), code=201)
    row = ApiUsageLog.objects.get(id=made["id"])
    assert row.tags["api_key"].startswith("key_") and row.user_id == owner.pk
    assert anonymous.ask("POST", USAGE, event()).status_code == 401


def test_others_calls_take_a_permission(alice, member, staff, django_user_model):
    assert "must be yourself" in str(send(alice, event(user=member.pk), code=400)["errors"])
    clerk = django_user_model.objects.create_user(email="clerk@example.com", password="x", is_staff=True)
    assert "must be yourself" in str(send(login_of(clerk), event(user=member.pk), code=400)["errors"])
    clerk.user_permissions.add(Permission.objects.get(codename="add_apiusagelog"))
    made = send(Caller("key", key_for(clerk, "ingest")), event(user=member.email), code=201)
    assert ApiUsageLog.objects.get(id=made["id"]).user_id == member.pk


def test_a_database_that_is_away_is_no_bad_request(alice, monkeypatch):
    def away(*args, **more):
        raise OperationalError("connection refused")

    monkeypatch.setattr("tracking.api.ingest.ingest", away)
    assert "nothing is counted twice" in send(alice, event(), code=503)["detail"]


# --- Exports --------------------------------------------------------------------------------------------------------


def export(caller: Caller, path: str = f"{USAGE}/export", **params):
    from urllib.parse import urlencode

    response = caller.ask("GET", f"{path}?{urlencode(params)}", accept="text/csv")
    assert response.status_code == 200, response.content
    return response, b"".join(response.streaming_content).decode("utf-8-sig")


@pytest.mark.parametrize("path", [f"{USAGE}/export", "/api/cost-monitoring/export"])
def test_the_file_adds_up_to_what_the_api_tells(alice, month_of_calls, path):
    response, text = export(alice, path, format="csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["id"] for row in rows} == {str(month_of_calls[n]) for n in ("chat", "older", "whisper", "unpriced")}
    summary = alice.get("/api/v1/monitoring/ai-costs/summary", days=30)
    cost = sum(Decimal(row["cost_usd"] or 0) for row in rows)
    assert cost == Decimal(str(summary["total_cost"])) and summary["unpriced_calls"] == 1
    days = last_days(timezone.now(), 30)
    assert response["Content-Disposition"].startswith('attachment; filename="costwatch-usage-')
    assert f"{days.start}-{days.end}" in response["Content-Disposition"]
    assert response["Content-Type"] == "text/csv; charset=utf-8"


def test_filters_formats_and_whose(alice, dora, owner, month_of_calls):
    _, text = export(alice, format="ndjson", service="whisper")
    assert [json.loads(line)["id"] for line in text.splitlines()] == [str(month_of_calls["whisper"])]
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert len(json.loads(export(alice, format="json", since=since)[1])) == 3
    assert "secret-of-bob" not in export(alice, format="focus")[1]
    assert "secret-of-bob" in export(dora, format="focus", user="all")[1]
    assert len(export(dora, user=owner.pk)[1].splitlines()) == 5
    assert export(dora)[1].count("\n") == 1, "one's own: none"


@pytest.mark.parametrize(
    ("params", "code"),
    [("format=parquet", 400), ("since=x", 400), ("color=red", 400), ("since=2999-01-01", 400), ("user=all", 404)],
)
def test_what_cannot_be_exported(alice, params, code):
    response = alice.ask("GET", f"{USAGE}/export?{params}")
    assert response.status_code == code and response["Content-Type"] == "application/problem+json"


def test_a_format_that_there_is_not_is_told_with_those_that_there_are(alice):
    for format in ("parquet", "xls"):
        told = alice.ask("GET", f"{USAGE}/export?format={format}").content.decode()
        assert format in told and all(name in told for name in FORMATS), told


def test_nobody_gets_a_file_without_a_token(anonymous, owner):
    assert anonymous.ask("GET", f"{USAGE}/export").status_code == 401
    sending = Caller("sending", key_for(owner, "ingest"))
    assert sending.ask("GET", f"{USAGE}/export").status_code == 403


def test_a_uuid_of_somebody_else_cannot_be_taken_over(alice, bob):
    one = event(id=str(uuid.uuid4()))
    send(alice, one, code=201)
    send(bob, one, code=409)
    assert ApiUsageLog.objects.get().user_id is not None


@pytest.mark.django_db(transaction=True)
def test_the_same_batch_from_several_at_once_is_counted_once(owner):
    key, batch = key_for(owner, "ingest"), [event(id=f"n{n}") for n in range(40)]

    def post(_: int) -> dict:
        try:
            return send(Caller("sending", key), batch, code=200)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(post, range(4)))
    assert sum(answer["recorded"] for answer in answers) == 40
    assert sum(answer["duplicates"] for answer in answers) == 120
    assert ApiUsageLog.objects.count() == 40 and audit().ok


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("as_batch", [False, True])
def test_an_event_without_a_time_from_several_at_once_is_one_call(owner, as_batch):
    """What a client does whose first try timed out: each request has a now of its own, and none sees another's row."""
    key, senders = key_for(owner, "ingest"), 4
    together = threading.Barrier(senders, timeout=30)

    def post(one: dict) -> int:
        try:
            together.wait()
            caller = Caller("sending", key)
            response = caller.ask("POST", USAGE, [one, event()] if as_batch else one)
            return response.json()["results"][0]["code"] if as_batch else response.status_code
        finally:
            connection.close()

    for turn in range(5):
        with ThreadPoolExecutor(senders) as pool:
            codes = list(pool.map(post, [event(id=f"race-{turn}", at=...)] * senders))
        assert sorted(codes) == [200] * (senders - 1) + [201]
    other = event(id="race-0", at=..., feature="else")
    assert Caller("sending", key).ask("POST", USAGE, other).status_code == 409
    assert audit().ok
