"""The installation itself, for staff: calls that wait or are lost, holds that nobody resolves, rows out of place.

Each has two lines: one at which it is told, and a lower one below which it is over.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from alerts.detect.episodes import Episodes, about
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import CostAlert
from budgets.models import Hold
from tracking import ledger, segments
from tracking.spool import Stats

#: Age of the oldest call that waits, in seconds: told, critical, over.
BEHIND_S, BEHIND_CRITICAL_S, CAUGHT_UP_S = 300, 1800, 60
#: Share of SPOOL_MAX_MB that is used: told, critical, over.
FULL, FULL_CRITICAL, ROOM = 0.5, 0.8, 0.4
#: How long after the last lost call that is still told.
LOST_FOR = timedelta(hours=1)
#: Calls of a day of which nothing was heard: told, over. And holds that wait for the sweeper, this late.
EXPIRED, EXPIRED_OVER, EXPIRED_WITHIN = 5, 2, timedelta(days=1)
SWEEP_LATE = timedelta(minutes=10)
#: So many are counted.
_MOST = 1000

TYPES = (Type.RECORDER_BEHIND, Type.SPOOL_GROWING, Type.CALLS_LOST, Type.HOLDS_EXPIRED, Type.LEDGER_STRAY)
#: Those that are about the folder of one host: another host neither sees them nor says that they are over.
OF_SPOOL = (Type.RECORDER_BEHIND, Type.SPOOL_GROWING, Type.CALLS_LOST)
#: What comes back so long after it was over is told anew, also on the same day.
ANEW_AFTER = timedelta(hours=1)
#: A spool of which nobody has said for so long that something still holds is not there any more.
SILENT_FOR = timedelta(days=1)


def spool_prefix(type_: Type, state: Stats) -> str:
    """How keys of the alerts of a type about this spool begin; of what all hosts share, all of the type."""
    return f"{_about(type_, state)}:" if type_ in OF_SPOOL else f"{type_}:"


def find(state: Stats, at: datetime) -> Iterator[Finding]:
    """What is the case now, or was and is not yet clearly over."""
    yield from behind(state, at)
    yield from growing(state, at)
    yield from lost(state, at)
    yield from expired_holds(at)
    yield from stray_rows(at)


def behind(state: Stats, at: datetime) -> Iterator[Finding]:
    """Calls wait for longer than five minutes."""
    waits_s = state.oldest_backlog_s
    episodes, name = _episodes(Type.RECORDER_BEHIND, state)
    if state.backlog_bytes and waits_s > (CAUGHT_UP_S if name in episodes.open else BEHIND_S):
        yield say_behind(state, episodes.key(name, at=at), at)


def say_behind(state: Stats, key: str, at: datetime) -> Finding:
    """How many calls wait, and since when."""
    waits_s = state.oldest_backlog_s
    return _finding(
        Type.RECORDER_BEHIND, key, at,
        severity=Severity.CRITICAL if waits_s > BEHIND_CRITICAL_S else Severity.WARNING,
        title="Calls wait to be recorded",
        text=f"{state.backlog_bytes:,} bytes of calls wait on {socket.gethostname()}, the oldest for "
        f"{int(waits_s // 60)} minutes: costs and limits do not know of them yet. Is the database reachable, and "
        "does the worker run? manage.py doctor says more.",
        facts=(("Waits since", f"{int(waits_s // 60)} minutes"), ("Waiting", f"{state.backlog_bytes:,} bytes"),
               *((("Last error", state.last_error[:200]),) if state.last_error else ())),
        details={"lag_s": int(waits_s), "backlog_bytes": state.backlog_bytes},
    )  # fmt: skip


def growing(state: Stats, at: datetime) -> Iterator[Finding]:
    """The spool's folder is half full, or more."""
    used = state.folder_bytes / state.max_bytes if state.max_bytes else 0.0
    episodes, name = _episodes(Type.SPOOL_GROWING, state)
    if used > (ROOM if name in episodes.open else FULL):
        yield say_growing(state, episodes.key(name, at=at), at)


def say_growing(state: Stats, key: str, at: datetime) -> Finding:
    """How full it is."""
    used = state.folder_bytes / state.max_bytes
    return _finding(
        Type.SPOOL_GROWING, key, at,
        severity=Severity.CRITICAL if used > FULL_CRITICAL else Severity.WARNING,
        title=f"The spool is {used:.0%} full",
        text=f"{state.folder_bytes:,} of {state.max_bytes:,} bytes are used on {socket.gethostname()}. When it is "
        "full, calls are lost. Record what waits (manage.py record_spool), or raise SPOOL_MAX_MB.",
        facts=(("Used", f"{state.folder_bytes:,} bytes"), ("Room for", f"{state.max_bytes:,} bytes")),
        details={"folder_bytes": state.folder_bytes, "max_bytes": state.max_bytes},
    )  # fmt: skip


