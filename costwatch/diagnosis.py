"""What could be wrong with an installation: each finding says what is the case, and what to do about it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max, Sum

from budgets.models import BudgetLimit
from budgets.overview import Reached, reached_limits
from costwatch.formatting import usd
from tracking import ledger, spool
from tracking.models import ApiUsageLog, DailyUserRollup, HourlyModelRollup, Rate

Level = Literal["ok", "note", "problem"]

#: A price book older than this may miss price changes, in days.
PRICES_OLD_DAYS = 60
#: A call that waits longer than this for its recording is late, in seconds.
LATE_S = 60
#: Jobs run every minute: after this long without one, worker or beat does not run, in seconds.
JOBS_SILENT_S = 300
#: How many of the latest calls are looked at for hints.
LATEST = 2_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `todo` says what to do where it is not as it should be."""

    about: str
    level: Level
    text: str
    todo: str = ""


def diagnose(*, now: datetime) -> Iterator[Finding]:
    """Look at everything, one after the other. What needs the database is left out while it cannot be reached."""
    database = check_database()
    yield database
    yield from check_spool()
    yield check_broker()
    yield check_jobs(now=now)
    if database.level == "problem":
        return
    migrations = check_migrations()
    yield migrations
    if migrations.level == "problem":
        return
    checks: tuple[Callable[..., Finding], ...] = (
        check_prices, check_partitions, check_calls, check_users, check_unpriced, check_limits,
    )  # fmt: skip
    for check in checks:
        yield check(now=now)
    from costwatch.alert_diagnosis import check_alerts  # which imports Finding from here

    yield from check_alerts(now=now)


def check_database() -> Finding:
    connection = connections["default"]
    where = "SQLite" if connection.vendor == "sqlite" else "PostgreSQL"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()" if connection.vendor == "sqlite" else "SHOW server_version")
            version = cursor.fetchone()[0]
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[-1]
        return Finding(
            "Database", "problem", f"{where} cannot be reached: {reason}",
            "Start it, or correct DATABASE_URL. Calls made meanwhile wait in the spool and are recorded afterwards.",
        )  # fmt: skip
    return Finding("Database", "ok", f"{where} {version} answers.")


def check_migrations() -> Finding:
    executor = MigrationExecutor(connections["default"])
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not missing:
        return Finding("Migrations", "ok", "All are applied.")
    names = ", ".join(f"{m.app_label}.{m.name}" for m, _ in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return Finding(
        "Migrations", "problem", f"{len(missing)} not applied ({names}): costs cannot be recorded or shown.",
        "Run: manage.py migrate",
    )  # fmt: skip


def check_spool() -> Iterator[Finding]:
    """Whether calls can be handed over, and whether they get from there into the database."""
    state = spool.stats()
    about = f"Spool {state.folder}"
    if hindrance := _not_writable(Path(state.folder)):
        yield Finding(
            about, "problem", f"It cannot be written ({hindrance}): calls of this user's processes are lost.",
            "Make the folder writable for every process that makes calls, or set SPOOL_DIR to one that is.",
        )  # fmt: skip
    elif state.backlog_bytes and state.oldest_backlog_s > LATE_S:
        yield Finding(
            about, "problem",
            f"{state.backlog_bytes:,} bytes of calls wait, the oldest for {_ago(state.oldest_backlog_s)}."
            + (f" Last error: {state.last_error}" if state.last_error else ""),
            "Is the database reachable? Does the worker run (make run)? What dead processes left, it records every "
            "minute; manage.py record_spool does so at once.",
        )  # fmt: skip
    elif state.folder_bytes > 0.8 * state.max_bytes:
        yield Finding(
            about, "problem", f"{state.folder_bytes:,} of {state.max_bytes:,} bytes are used.",
            "When it is full, calls are lost. Record what waits (manage.py record_spool), or raise SPOOL_MAX_MB.",
        )  # fmt: skip
    else:
        yield Finding(
            about, "ok", "Nothing waits." if not state.backlog_bytes else "Calls wait for less than a minute."
        )
    kept = sum(1 for _ in (Path(state.folder) / "rejected").glob("*"))
    if kept:
        yield Finding(
            about, "problem",
            f"{state.rejected:,} calls could not be recorded and {state.damaged:,} lines were damaged.",
            f"The files in {Path(state.folder) / 'rejected'} hold them, with the reason. Repair what you can, then "
            "move the files away.",
        )  # fmt: skip
    if state.refused:
        yield Finding(
            about, "note", f"{state.refused:,} calls were lost since it was made: it was full or not writable.",
            "Compare with the provider's bill for that time; give SPOOL_MAX_MB room for your longest outage.",
        )  # fmt: skip
    if Path(settings.SPOOL_DIR).resolve().is_relative_to(Path(tempfile.gettempdir()).resolve()):
        yield Finding(
            about, "note", "The folder is a temporary one: a restart of the machine may empty it.",
            "Set SPOOL_DIR to a folder that lasts.",
        )  # fmt: skip


def _not_writable(folder: Path) -> str:
    """Why nothing can be written into a folder, or ""; one that is not there yet is not made here."""
    try:
        if folder.exists():
            with tempfile.TemporaryFile(dir=folder):
                return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    return "" if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK) else f"{parent} does not let it be made"


