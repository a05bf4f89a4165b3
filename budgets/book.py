"""Which limits apply to a call: every active limit, kept in memory and looked up again once a second.

A call to which no limit applies costs no round trip, but for the one query a second that asks whether anything changed.
"""

import contextlib
import logging
import re
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase

from django.db import IntegrityError

from budgets import memory
from budgets.calendar import WindowRule, WindowSpan, window_at
from budgets.calls import Call
from budgets.connections import read_apart, run_apart
from budgets.errors import BudgetUnavailable
from budgets.models import BudgetLimit, LimitBook, Scope
from budgets.validation import read_thresholds

logger = logging.getLogger(__name__)

#: How long a process goes by what it knows before it asks whether a limit was changed, in seconds.
MAX_AGE_S = 0.9
_MAX_USERS = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as it is kept in memory."""

    id: int
    version: int
    name: str
    scope: str
    user_id: int | None
    group_id: int | None
    target: str
    rule: WindowRule
    amount: Decimal
    hard: bool
    thresholds: tuple[Decimal, ...]
    alerts_enabled: bool
    owner_id: int | None
    active_from: datetime | None
    active_until: datetime | None
    no_maximum: str

    @classmethod
    def of(cls, row: BudgetLimit) -> "Limit":
        return cls(
            id=row.pk,
            version=row.version,
            name=str(row),
            scope=row.scope,
            user_id=row.user_id,
            group_id=row.group_id,
            target=row.target,
            rule=row.rule,
            amount=row.amount,
            hard=row.pause_on_exceed,
            thresholds=tuple(read_thresholds(row.thresholds)),
            alerts_enabled=row.alerts_enabled,
            owner_id=row.owner_id,
            active_from=row.active_from,
            active_until=row.active_until,
            no_maximum=row.no_maximum,
        )

    def is_active(self, at: datetime) -> bool:
        return (self.active_from is None or self.active_from <= at) and (
            self.active_until is None or at < self.active_until
        )


@dataclass(frozen=True, slots=True)
class Match:
    """A limit that counts a call, and for whom.

    Not `enforced`: the subject has a limit of its own for the same period, which takes the place of this one. The
    window goes on counting, so that it is right when that limit ends.
    """

    limit: Limit
    subject: str
    span: WindowSpan
    enforced: bool = True

    @property
    def key(self) -> tuple[int, int, str, datetime]:
        """What makes its window unique."""
        return (self.limit.id, self.limit.version, self.subject, self.span.starts_at)


@dataclass(frozen=True)
class Snapshot:
    """Every limit, and who belongs to the groups that have one, as of one look at the database."""

    token: uuid.UUID | None
    limits: tuple[Limit, ...]
    groups: dict[int, frozenset[int]] = field(default_factory=dict)  # user id: groups with a limit

    def __post_init__(self) -> None:
        named: dict[tuple[str, object], list[Limit]] = defaultdict(list)
        for limit in self.limits:
            if limit.scope in _NAMED:
                named[(limit.scope, limit.user_id if limit.scope == Scope.USER else limit.target)].append(limit)
        object.__setattr__(self, "_named", dict(named))
        object.__setattr__(self, "_others", tuple(x for x in self.limits if x.scope not in _NAMED))
        object.__setattr__(self, "by_id", {limit.id: limit for limit in self.limits})
        object.__setattr__(self, "any_hard", any(x.hard for x in self.limits))
        object.__setattr__(self, "needs_users", any(x.scope in _BY_USER for x in self.limits))

    def matches(self, call: Call, user_id: int | None) -> list[Match]:
        """The limits that count this call, with their windows."""
        found = []
        for limit in self._candidates(call, user_id):
            if not limit.is_active(call.at) or (subject := self._subject(limit, call, user_id)) is None:
                continue
            span = window_at(limit.rule, call.at)
            found.append(Match(limit, subject, span, not self.is_replaced(limit, subject, call.at)))
        return found

    def _candidates(self, call: Call, user_id: int | None) -> Iterator[Limit]:
        """Every limit that could count the call: thousands that name somebody else are not looked at."""
        yield from self._others
        names = (user_id, call.analysis, call.feature, call.provider, call.api_key)
        for scope, name in zip(_NAMED, names, strict=True):
            yield from self._named.get((scope, name), ())

    def is_replaced(self, limit: Limit, subject: str, at: datetime) -> bool:
        """Whether the subject of an "each" limit has a limit of its own, set by staff, for the same period."""
        kind, _, name = subject.partition(":")
        if limit.scope == Scope.EACH_USER:
            own = self._named.get((Scope.USER, int(name)), ())
        elif limit.scope == Scope.EACH_ANALYSIS:
            own = self._named.get((Scope.ANALYSIS, name), ())
        else:
            return False
        return any(x.owner_id is None and x.rule.period == limit.rule.period and x.is_active(at) for x in own)

    def _subject(self, limit: Limit, call: Call, user_id: int | None) -> str | None:
        """Whose window of this limit the call counts in; None where the limit does not apply to it."""
        if limit.scope == Scope.EACH_USER:
            return f"user:{user_id}" if user_id is not None else None
        if limit.scope == Scope.USER:
            return f"user:{user_id}" if user_id is not None and limit.user_id == user_id else None
        if limit.scope == Scope.EACH_ANALYSIS:
            return f"analysis:{call.analysis}" if call.analysis else None
        return "" if self._applies(limit, call, user_id) else None

    def _applies(self, limit: Limit, call: Call, user_id: int | None) -> bool:
        match limit.scope:
            case Scope.EVERYONE:
                return True
            case Scope.GROUP:
                return limit.group_id in self.groups.get(user_id, ())
            case Scope.MODEL:
                return model_matches(limit.target, call.models, call.provider)
            case Scope.TAG:
                name, _, value = limit.target.partition("=")
                return call.tags.get(name) == value
        return True  # the candidates were looked up by name


#: Scopes whose limits name one thing, in the order in which a call is asked for them.
_NAMED = (Scope.USER, Scope.ANALYSIS, Scope.FEATURE, Scope.PROVIDER, Scope.API_KEY)
_BY_USER = (Scope.EACH_USER, Scope.USER, Scope.GROUP)


#: What providers put behind a model's name for one version of it: gpt-4o-2024-08-06, claude-haiku-4-5-20251001.
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")


def model_matches(pattern: str, models: tuple[str, ...], provider: str) -> bool:
    """Whether a name or pattern such as `gpt-4o`, `gpt-4o*` or `anthropic/*` names one of these models.

    A model's name counts its dated versions too, whichever way the caller asks for them.
    """
    names = {*models, *(_DATED.sub("", name) for name in models)}
    return any(fnmatchcase(name, pattern) or fnmatchcase(f"{provider}/{name}", pattern) for name in names)


_lock = threading.Lock()
_snapshot: Snapshot | None = None
_checked_at = 0.0
_away_until = 0.0
#: Addresses change hands: what is known of one is forgotten after a minute.
_USER_AGE_S = 60
_users: dict[str, tuple[int, float]] = {}
_defaults_looked_up = False


def matches(call: Call) -> list[Match]:
    """The limits that count this call, as of at most a second ago. Raises `BudgetUnavailable` if never looked up."""
    snapshot = current()
    return snapshot.matches(call, user_id_of(call, snapshot))


def current() -> Snapshot:
    """Every limit, as of at most a second ago. Raises `BudgetUnavailable` where they were never read.

    While the database is away, what was known goes on counting: a hard limit then refuses when the hold is tried.
    """
    global _away_until
    known = _snapshot
    if known is not None and time.monotonic() - _checked_at < MAX_AGE_S:
        return known
    with _lock:
        if _snapshot is not None and time.monotonic() - _checked_at < MAX_AGE_S:
            return _snapshot
        asked_at = time.monotonic()
        try:
            _set_defaults()
            look = read_apart(_look)
            memory.note(any_hard=look.any_hard)
        except BudgetUnavailable:
            if _snapshot is None:
                raise
            _away_until = asked_at + MAX_AGE_S
            logger.warning("The limits could not be looked up; going by what was known.")
            look = _snapshot
        _keep(look, asked_at)
        return look


def look_now() -> Snapshot:
    """Every limit as this connection sees it now, on the caller's own transaction."""
    asked_at = time.monotonic()
    look = _look()
    memory.note(any_hard=look.any_hard)
    _keep(look, asked_at)
    return look


