"""Where limits stand: typed reads for pages, API and command line. Money in USD; nothing is opened or written."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import F, Q

from budgets import book
from budgets.bars import Status, status_of
from budgets.book import Limit, Match, Snapshot
from budgets.calendar import WindowSpan, window_at
from budgets.calls import Call
from budgets.forecast import Forecast
from budgets.models import BudgetIncrease, BudgetWindow, Scope
from budgets.opening import spent_in
from budgets.windows import Key

EACH = (Scope.EACH_USER, Scope.EACH_ANALYSIS)
_OF_A_USER = (Scope.EVERYONE, Scope.EACH_USER, Scope.USER, Scope.GROUP)


@dataclass(frozen=True, slots=True)
class Standing:
    """One window of one limit, now."""

    limit_id: int
    window_id: int | None  # None: no call has counted in it yet
    name: str
    scope: str
    subject: str  # "user:7", "analysis:track-42", or ""
    period: str
    hard: bool
    own: bool  # the user's own limit
    enforced: bool  # False: a limit of the subject's own takes its place
    limit: Decimal  # with temporary increases
    spent: Decimal
    held: Decimal
    thresholds: tuple[Decimal, ...]
    window_start: datetime
    resets_at: datetime | None  # None: never
    forecast: Forecast | None = None  # filled in by `budgets.outlook.with_forecasts`

    @property
    def remaining(self) -> Decimal:
        """What is neither spent nor held; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)

    @property
    def overrun(self) -> Decimal:
        """What was spent beyond the limit."""
        return max(Decimal(0), self.spent - self.limit)

    @property
    def percent(self) -> Decimal:
        """What is spent of the limit, in percent with one decimal place; 100 of a limit of 0."""
        if not self.limit:
            return Decimal("100.0")
        return (self.spent / self.limit * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)

    @property
    def status(self) -> Status:
        """See `budgets.bars.status_of`; by its forecast too where it has one."""
        expected = self.forecast.expected if self.forecast is not None else None
        refuses = self.hard and self.enforced
        return status_of(spent=self.spent, limit=self.limit, refuses=refuses, expected=expected)


def standings(*, at: datetime) -> list[Standing]:
    """Every limit in force; of an "each" limit, a line for every subject that has spent or held in its window."""
    snapshot = book.current()
    active = [limit for limit in snapshot.limits if limit.is_active(at)]
    spans = {limit.id: window_at(limit.rule, at) for limit in active}
    found = _windows_of([(limit, spans[limit.id]) for limit in active])
    wanted = []
    seen: dict[int, set[str]] = defaultdict(set)
    for limit_id, _, subject, _ in found:
        seen[limit_id].add(subject)
    for limit in active:
        subjects = seen[limit.id]
        if limit.scope not in EACH:
            subjects = {only_subject(limit)}
        for subject in sorted(subjects):
            enforced = not snapshot.is_replaced(limit, subject, at)
            match = Match(limit, subject, spans[limit.id], enforced)
            wanted.append(match)
    return _lines_of(wanted, found, snapshot, at)


def standings_of_limit(limit_id: int, *, at: datetime, most: int = 100) -> list[Standing]:
    """One limit's windows of now, the fullest first; the one of a limit that is not for "each" is always there."""
    snapshot = book.current()
    limit = snapshot.by_id.get(limit_id)
    if limit is None or not limit.is_active(at):
        return []
    span = window_at(limit.rule, at)
    subjects = [only_subject(limit)]
    if limit.scope in EACH:
        rows = BudgetWindow.objects.filter(limit_id=limit.id, version=limit.version, starts_at=span.starts_at)
        subjects = list(rows.order_by(-(F("spent") + F("held")), "pk").values_list("subject", flat=True)[:most])
    matches = [Match(limit, subject, span, not snapshot.is_replaced(limit, subject, at)) for subject in subjects]
    return _lines(matches, snapshot, at)


