"""`manage.py doctor` finds what keeps calls from being recorded, priced or shown, and says what to do."""

import os
import time
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from alerts.models import Channel
from costwatch.celery import sign_of_life
from tracking import spool
from tracking.events import CallEvent
from tracking.models import Rate


def doctor() -> tuple[int, str]:
    """Its exit code and what it said, in one line."""
    said = StringIO()
    code = 0
    try:
        call_command("doctor", stdout=said, no_color=True)
    except SystemExit as end:
        code = end.code
    return code, " ".join(said.getvalue().split())


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    settings.BROKER_DIR = tmp_path / "broker"


def test_a_fresh_installation_is_sound_and_is_told_how_calls_get_in(db):
    code, said = doctor()
    assert code == 0
    assert "No problem found." in said
    assert "No call has been recorded yet." in said
    assert "OpenAI() and Anthropic() used directly" in said and "wrap()" in said


def test_it_says_when_calls_were_last_seen_from_where_and_by_whom(workspace, owner, member):
    workspace.call(user=owner, source="sdk")
    workspace.call(user=member, source="websocket", days_ago=3)
    workspace.call(source="batch", days_ago=5)
    code, said = doctor()
    assert code == 0
    assert "sdk" in said and "websocket 3 days ago" in said and "batch 5 days ago" in said
    assert owner.email in said and member.email in said
    assert "1 of the latest 3 belong to no account" in said and "Pass user=" in said


def test_unpriced_calls_are_named_with_what_to_do(workspace, owner):
    workspace.call(user=owner, model="house-model")
    code, said = doctor()
    assert "have no price: openai house-model (1)" in said
    assert "Add the missing rates" in said


def test_an_empty_price_book_is_a_problem(db):
    Rate.objects.all().delete()
    code, said = doctor()
    assert code == 1
    assert "The price book is empty" in said and "manage.py import_prices" in said


def test_an_old_price_book_is_noted(db):
    Rate.objects.update(recorded_at=datetime.now(UTC) - timedelta(days=100))
    code, said = doctor()
    assert code == 0 and "for 100 days" in said


def test_a_missing_migration_is_a_problem(db):
    newest = MigrationLoader(connection).graph.leaf_nodes("tracking")[0]
    MigrationRecorder(connection).record_unapplied(*newest)
    code, said = doctor()
    assert code == 1
    assert f"not applied ({newest[0]}.{newest[1]})" in said and "manage.py migrate" in said


def test_a_database_that_is_away_is_a_problem_and_the_rest_is_still_looked_at(db, monkeypatch):
    from django.db import OperationalError
    from django.db.backends.utils import CursorWrapper

    def away(*_args):
        raise OperationalError("connection refused")

    with monkeypatch.context() as outage:
        outage.setattr(CursorWrapper, "execute", away)
        code, said = doctor()
    assert code == 1
    assert "cannot be reached: connection refused" in said
    assert "wait in the spool" in said and "Broker" in said


def test_a_backlog_that_nobody_records_is_a_problem(db, settings, monkeypatch):
    monkeypatch.setattr(spool, "_start_recorder", lambda _spool: None)
    monkeypatch.setattr("costwatch.diagnosis.LATE_S", 0.01)
    spool.emit(
        CallEvent(
            id="0198c0de-0000-7000-8000-000000000001",
            at_us=1_760_000_000_000_000,
            provider="openai",
            operation="chat",
            endpoint="/v1/chat/completions",
        )
    )
    time.sleep(0.02)
    code, said = doctor()
    assert code == 1
    assert "bytes of calls wait" in said and "record_spool" in said


@pytest.mark.parametrize("place", ["", "spool"])
def test_a_spool_that_cannot_be_written_is_a_problem(db, settings, tmp_path, place):
    in_the_way = tmp_path / "in-the-way"
    in_the_way.write_text("not a folder")
    settings.SPOOL_DIR = in_the_way / place
    code, said = doctor()
    assert code == 1
    assert "cannot be written" in said and "SPOOL_DIR" in said
    assert in_the_way.read_text() == "not a folder"


def test_calls_that_could_not_be_recorded_are_a_problem(db, settings):
    rejected = settings.SPOOL_DIR / "rejected"
    rejected.mkdir(parents=True)
    (rejected / "one").write_text("x")
    code, said = doctor()
    assert code == 1
    assert str(rejected) in said


def test_a_redis_that_is_away_is_a_problem(db, settings, monkeypatch):
    from celery import Celery

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr("costwatch.celery.app", Celery(broker=settings.REDIS_URL, set_as_current=False))
    code, said = doctor()
    assert code == 1
    assert "It cannot be reached (Redis)" in said and "REDIS_URL" in said


def test_a_redis_that_answers_is_not(db, settings, monkeypatch, redis_url):
    from celery import Celery

    settings.REDIS_URL = redis_url
    monkeypatch.setattr("costwatch.celery.app", Celery(broker=redis_url, set_as_current=False))
    code, said = doctor()
    assert code == 0 and "It answers (Redis)" in said


def test_it_knows_whether_worker_and_beat_are_alive(db):
    assert "No scheduled job has run on this host yet." in doctor()[1]
    sign_of_life().write_text("now")
    assert "Worker and beat are alive" in doctor()[1]
    before = time.time() - 7200
    os.utime(sign_of_life(), (before, before))
    assert "ran 2 hours ago" in doctor()[1]


def test_it_says_what_keeps_alerts_from_arriving(db, settings):
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", ""
    code, said = doctor()
    assert code == 0 and "EMAIL_URL is not set" in said
    settings.EMAIL_HOST = "mail.example.org"
    now = timezone.now()
    made = {"kind": "slack", "created_at": now, "updated_at": now}
    lost, dead = Channel(name="Lost", secrets="x", **made), Channel(name="Dead", disabled_at=now, **made)
    Channel.objects.bulk_create([lost, dead, Channel(name="Off", secrets="x", is_active=False, **made)])
    code, said = doctor()
    assert code == 1 and "A mail server is set." in said
    assert f"no key of ALERT_SECRET_KEYS opens: {lost.pk} (Lost)." in said
    assert f"Disabled because they failed for long: {dead.pk} (Dead)." in said