def last_known() -> Snapshot | None:
    """Every limit as this process last saw them, however long ago; None where it never did."""
    return _snapshot


def is_fresh() -> bool:
    """Whether `current` would answer without a query."""
    return _snapshot is not None and time.monotonic() - _checked_at < MAX_AGE_S


def forget() -> None:
    """Look everything up again at the next call."""
    global _snapshot, _checked_at, _away_until, _defaults_looked_up
    _snapshot, _checked_at, _away_until, _defaults_looked_up = None, 0.0, 0.0, False
    _users.clear()
    memory.forget()


def is_away() -> bool:
    """Whether the last look, less than a second ago, found the database away: then nobody need wait for it again."""
    return time.monotonic() < _away_until


def fresh_enough() -> Snapshot:
    """Every limit, as of at most a second ago; where that needs a query, on the caller's own transaction."""
    return _snapshot if is_fresh() and _snapshot is not None else look_now()


def user_id_of(call: Call, snapshot: Snapshot, *, here: bool = False) -> int | None:
    """The primary key of the call's user; of an email address once it is known, and None for an unknown one.

    `here`: a query runs on the caller's own transaction.
    """
    user = call.user
    if not isinstance(user, str):
        return user if user is not None and 0 < user < 2**63 else None  # as the ledger has it
    email = user.strip().lower()
    if not snapshot.needs_users or not email:
        return None
    known = _users.get(email)
    if known is None or time.monotonic() - known[1] > _USER_AGE_S:
        found = _find_user(email) if here else read_apart(lambda: _find_user(email))
        if found is None:
            return None  # not kept: the account may be made any moment
        if len(_users) >= _MAX_USERS:
            _users.clear()
        known = _users[email] = (found, time.monotonic())
    return known[0]