def standings_for(call: Call) -> list[Standing]:
    """The limits that count such a call, staff's and the user's own, with what remains of each."""
    snapshot = book.current()
    return _lines(snapshot.matches(call, book.user_id_of(call, snapshot)), snapshot, call.at)


def standings_of_user(user_id: int, *, at: datetime, limit_id: int | None = None) -> list[Standing]:
    """The limits that count whatever this user calls: everyone's, his groups', each user's, his own; or one of them."""
    snapshot = book.current()
    return _lines(_matches_of_user(user_id, snapshot, at, limit_id), snapshot, at)


def subjects_of_user(user_id: int, limit_id: int, *, at: datetime) -> set[str]:
    """Whose windows of a limit count whatever this user calls; none where it does not bind him. Asks no database."""
    return {match.subject for match in _matches_of_user(user_id, book.current(), at, limit_id)}


def _matches_of_user(user_id: int, snapshot: Snapshot, at: datetime, limit_id: int | None) -> list[Match]:
    matches = snapshot.matches(Call(at=at, user=user_id), user_id)
    return [one for one in matches if one.limit.scope in _OF_A_USER and limit_id in (None, one.limit.id)]


def _lines(matches: Iterable[Match], snapshot: Snapshot, at: datetime) -> list[Standing]:
    wanted = list(matches)
    found = _windows_of([(match.limit, match.span) for match in wanted], [match.subject for match in wanted])
    return _lines_of(wanted, found, snapshot, at)


def _lines_of(
    matches: Sequence[Match], found: dict[Key, BudgetWindow], snapshot: Snapshot, at: datetime
) -> list[Standing]:
    approved = BudgetIncrease.objects.filter(
        status=BudgetIncrease.Status.APPROVED, until__gt=at, limit_id__in={match.limit.id for match in matches}
    )
    increases = list(approved.values_list("limit_id", "subject", "amount"))
    lines = []
    for match in matches:
        names = (match.limit.id, ""), (match.limit.id, match.subject)
        extra = sum((amount for limit_id, subject, amount in increases if (limit_id, subject) in names), Decimal(0))
        lines.append(_standing(match, found.get(match.key), extra, snapshot, at))
    return lines


def only_subject(limit: Limit) -> str:
    """Whose window a limit has that is not for "each"."""
    return f"user:{limit.user_id}" if limit.scope == Scope.USER else ""


def _windows_of(
    limits: Sequence[tuple[Limit, WindowSpan]], subjects: Sequence[str] | None = None
) -> dict[Key, BudgetWindow]:
    """The windows that exist, by key."""
    if not limits:
        return {}
    versions = {limit.id: limit.version for limit, _ in limits}
    starting: dict[datetime, set[int]] = defaultdict(set)
    for limit, span in limits:
        starting[span.starts_at].add(limit.id)
    wanted = Q()
    for starts_at, ids in starting.items():  # few, however many limits there are
        wanted |= Q(limit_id__in=ids, starts_at=starts_at)
    found = BudgetWindow.objects.filter(wanted)
    if subjects is not None:
        found = found.filter(subject__in=set(subjects))
    rows = [row for row in found if row.version == versions[row.limit_id]]
    return {(row.limit_id, row.version, row.subject, row.starts_at): row for row in rows}


def _standing(match: Match, window: BudgetWindow | None, extra: Decimal, snapshot: Snapshot, at: datetime) -> Standing:
    limit = match.limit
    if window is not None:
        spent, held = window.spent, window.held
    else:
        spent, held = spent_in(limit, match.subject, match.span, book=snapshot), Decimal(0)
    return Standing(
        limit_id=limit.id,
        window_id=window.pk if window is not None else None,
        name=limit.name,
        scope=limit.scope,
        subject=match.subject,
        period=limit.rule.period,
        hard=window.hard if window is not None else limit.hard,
        own=limit.owner_id is not None,
        enforced=match.enforced,
        limit=(window.limit_amount if window is not None else limit.amount) + extra,
        spent=spent,
        held=held,
        thresholds=limit.thresholds,
        window_start=match.span.starts_at,
        resets_at=match.span.ends_at,
    )
