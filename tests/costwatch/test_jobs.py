"""Scheduled jobs: the timetable names tasks that exist, and each is right when it runs late, twice or never."""

import threading
import uuid

import pytest
from celery.contrib.testing.worker import start_worker
from django.conf import settings

from costwatch.celery import MemoryScheduler, app, sign_of_life
from tracking import spool, tasks
from tracking.events import CallEvent
from tracking.models import ApiUsageLog


def an_event() -> CallEvent:
    return CallEvent(
        id=str(uuid.uuid4()), at_us=1_790_000_000_000_000, provider="openai", operation="chat",
        endpoint="/v1/chat/completions", model_asked="gpt-4o-mini", model_served="gpt-4o-mini",
        usage={"prompt_tokens": 10, "completion_tokens": 5}, quality="exact",
    )  # fmt: skip


def test_the_timetable_names_tasks_that_exist_and_comes_round_within_the_hour():
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] < 3600, (
            "a job that waited longer than that is dropped, the next does the same"
        )
    assert (app.conf.timezone, app.conf.enable_utc) == ("UTC", True)


def test_a_late_job_is_given_to_a_worker_again_well_before_redis_would_do_so_twice():
    assert app.conf.task_acks_late and app.conf.task_reject_on_worker_lost
    assert app.conf.task_time_limit < 3600
    assert app.conf.task_ignore_result


def test_two_beats_with_the_same_timetable_do_not_get_in_each_others_way(tmp_path, monkeypatch):
    """Both plan all of it, and neither leaves a file behind that the other, or a restart, could trip over."""
    monkeypatch.chdir(tmp_path)
    beats = [MemoryScheduler(app), MemoryScheduler(app)]
    assert [set(beat.schedule) for beat in beats] == [set(app.conf.beat_schedule)] * 2
    assert all(job.is_due().is_due for job in beats[0].schedule.values()), (
        "what waited while nothing ran is done at once"
    )
    for beat in beats:
        beat.close()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_recorder(monkeypatch):
    """A process that dies before it recorded anything."""
    monkeypatch.setattr(spool, "_start_recorder", lambda _spool: None)


def test_a_spool_left_behind_is_recorded_once_however_often_and_by_how_many(transactional_db, no_recorder):
    for _ in range(20):
        spool.emit(an_event())
    spool.close()
    counts = []

    def drain():
        from django.db import connections

        counts.append(tasks.drain_spools())
        connections.close_all()

    threads = [threading.Thread(target=drain) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.append(tasks.drain_spools())
    assert sum(counts) == 20
    assert ApiUsageLog.objects.count() == 20


def test_every_job_can_run_twice_and_on_an_empty_installation(transactional_db):
    names = ("drain_spools", "make_partitions", "reprice_unpriced", "prune_ids", "sum_closed_spans")
    for task in (getattr(tasks, name) for name in names):
        task()
        task()


def test_a_job_travels_over_the_folders_to_a_worker(transactional_db, no_recorder, monkeypatch, tmp_path):
    """The embedded broker, with a real worker: no Redis anywhere."""
    folders = {name: tmp_path / name for name in ("queue", "control")}
    for folder in folders.values():
        folder.mkdir()
    options = {
        "data_folder_in": str(folders["queue"]),
        "data_folder_out": str(folders["queue"]),
        "control_folder": str(folders["control"]),
    }
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    spool.emit(an_event())
    spool.close()
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        with app.connection_for_write() as connection:  # not the pool's, which may know folders of another test
            app.send_task("tracking.tasks.drain_spools", connection=connection)
        deadline = threading.Event()
        for _ in range(300):
            if ApiUsageLog.objects.exists() and sign_of_life().exists():
                break
            deadline.wait(0.1)
    assert ApiUsageLog.objects.count() == 1
    assert sign_of_life().exists(), "doctor sees that jobs are done"
    assert settings.CELERY_BROKER_URL == "filesystem://"
