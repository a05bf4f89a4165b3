"""What operators look at: health, metrics, and the log's request ids."""

import io
import json
import logging
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from budgets.models import BudgetLimit
from costwatch.logs import JsonFormatter
from costwatch.operations import health, metrics
from costwatch.operations.requests import RequestIdFilter, request_id
from tests.tracking.making import an_event, microseconds
from tracking import spool
from tracking.recording import record

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-the-scraper"


@pytest.fixture(autouse=True)
def nothing_remembered(settings, tmp_path):
    settings.BROKER_DIR = tmp_path / "broker"
    (settings.BROKER_DIR / "queue").mkdir(parents=True)
    metrics.forget()
    health.forget()
    yield
    health.forget()


def scrape(**headers) -> str:
    response = Client(headers={"authorization": f"Bearer {TOKEN}", **headers}).get("/metrics")
    assert response.status_code == 200, response.content
    return response.content.decode()


def values_of(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


# --- Health ---------------------------------------------------------------------------------------------------------


def test_alive_and_ready():
    assert Client().get("/healthz").json() == {"status": "ok"}
    response = Client().get("/readyz")
    assert response.status_code == 200, response.content
    assert response.json() == {
        "status": "ready",
        "checks": {"database": True, "migrations": True, "spool": True, "broker": True},
    }
    assert Client().post("/healthz").status_code == 405


def test_not_ready_while_the_database_is_away_and_no_host_is_named(monkeypatch, caplog):
    def away():
        raise OperationalError('connection to "db.internal.example" refused')

    monkeypatch.setattr("costwatch.diagnosis.check_database", away)
    response = Client().get("/readyz")
    assert (response.status_code, response.json()["checks"]["database"]) == (503, False)
    assert "internal" not in response.content.decode() + caplog.text
    assert Client().get("/healthz").status_code == 200, "a restart would not help"


def test_not_ready_while_calls_wait(settings, monkeypatch):
    state = spool.stats()
    from dataclasses import replace

    monkeypatch.setattr(spool, "stats", lambda: replace(state, backlog_bytes=10, oldest_backlog_s=300.0))
    assert Client().get("/readyz").json()["checks"] == {
        "database": True, "migrations": True, "spool": False, "broker": True,
    }  # fmt: skip
    settings.METRICS_TOKEN = TOKEN
    assert values_of(scrape())["costwatch_recorder_lag_seconds"] == 300


# --- Metrics --------------------------------------------------------------------------------------------------------


def test_metrics_are_for_the_token_and_for_staff(settings, owner, staff):
    assert Client().get("/metrics").status_code == 401
    for user, code in ((owner, 403), (staff, 200)):
        client = Client()
        client.force_login(user)
        assert client.get("/metrics").status_code == code
    assert Client(headers={"authorization": "Bearer "}).get("/metrics").status_code == 401
    settings.METRICS_TOKEN = TOKEN
    assert "costwatch_database_up 1.0" in scrape(accept="application/openmetrics-text")
    assert Client(headers={"authorization": f"Bearer {TOKEN}x"}).get("/metrics").status_code == 401


def test_metrics_tell_calls_tokens_cost_holds_and_budgets(settings, monkeypatch, owner):
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    limit = BudgetLimit(scope="everyone", period="month", amount=Decimal(10), time_zone="UTC")
    limit.full_clean()
    limit.save()
    at = microseconds(timezone.now() - timedelta(seconds=5))
    record(
        [
            an_event(at_us=at, user=owner.pk),
            an_event(at_us=at, model_served="gpt-99"),
            an_event(at_us=at, provider="made-up-by-somebody", model_served="x", status="error", http_status=500),
            an_event(at_us=at, status="refused", http_status=402, usage=None),
        ],
        now=timezone.now(),
    )
    found = values_of(scrape())
    chat = 'provider="openai",service="chat"'
    assert found[f"costwatch_calls_total{{{chat}}}"] == 3
    assert found[f"costwatch_unpriced_calls{{{chat}}}"] == 1
    assert found[f"costwatch_cost_usd_total{{{chat}}}"] == 0.0075
    assert found[f'costwatch_tokens_total{{kind="output",{chat}}}'] == 1000
    assert found['costwatch_errors_total{provider="other",service="chat"}'] == 1, "labels are bounded"
    assert found["costwatch_refused_calls"] == 1
    of_limit = f'limit="{limit.pk}",period="month",scope="everyone"'
    assert found[f"costwatch_budget_limit_usd{{{of_limit}}}"] == 10
    assert found[f"costwatch_budget_remaining_usd{{{of_limit}}}"] == pytest.approx(9.9925)
    assert (found["costwatch_open_holds"], found["costwatch_held_usd"]) == (0, 0)
    names = {re.match(r"\w+", name)[0] for name in found if not name.endswith("_created")}
    assert names == {name for name in metrics.NAMES if "taken_back" not in name}, "nothing was corrected yet"


def test_counters_never_fall(settings):
    """A hold expired, and its call turns out to have cost less: the sums fall, the counters do not."""
    settings.METRICS_TOKEN = TOKEN
    at = microseconds(timezone.now() - timedelta(seconds=5))
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    unknown = an_event(at_us=at, status="unknown", quality="estimated", cost_usd="0.5", usage=usage)
    record([unknown, an_event(at_us=at)], now=timezone.now())
    chat = '{provider="openai",service="chat"}'

    def read() -> dict[str, float]:
        metrics.forget()
        found = values_of(scrape())
        return {
            name: value for name, value in found.items() if re.match(r"costwatch_\w*(calls|usd|tokens)_total", name)
        }

    before = read()
    assert before[f"costwatch_cost_usd_total{chat}"] == 0.5075
    assert not [name for name in before if "taken_back" in name]
    record([an_event(id=unknown.id, at_us=at)], now=timezone.now())
    after = read()
    assert {name for name in before if after[name] < before[name]} == set()
    assert after[f"costwatch_cost_usd_total{chat}"] == pytest.approx(0.515)
    assert after[f"costwatch_calls_total{chat}"] - after[f"costwatch_taken_back_calls_total{chat}"] == 2
    assert after[f"costwatch_taken_back_cost_usd_total{chat}"] == 0.5
    record([an_event(id=unknown.id, at_us=at)], now=timezone.now())
    assert read() == after, "told again"


def test_metrics_are_cheap(settings, django_assert_max_num_queries):
    settings.METRICS_TOKEN = TOKEN
    with django_assert_max_num_queries(16):  # the first look at the limits among them
        scrape()
    with django_assert_max_num_queries(0):
        scrape()


def test_metrics_while_the_database_is_away(settings, monkeypatch):
    settings.METRICS_TOKEN = TOKEN

    def away(now):
        raise OperationalError("refused")
        yield

    monkeypatch.setattr(metrics, "_of_calls", away)
    found = values_of(scrape())
    assert found["costwatch_database_up"] == 0 and "costwatch_spool_bytes" in found


def test_every_metric_is_described():
    page = (ROOT / "docs/reference/metrics.md").read_text()
    assert set(re.findall(r"^\| `(costwatch_\w+)`", page, flags=re.MULTILINE)) == set(metrics.NAMES)


# --- Logs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def log():
    """What goes to the log as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("costwatch")
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def test_an_answer_and_its_log_lines_have_one_id(settings, log):
    settings.LOG_REQUESTS = True
    response = Client().get("/healthz?secret=hunter2")
    (line,) = log()
    assert re.fullmatch(r"[0-9a-f]{32}", response["X-Request-ID"])
    assert line["request_id"] == response["X-Request-ID"] and line["duration_ms"] >= 0
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthz", 200)
    assert "hunter2" not in json.dumps(line)
    assert request_id() == "", "it ends with the request"


@pytest.mark.parametrize(
    ("given", "taken"), [("abc-123.DEF_456", True), ("short", False), ("x" * 65, False), ("a b\tc{}d\"'e", False)]
)
def test_an_id_of_the_proxy_is_taken_over_where_it_is_one(given, taken):
    response = Client(headers={"x-request-id": given}).get("/healthz")
    assert (response["X-Request-ID"] == given) is taken


def test_requests_are_not_logged_unless_asked_for(log):
    Client().get("/healthz")
    assert log() == []