def _find_user(email: str) -> int | None:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.filter(email__iexact=email).values_list("pk", flat=True).first()


def _set_defaults() -> None:
    """Once in a process: let the limits that settings name be what the settings say."""
    global _defaults_looked_up
    if not _defaults_looked_up:
        from budgets.defaults import defaults_are_set, set_default_limits

        if not read_apart(defaults_are_set):
            with contextlib.suppress(IntegrityError):
                run_apart(set_default_limits)
        _defaults_looked_up = True


def _keep(look: Snapshot, asked_at: float) -> None:
    global _snapshot, _checked_at
    _snapshot, _checked_at = look, asked_at


def _look() -> Snapshot:
    token = LimitBook.objects.filter(pk=1).values_list("token", flat=True).first()
    known = _snapshot
    if known is not None and known.token == token:
        return known
    rows = list(BudgetLimit.objects.select_related("user", "group").order_by("id"))
    groups: dict[int, set[int]] = defaultdict(set)
    for user_id, group_id in _members({row.group_id for row in rows if row.group_id}):
        groups[user_id].add(group_id)
    limits = tuple(Limit.of(row) for row in rows)
    return Snapshot(token, limits, {user_id: frozenset(ids) for user_id, ids in groups.items()})


def _members(group_ids: set[int]):
    from django.contrib.auth import get_user_model

    through = get_user_model().groups.through
    return through.objects.filter(group_id__in=group_ids).values_list("user_id", "group_id") if group_ids else ()
