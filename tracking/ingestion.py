"""Usage that others report: what they send -> events -> the ledger, one answer for each item.

ingest(items, reporter=Reporter(user_id=7), now=now)  ->  a `Result` for each item, in their order

A bad item is answered with what is wrong with it, and the others are recorded. The same item again changes nothing.
What an item may hold stands in `tracking.items`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DataError

from tracking import gate
from tracking.events import CallEvent
from tracking.items import EPOCH, Invalid, event_of, read_item
from tracking.models import RecordedEvent
from tracking.recording import content_hash, record
from tracking.rows import event_id
from tracking.users import ids_of

logger = logging.getLogger("costwatch.ingestion")

MAX_ITEMS = 1000
#: How late a call may be reported, and how far a clock may be ahead.
MAX_LATE, MAX_AHEAD = timedelta(days=40), timedelta(minutes=5)
#: Calls in one write transaction.
BATCH = 500
#: Ids that are no UUIDs are names of the reporter's own: two reporters may use the same.
_NAMED = uuid.UUID("6f0a8a3e-77c1-5a0b-8d53-0d9f3c2b1e44")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Who reports, and what he may."""

    user_id: int | None
    email: str = ""
    may_attribute: bool = False  # may report the calls of others
    api_key: str = ""  # the public id of the key that is used
    source: str = "api"
    any_age: bool = False  # an import: calls of any time are taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one item."""

    index: int
    status: str  # recorded | duplicate | conflict | invalid
    id: str = ""  # of the call, where the item could be read
    errors: dict[str, str] = field(default_factory=dict)  # what is wrong, by field
    warnings: dict[str, str] = field(default_factory=dict)  # what was taken, and is hardly meant, by field

    @property
    def code(self) -> int:
        """The HTTP status of the item by itself."""
        return {"recorded": 201, "duplicate": 200, "conflict": 409, "invalid": 400}[self.status]


@dataclass(slots=True)
class _Item:
    """An item on its way: `event` once it is read, `status` once its end is known."""

    index: int
    values: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    event: CallEvent | None = None
    status: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)

    def refuse(self, errors: dict[str, str]) -> None:
        self.status, self.errors = "invalid", errors

    def result(self) -> Result:
        warnings = {} if self.errors else self.warnings
        return Result(index=self.index, status=self.status, id=self.id, errors=self.errors, warnings=warnings)


def ingest(items: Sequence[Any], *, reporter: Reporter, now: datetime, dry_run: bool = False) -> list[Result]:
    """Record the items; the answer tells of each, in their order. `now` is an aware time.

    With `dry_run` nothing is recorded, and what would be is told. Raises `ValueError` for more than `MAX_ITEMS`, and
    `django.db.Error` where the database cannot be reached: send the same again then.
    """
    if len(items) > MAX_ITEMS:
        raise ValueError(f"At most {MAX_ITEMS} events are taken at a time; these are {len(items)}.")
    found = [_read(index, item, reporter) for index, item in enumerate(items)]
    accounts = _accounts(found, reporter)
    times = _known_times(found)
    for item in found:
        if not item.status:
            _make_event(item, reporter, accounts, times.get(item.id), now)
    _refuse_holds_of_others(found)
    distinct = _set_repeats_apart(found)
    for first in range(0, len(distinct), BATCH):
        part = distinct[first : first + BATCH]
        _look_up(part) if dry_run else _record(part, now)
    return [item.result() for item in found]


def _read(index: int, item: Any, reporter: Reporter) -> _Item:
    one = _Item(index)
    try:
        one.values = read_item(item)
    except Invalid as error:
        one.refuse(error.errors)
        return one
    name = one.values.get("id")
    one.id = _own_id(name, reporter) if name else _new_id()
    return one


def _new_id() -> str:
    import uuid_utils

    return str(uuid_utils.uuid7())


def _own_id(name: str, reporter: Reporter) -> str:
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(_NAMED, f"{reporter.user_id or reporter.source}:{name}"))


def _known_times(items: Sequence[_Item]) -> dict[str, datetime]:
    """When calls were made that are told again without a time: else the same item would differ from itself."""
    ids = [item.id for item in items if "id" in item.values and "at" not in item.values]
    known: dict[str, datetime] = {}
    for first in range(0, len(ids), 500):
        rows = RecordedEvent.objects.filter(id__in=ids[first : first + 500]).exclude(occurred_at=None)
        known.update((str(row_id), at) for row_id, at in rows.values_list("id", "occurred_at"))
    return known


