"""The Celery app and its timetable: jobs at the start, then every few seconds, every minute or every hour.

Celery only ever starts work that would also be right if it ran late, twice or never: what must not be lost stands in
the database or in the spool. So one beat is enough, two do no harm, and no results are kept.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

from celery import Celery
from celery.beat import Scheduler
from celery.schedules import crontab
from celery.signals import setup_logging, task_success

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")

app = Celery("costwatch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # Beat has faults around clock changes: it runs in UTC, and windows are computed from time zones where needed.
    enable_utc=True,
    timezone="UTC",
    task_default_queue="costwatch",
    task_ignore_result=True,
    # Acknowledged when done, so that a killed worker's task is run again (the embedded broker cannot redeliver).
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # Far under Redis's visibility timeout of an hour, after which a task would be given to a second worker.
    task_soft_time_limit=240,
    task_time_limit=300,
    worker_max_tasks_per_child=500,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    beat_scheduler="costwatch.celery:MemoryScheduler",
)
app.autodiscover_tasks()
app.conf.beat_schedule = {
    # `expires`: what waited for a worker longer than its own interval is dropped, the next one does the same.
    "drain-spools": {"task": "tracking.tasks.drain_spools", "schedule": 60.0, "options": {"expires": 55}},
    "make-partitions": {
        "task": "tracking.tasks.make_partitions",
        "schedule": crontab(minute=10),
        "options": {"expires": 3000},
    },
    "reprice-unpriced": {
        "task": "tracking.tasks.reprice_unpriced",
        "schedule": crontab(minute=20),
        "options": {"expires": 3000},
    },
    "prune-ids": {
        "task": "tracking.tasks.prune_ids",
        "schedule": crontab(minute=50),
        "options": {"expires": 3000},
    },
    "sum-closed-spans": {
        "task": "tracking.tasks.sum_closed_spans",
        "schedule": crontab(minute=30),
        "options": {"expires": 3000},
    },
    "sweep-expired-holds": {
        "task": "budgets.tasks.sweep_expired_holds",
        "schedule": 60.0,
        "options": {"expires": 55},
    },
    # A crossing is told within seconds: where there is nothing to tell, this is two queries on small indexes.
    "send-threshold-alerts": {
        "task": "alerts.tasks.send_threshold_alerts",
        "schedule": 2.0,
        "options": {"expires": 10},
    },
    # The net under the broker: what is due is sent although nobody was woken.
    "deliver-alerts": {"task": "alerts.tasks.deliver_alerts", "schedule": 15.0, "options": {"expires": 14}},
    "resolve-alerts": {"task": "alerts.tasks.resolve_alerts", "schedule": 60.0, "options": {"expires": 55}},
    "send-digests": {"task": "alerts.tasks.send_digests", "schedule": 60.0, "options": {"expires": 55}},
    "clean-alerts": {
        "task": "alerts.tasks.clean_alerts",
        "schedule": crontab(minute=40),
        "options": {"expires": 3000},
    },
    "watch-health": {"task": "alerts.tasks.watch_health", "schedule": 60.0, "options": {"expires": 55}},
    "watch-prices": {
        "task": "alerts.tasks.watch_prices",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 280},
    },
    "watch-spending": {
        "task": "alerts.tasks.watch_spending",
        "schedule": crontab(minute="4-59/10"),
        "options": {"expires": 580},
    },
    "watch-forecasts": {
        "task": "alerts.tasks.watch_forecasts",
        "schedule": crontab(minute="7,37"),
        "options": {"expires": 1700},
    },
    "send-summaries": {
        "task": "alerts.tasks.send_summaries",
        "schedule": crontab(minute="3,18,33,48"),
        "options": {"expires": 840},
    },
    # Windows end at their limit's own midnight, and time zones differ by quarters of an hour: so all look that often.
    **{
        f"reset-{period}-budgets": {
            "task": f"budgets.tasks.reset_{period}_budgets",
            "schedule": crontab(minute="1,16,31,46"),
            "options": {"expires": 840},
        }
        for period in ("hourly", "daily", "weekly", "monthly", "quarterly", "yearly")
    },
}


class MemoryScheduler(Scheduler):
    """Keeps when each job last ran in memory only.

    Celery's own keeps it in a file, which does not open any more after a kill at the wrong moment, and which two beats
    must not share. Instead every job is due when beat starts: what waited while nothing ran is done at once.
    """

    def setup_schedule(self) -> None:
        long_ago = self.app.now() - timedelta(days=1)
        jobs = self.app.conf.beat_schedule
        self.merge_inplace({name: {**job, "last_run_at": long_ago} for name, job in jobs.items()})


@setup_logging.connect
def _keep_our_logging(**_kwargs) -> None:
    """Logging is configured by the settings; with a receiver here Celery leaves it as it is."""


def sign_of_life() -> Path:
    """The file that a worker touches after each task: `doctor` reads from it whether beat and worker are alive."""
    from django.conf import settings

    return Path(settings.DATA_DIR) / "worker-alive"


@task_success.connect
def _show_life(**_kwargs) -> None:
    sign_of_life().write_text(f"{time.time():.0f}\n")