def lost(state: Stats, at: datetime) -> Iterator[Finding]:
    """Calls were refused by a full folder, or could not be recorded. Counted from when it was last told."""
    episodes, name = _episodes(Type.CALLS_LOST, state)
    seen = _last_details(Type.CALLS_LOST, state)
    now = {"refused": state.refused, "rejected": state.rejected, "damaged": state.damaged}
    more = any(now[kind] > int(seen.get(kind, 0)) for kind in now)
    last_at = at if more else datetime.fromisoformat(seen.get("last_at", at.isoformat()))
    if more or (name in episodes.open and at - last_at < LOST_FOR):
        yield say_lost(state, episodes.key(name, at=at), at, last_at=last_at)


def say_lost(state: Stats, key: str, at: datetime, *, last_at: datetime) -> Finding:
    """How many were lost, and where what is left of them is."""
    now = {"refused": state.refused, "rejected": state.rejected, "damaged": state.damaged}
    return _finding(
        Type.CALLS_LOST, key, at, severity=Severity.CRITICAL,
        title="Calls were not recorded",
        text=f"Since the spool of {socket.gethostname()} was made, {state.refused:,} calls were lost because it "
        f"was full or not writable, {state.rejected:,} could not be recorded and {state.damaged:,} lines were "
        f"damaged. The folder {Path(state.folder) / 'rejected'} keeps the latter two, with the reason. Compare "
        "with the provider's bill for that time.",
        facts=(("Lost", f"{state.refused:,}"), ("Could not be recorded", f"{state.rejected:,}"),
               ("Damaged", f"{state.damaged:,}")),
        details={**now, "last_at": last_at.isoformat()}, count=max(1, sum(now.values())),
    )  # fmt: skip


def expired_holds(at: datetime) -> Iterator[Finding]:
    """Calls of which nothing was ever heard, counted at what they could have cost; or holds that nobody sweeps."""
    episodes = Episodes(Type.HOLDS_EXPIRED, anew_after=ANEW_AFTER)
    name = about(Type.HOLDS_EXPIRED)
    since = at - EXPIRED_WITHIN
    expired = Hold.objects.filter(state=Hold.State.EXPIRED, resolved_at__gt=since).values("pk")[:_MOST].count()
    late = Hold.objects.filter(state=Hold.State.OPEN, expires_at__lt=at - SWEEP_LATE).values("pk")[:_MOST].count()
    if late or expired >= (EXPIRED_OVER if name in episodes.open else EXPIRED):
        yield say_expired(expired, late, episodes.key(name, at=at), at)


def say_expired(expired: int, late: int, key: str, at: datetime) -> Finding:
    """Of how many calls nothing was heard, and how many of them nobody sweeps."""
    text = (
        f"Of {expired:,} calls nothing was heard within the last 24 hours: processes died, or never said how their "
        "calls ended. They count at what they could have cost, until the truth arrives."
    )
    if late:
        text += f" {late:,} more holds are over their time and were not counted: does the worker run?"
    return _finding(
        Type.HOLDS_EXPIRED, key, at,
        severity=Severity.CRITICAL if late else Severity.WARNING,
        title="Calls were never heard of again", text=text,
        facts=(("Within 24 hours", f"{expired:,}"), ("Not counted yet", f"{late:,}")),
        details={"expired": expired, "late": late}, count=max(1, expired + late),
    )  # fmt: skip


def stray_rows(at: datetime) -> Iterator[Finding]:
    """Rows of the ledger in its default partition, on PostgreSQL."""
    episodes = Episodes(Type.LEDGER_STRAY, anew_after=ANEW_AFTER)
    if stray := ledger.default_partition_rows(at_most=_MOST):
        yield say_stray(stray, episodes.key(about(Type.LEDGER_STRAY), at=at), at)


def say_stray(stray: int, key: str, at: datetime) -> Finding:
    """How many rows are out of place."""
    return _finding(
        Type.LEDGER_STRAY, key, at, severity=Severity.WARNING,
        title="Rows of the ledger are in no month's partition",
        text=f"{stray:,} rows stand in the default partition. Their months cannot be partitioned while they are "
        "there: docs/operations.md says what to do.",
        facts=(("Rows", f"{stray:,}{' or more' if stray >= _MOST else ''}"),),
        details={"rows": stray}, count=stray,
    )  # fmt: skip


def _about(type_: Type, state: Stats) -> str:
    """By the spool, not by the host: a container that is made anew has another name and the same folder."""
    return about(type_, segments.folder_id(state.folder) or socket.gethostname())


def _episodes(type_: Type, state: Stats) -> tuple[Episodes, str]:
    """The alerts of a type about this spool, and what they are about."""
    return Episodes(type_, prefix=spool_prefix(type_, state), anew_after=ANEW_AFTER), _about(type_, state)


def _last_details(type_: Type, state: Stats) -> dict[str, Any]:
    """What the latest alert of this spool has kept, whether it holds or not."""
    rows = CostAlert.objects.filter(type=type_, dedupe_key__startswith=spool_prefix(type_, state))
    return rows.order_by("-pk").values_list("details", flat=True).first() or {}


def _finding(type_: Type, key: str, at: datetime, **said: Any) -> Finding:
    return Finding(type=type_, dedupe_key=key, at=at, **said)