def check_broker() -> Finding:
    """Whether jobs can be handed to the worker."""
    from costwatch.celery import app

    name = "Redis" if settings.REDIS_URL else f"embedded, {settings.BROKER_DIR}"
    if not settings.REDIS_URL and not (settings.BROKER_DIR / "queue").is_dir():
        return Finding("Broker", "note", f"Not made yet ({name}).", "make run makes it.")
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
    except Exception as error:  # kombu passes on whatever its transport raises
        return Finding(
            "Broker", "problem", f"It cannot be reached ({name}): {type(error).__name__}.",
            "Start it, or correct REDIS_URL. Calls are recorded without it; scheduled jobs are not done.",
        )  # fmt: skip
    return Finding("Broker", "ok", f"It answers ({name}).")


def check_jobs(*, now: datetime) -> Finding:
    """Whether beat and worker do their work, on this host."""
    from costwatch.celery import sign_of_life

    todo = "Start them: make run, or one worker and one beat of your own."
    try:
        age_s = now.timestamp() - sign_of_life().stat().st_mtime
    except FileNotFoundError:
        return Finding("Jobs", "note", "No scheduled job has run on this host yet.", todo)
    if age_s > JOBS_SILENT_S:
        return Finding("Jobs", "note", f"The last scheduled job on this host ran {_ago(age_s)} ago.", todo)
    return Finding("Jobs", "ok", f"Worker and beat are alive: the last job ran {_ago(age_s)} ago.")


def check_prices(*, now: datetime) -> Finding:
    newest = Rate.objects.filter(own=False).aggregate(newest=Max("recorded_at"))["newest"]
    if newest is None:
        return Finding(
            "Prices", "problem", "The price book is empty: every call is unpriced.", "Run: manage.py import_prices"
        )
    days = (now - newest).days
    if days > PRICES_OLD_DAYS:
        return Finding(
            "Prices", "note", f"Nothing was added to the price book for {days} days.",
            "Prices may have changed: upgrade Costwatch, then run manage.py import_prices.",
        )  # fmt: skip
    return Finding("Prices", "ok", f"{Rate.objects.count():,} rates, the newest of {newest:%Y-%m-%d}.")


def check_partitions(*, now: datetime) -> Finding:
    stray = ledger.default_partition_rows()
    if stray:
        return Finding(
            "Partitions", "problem", f"{stray:,} rows of the ledger are in no month's partition.",
            "Those months cannot be partitioned while they are there: see docs/operations.md.",
        )  # fmt: skip
    return Finding("Partitions", "ok", "Every row of the ledger is where it belongs.")