def _accounts(items: Sequence[_Item], reporter: Reporter) -> set[int | str]:
    """Of the accounts that are named, by id or by address, those that exist."""
    if not reporter.may_attribute:
        return set()
    named = {item.values["user"] for item in items if item.values.get("user") is not None} - {reporter.user_id}
    ids = {user for user in named if user.__class__ is int}
    found: set[int | str] = (
        set(get_user_model().objects.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    )
    return found | {email for email in ids_of(named - ids) if isinstance(email, str)}


def _make_event(
    item: _Item, reporter: Reporter, accounts: set[int | str], known: datetime | None, now: datetime
) -> None:
    values = item.values
    at = values.get("at") or known or now
    user = values.get("user")
    if not reporter.any_age and at < now - MAX_LATE:
        item.refuse({"at": f"is more than {MAX_LATE.days} days ago; import older calls with manage.py import_usage"})
    elif at > now + MAX_AHEAD:
        item.refuse({"at": f"lies more than {MAX_AHEAD.seconds // 60} minutes ahead: is the clock right?"})
    elif user is None or user == reporter.user_id or (reporter.email and user == reporter.email.lower()):
        user = reporter.user_id
    elif not reporter.may_attribute:
        item.refuse({"user": "must be yourself: reporting for others takes the permission to add usage logs"})
    elif user.__class__ is int and user not in accounts:
        item.refuse({"user": f"there is no account {user}"})
    elif user not in accounts:
        # The money was spent: the call counts, for everyone's limits. Whose it was is kept in the tag `user`.
        item.warnings = {"user": f"there is no account {user}: the call is recorded as nobody's"}
    if item.status:
        return
    tags = values.get("tags", {})
    if reporter.api_key:
        tags = {**tags, "api_key": reporter.api_key}
    item.event = event_of(values, id=item.id, at=at, user=user, tags=tags, source=reporter.source)


def _refuse_holds_of_others(items: Sequence[_Item]) -> None:
    """An id that money is held under is that of its owner's call: nobody else can settle it by telling of it."""
    users = {item.id: item.event.user for item in items if item.event is not None and "id" in item.values}
    others = gate.current().held_for_others(users) if users else ()
    for item in items:
        if item.id in others:
            item.event, item.status, item.errors = None, "conflict", dict(_CONFLICT)


def _set_repeats_apart(items: Sequence[_Item]) -> list[_Item]:
    """The first item of each id. Those that come again in the same request are told by the first."""
    first: dict[str, _Item] = {}
    for item in items:
        if item.event is None:
            continue
        known = first.setdefault(item.id, item)
        if known is not item and known.event is not None:
            same = content_hash(known.event) == content_hash(item.event)
            item.status = "duplicate" if same else "conflict"
            item.errors = {} if same else dict(_CONFLICT)
    return list(first.values())


_CONFLICT = {"id": "was used before for a call with other content; nothing was changed"}


def _record(items: Sequence[_Item], now: datetime) -> None:
    events = [item.event for item in items if item.event is not None]
    try:
        told = record(events, now=now)
    except DataError:
        if len(items) > 1:  # one of them is at fault: the others are recorded
            middle = len(items) // 2
            _record(items[:middle], now)
            _record(items[middle:], now)
            return
        logger.exception("The database takes an event for invalid.")
        items[0].refuse({"event": "the database does not take it"})
        return
    conflicts = set(told.conflicts)
    for item in items:
        key = event_id(item.id)
        item.status = "recorded" if key in told.new else "conflict" if key in conflicts else "duplicate"
        item.errors = dict(_CONFLICT) if item.status == "conflict" else {}
    _compare_again([item for item in items if item.status == "conflict" and "at" not in item.values])


def _compare_again(items: Sequence[_Item]) -> None:
    """Items without a time that another request told in the same moment: each took its own now for the call's time."""
    times = _known_times(items) if items else {}
    for item in items:
        if item.event is not None and item.id in times:
            item.event = replace(item.event, at_us=(times[item.id] - EPOCH) // timedelta(microseconds=1))
    _look_up(items)


def _look_up(items: Sequence[_Item]) -> None:
    """What `_record` would do."""
    rows = RecordedEvent.objects.filter(id__in=[item.id for item in items]).values_list("id", "content_hash")
    known = {str(row_id): bytes(content).hex() for row_id, content in rows}
    for item in items:
        before = known.get(item.id)
        if before is None or item.event is None:
            item.status = "recorded"
        else:
            same = before == content_hash(item.event)
            item.status, item.errors = ("duplicate", {}) if same else ("conflict", dict(_CONFLICT))
