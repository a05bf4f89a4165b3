"""Staff hear of calls that wait or are lost, of holds nobody resolves, of rows out of place; and when it is over."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection

from alerts.detect import health
from alerts.detect.watch import watch_health
from alerts.models import CostAlert
from budgets import operations
from budgets.models import Hold
from tests.budgets.conftest import call_at, make_limit, new_id
from tests.tracking.making import run_python
from tracking import recorder, segments, spool
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)


def held() -> set[str]:
    return set(CostAlert.objects.filter(resolved_at=None).values_list("type", flat=True))


@pytest.fixture
def spool_says(monkeypatch):
    """The spool as it would be: the numbers of a real one, with some changed."""

    def say(**changes):
        real = spool.stats()
        monkeypatch.setattr(spool, "stats", lambda: dataclasses.replace(real, **changes))

    return say


def test_an_installation_that_is_well_makes_no_alerts(staff):
    assert watch_health(at=NOW) == []


@pytest.mark.slow
def test_what_a_dead_process_left_is_told_and_over_when_it_is_recorded(staff, monkeypatch, settings):
    monkeypatch.setattr(health, "BEHIND_S", 0.001)
    monkeypatch.setattr(health, "CAUGHT_UP_S", 0.001)
    died = run_python(
        "from tracking import spool\nspool.emit(an_event())\nos._exit(0)",
        spool_dir=settings.SPOOL_DIR, url="postgres://nobody@127.0.0.1:1/nowhere",
    )  # fmt: skip
    assert died.returncode == 0, died.stderr
    (alert,) = watch_health(at=NOW)
    assert alert.type == "recorder_behind" and alert.user is None
    recorder.drain_folder(Path(settings.SPOOL_DIR), batch_size=10)
    watch_health(at=NOW + timedelta(minutes=1))
    assert held() == set()


def test_behind_is_told_at_five_minutes_critical_at_thirty_and_over_below_one(spool_says, staff):
    for waits_s, expected in ((200, None), (301, "warning"), (1900, "critical"), (100, "warning"), (30, None)):
        spool_says(backlog_bytes=1000, oldest_backlog_s=float(waits_s))
        watch_health(at=NOW)
        found = CostAlert.objects.filter(type="recorder_behind", resolved_at=None).first()
        assert (found.severity if found else None) == expected, waits_s
    assert CostAlert.objects.count() == 1


def test_a_spool_that_fills_is_told_at_half_and_over_below_two_fifths(spool_says, staff):
    for used, expected in ((0.49, set()), (0.51, {"spool_growing"}), (0.45, {"spool_growing"}), (0.39, set())):
        spool_says(folder_bytes=int(used * 1e6), max_bytes=1_000_000)
        watch_health(at=NOW)
        assert held() == expected, used


def test_lost_calls_are_told_while_there_are_more_of_them(spool_says, staff):
    spool_says(refused=3)
    (alert,) = watch_health(at=NOW)
    assert alert.severity == "critical" and "3 calls were lost" in alert.text
    watch_health(at=NOW + timedelta(minutes=30))
    assert held() == {"calls_lost"}
    watch_health(at=NOW + timedelta(minutes=70))
    assert held() == set(), "no more of them for an hour"
    assert watch_health(at=NOW + timedelta(days=2)) == [], "they were told"
    spool_says(refused=4)
    assert len(watch_health(at=NOW + timedelta(days=3))) == 1


def test_a_second_outage_on_the_same_day_is_told_again(spool_says, staff):
    midnight = NOW.replace(hour=0)
    spool_says(refused=3, backlog_bytes=1000, oldest_backlog_s=400.0)
    assert len(watch_health(at=midnight + timedelta(minutes=10))) == 2
    spool_says(refused=3, backlog_bytes=0, oldest_backlog_s=0.0)
    watch_health(at=midnight + timedelta(hours=2))
    assert held() == set()
    spool_says(refused=50_003, backlog_bytes=1000, oldest_backlog_s=400.0)
    for minutes, told in ((0, {"calls_lost", "recorder_behind"}), (1, set())):
        new = watch_health(at=midnight + timedelta(hours=20, minutes=minutes))
        assert {alert.type for alert in new} == told
    lost = CostAlert.objects.filter(type="calls_lost").order_by("pk").last()
    assert "50,003 calls were lost" in lost.text and lost.deliveries.exists()
    spool_says(refused=50_003, backlog_bytes=0, oldest_backlog_s=0.0)
    watch_health(at=midnight + timedelta(hours=21, minutes=30))
    spool_says(refused=50_004, backlog_bytes=1000, oldest_backlog_s=400.0)
    assert len(watch_health(at=midnight + timedelta(hours=23))) == 2, "a third one, too"
    assert len(set(CostAlert.objects.values_list("dedupe_key", flat=True))) == 6


def test_what_comes_back_within_the_hour_is_the_same_outage(spool_says, staff):
    for minutes, waits_s in ((0, 400.0), (5, 10.0), (15, 400.0), (20, 10.0), (30, 400.0)):
        spool_says(backlog_bytes=1000, oldest_backlog_s=waits_s)
        watch_health(at=NOW.replace(hour=23, minute=45) + timedelta(minutes=minutes))
    assert CostAlert.objects.get().resolved_at is None


def test_another_name_of_the_host_tells_nothing_anew(spool_says, monkeypatch, staff):
    spool.stats().folder.mkdir(parents=True, exist_ok=True)
    spool_says(refused=50_003, backlog_bytes=1000, oldest_backlog_s=400.0)
    monkeypatch.setattr("socket.gethostname", lambda: "4b1d")
    assert len(watch_health(at=NOW)) == 2
    monkeypatch.setattr("socket.gethostname", lambda: "9f2c1a")
    assert watch_health(at=NOW + timedelta(minutes=5)) == []
    spool_says(refused=50_003, backlog_bytes=0, oldest_backlog_s=0.0)
    watch_health(at=NOW + timedelta(minutes=80))
    assert held() == set(), "the new host says that it is over"


def test_what_another_spool_holds_is_not_over_until_nobody_says_so_for_a_day(spool_says, tmp_path, staff):
    def look(name, used, at):
        (tmp_path / name).mkdir(exist_ok=True)
        spool_says(folder=tmp_path / name, folder_bytes=used, max_bytes=100)
        watch_health(at=at)

    look("a", 70, NOW)
    for hours in range(1, 30):  # both are well and alive: nothing changes
        look("b", 0, NOW + timedelta(hours=hours))
        look("a", 70, NOW + timedelta(hours=hours))
        assert held() == {"spool_growing"}
    for hours in (30, 50):
        look("b", 0, NOW + timedelta(hours=hours))
        assert held() == {"spool_growing"}
    look("b", 0, NOW + timedelta(hours=54))
    assert held() == set(), "the host of a is no more"


def test_a_folder_keeps_its_id_and_one_that_cannot_be_written_has_none(tmp_path):
    assert segments.folder_id(tmp_path) == segments.folder_id(tmp_path) != ""
    assert [path.name for path in tmp_path.iterdir()] == ["id"]
    assert segments.folder_id(tmp_path / "missing") == ""


@pytest.mark.django_db(transaction=True)  # limits are read on a connection of their own
def test_calls_that_were_never_heard_of_are_told_when_they_are_many(staff, owner, monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    operations.forget()
    make_limit("100", scope="each_user")
    for _ in range(5):
        operations.reserve(call_at(NOW, user=owner.pk), hold_id=new_id(), amount=Decimal(1))
    assert watch_health(at=NOW) == []
    (late,) = watch_health(at=NOW + timedelta(hours=1))
    assert late.severity == "critical" and "does the worker run" in late.text
    for hold in Hold.objects.all():
        operations.expire(hold.pk, now=NOW + timedelta(hours=1))
    watch_health(at=NOW + timedelta(hours=2))
    alert = CostAlert.objects.get(resolved_at=None)
    assert alert.pk == late.pk and alert.severity == "warning" and "Of 5 calls" in alert.text
    watch_health(at=NOW + timedelta(days=2))
    assert held() == set()


def test_rows_in_no_month_are_told(staff):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no partitions")
    stray = ApiUsageLog.objects.create(occurred_at=datetime(2001, 1, 1, tzinfo=UTC), recorded_at=NOW, status="ok")
    (alert,) = watch_health(at=NOW)
    assert alert.type == "ledger_stray" and alert.count == 1
    ApiUsageLog.objects.filter(pk=stray.pk).delete()
    watch_health(at=NOW)
    assert held() == set()