def check_calls(*, now: datetime) -> Finding:
    """Whether calls arrive, from where, and whether they say who made them."""
    latest = list(
        ApiUsageLog.objects.order_by("-occurred_at", "-id").values_list("source", "occurred_at", "user_id")[:LATEST]
    )
    if not latest:
        return Finding(
            "Calls", "note", "No call has been recorded yet.",
            "Costwatch sees the calls of its own clients only: make them with costwatch.clients (openai_client, "
            "anthropic_client), or wrap() the client you have. OpenAI() and Anthropic() used directly, and the "
            "module-level openai.chat..., are not metered. The calling process needs this DATABASE_URL and SPOOL_DIR.",
        )  # fmt: skip
    seen: dict[str, datetime] = {}
    for source, at, _user in latest:
        seen.setdefault(source, at)
    sources = "; ".join(f"{source} {_ago((now - at).total_seconds())} ago" for source, at in seen.items())
    nobody = sum(user is None for _source, _at, user in latest)
    text = f"Last seen by source: {sources}."
    if nobody:
        return Finding(
            "Calls", "note", f"{text} {nobody:,} of the latest {len(latest):,} belong to no account.",
            "Pass user= to the client, use track(user=...), or add the middleware; an email address must be that of "
            "an account.",
        )  # fmt: skip
    return Finding("Calls", "ok", text)


def check_users(*, now: datetime) -> Finding:
    """When each account was last seen: a missing one uses a client that is not metered, or none."""
    days = dict(
        DailyUserRollup.objects.filter(day__gte=(now - timedelta(days=90)).date(), calls__gt=0)
        .exclude(user_id=0)
        .values_list("user_id")
        .annotate(last=Max("day"))
        .order_by("-last")[:20]
    )
    if not days:
        return Finding("Last calls", "ok", "No account has made a call in the last 90 days.")
    emails = dict(get_user_model().objects.filter(pk__in=days).values_list("pk", "email"))
    told = "; ".join(f"{emails.get(user, f'account {user}')} {day:%Y-%m-%d}" for user, day in days.items())
    return Finding("Last calls", "ok", f"{told}. Who is missing here uses a client that is not metered, or none.")


def check_unpriced(*, now: datetime) -> Finding:
    since = now - timedelta(days=30)
    rows = (
        HourlyModelRollup.objects.filter(hour__gte=since)
        .values_list("provider", "model")
        .annotate(open=Sum("unpriced"))
        .filter(open__gt=0)
        .order_by("-open")[:5]
    )
    if not rows:
        return Finding("Unpriced calls", "ok", "None in the last 30 days.")
    names = ", ".join(f"{provider} {model or 'unknown'} ({calls:,})" for provider, model, calls in rows)
    return Finding(
        "Unpriced calls", "note", f"Some calls of the last 30 days have no price: {names}.",
        "manage.py monitor_ai_costs says why. Add the missing rates in the administration (Rates) or run manage.py "
        "import_prices after an upgrade; then manage.py reprice, or wait: it is done every hour. A call whose usage "
        "was not reported (no_usage) stays unpriced: compare with the provider's bill.",
    )  # fmt: skip


def check_limits(*, now: datetime) -> Finding:
    """Which limits refuse calls now, whose, until when, and what to do about it."""
    if not BudgetLimit.objects.exists():
        return Finding(
            "Limits", "ok",
            "There are none: Costwatch refuses no call. A limit error that you see is the provider's own.",
        )  # fmt: skip
    reached = reached_limits(at=now, most=10)
    if not reached:
        return Finding("Limits", "ok", "None is reached: a limit error that you see is the provider's own.")
    own = " A user's own limit he raises himself, on his page Budget." if any(line.own for line in reached) else ""
    return Finding(
        "Limits", "note", f"Budget limit exceeded: {'; '.join(_refusing(line) for line in reached)}.",
        "Raise the limit, give a temporary increase, or make it soft, in the administration (Limits); or wait until it "
        f"resets. Who is paused can ask for more on his page Budget.{own}",
    )  # fmt: skip


def _refusing(line: Reached) -> str:
    one = line.one
    held = f" and {usd(one.held)} held" if one.held else ""
    resets = f"resets {one.resets_at:%Y-%m-%d %H:%M} UTC" if one.resets_at else "does not reset"
    whose = f" ({line.whose})" if line.whose and line.whose not in line.name else ""
    return f"{line.name}{whose} has {usd(one.spent)} spent{held} of {usd(one.limit)}, {resets}"


def _ago(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}s"
    return f"{max(int(seconds), 0)} seconds"
