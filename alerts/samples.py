"""An example of each type of alert, in the words that are really sent, to show what its message looks like.

Everything here is made up and nothing of it is stored: a limit, a window, a spool as they could be, told by the same
functions that tell of real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model

from alerts import bundles, channels, digest, dying, messages, wording
from alerts.audience import visible_to
from alerts.channels.kind import Preview
from alerts.detect import forecasts, health, rates, unpriced, unusual
from alerts.detect.baseline import HOUR_OF_WEEK, Verdict
from alerts.detect.hours import hour_of
from alerts.detect.series import Series
from alerts.findings import Finding
from alerts.kinds import ABOUT_ALERTS, Severity, Type
from alerts.models import Channel, CostAlert
from alerts.operations import alert_of
from budgets.forecast import Forecast
from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, Crossing, Period, Scope
from budgets.queries import Standing
from tracking.queries import Totals
from tracking.spool import Stats
from tracking.unpriced import Why

_KEY = "sample"
_LIMIT = Decimal(500)


def _limit() -> BudgetLimit:
    return BudgetLimit(
        pk=0, name="Research, a month", scope=Scope.EVERYONE, period=Period.MONTH, amount=_LIMIT, time_zone="UTC"
    )


def _month(at: datetime) -> tuple[datetime, datetime]:
    start = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start, (start + timedelta(days=32)).replace(day=1)


def _crossing(type_: Type, *, threshold: str = "1", spent: str = "500.40", asked: str = "0") -> Callable:
    def made(at: datetime) -> Finding:
        start, end = _month(at)
        window = BudgetWindow(limit=_limit(), starts_at=start, ends_at=end, limit_amount=_LIMIT, hard=True)
        kind = Crossing.Kind.REFUSED if type_ == Type.REFUSED else Crossing.Kind.SPENT
        crossing = Crossing(
            window=window, kind=kind, threshold=Decimal(threshold), limit_amount=_LIMIT, spent=Decimal(spent),
            held=Decimal(0), asked=Decimal(asked), crossed_at=at,
        )  # fmt: skip
        return wording.of_crossing(crossing, type_=type_, user_id=None)

    return made


def _increase(type_: Type) -> Callable:
    def made(at: datetime) -> Finding:
        people = get_user_model()
        increase = BudgetIncrease(
            limit=_limit(), amount=Decimal(100), until=at + timedelta(days=7), why="The evaluation of the new model.",
            asked_by=people(email="alice@example.com"), asked_at=at, decided_by=people(email="dora@example.com"),
            decided_at=at, decision_note="Let us talk first." if type_ == Type.INCREASE_REFUSED else "",
        )  # fmt: skip
        return wording.of_increase(increase, type_=type_)

    return made


def _forecast(at: datetime) -> Finding:
    start, end = _month(at)
    line = Standing(
        limit_id=0, window_id=None, name="Research, a month", scope=Scope.EVERYONE, subject="", period=Period.MONTH,
        hard=True, own=False, enforced=True, limit=_LIMIT, spent=Decimal("212.50"), held=Decimal(0), thresholds=(),
        window_start=start, resets_at=end,
    )  # fmt: skip
    expected = Forecast(
        expected=Decimal(640), low=Decimal(590), high=Decimal(700), exhausted_at=end - timedelta(days=5),
        basis="pattern", slots=56,
    )  # fmt: skip
    return forecasts.say(_limit(), line, expected, at)


def _unusual(at: datetime) -> Finding:
    start = hour_of(at) - timedelta(hours=1)
    same = (3.1, 4.2, 5.0, 6.2, 3.9, 4.4, 5.8, 4.0)
    verdict = Verdict(unusual=True, normal=False, usual=4.3, same=same, score=9.0, rhythm=HOUR_OF_WEEK)
    look = unusual.Look(Decimal("41.20"), start, start + timedelta(hours=1), False, verdict)
    series = Series(dimension="feature", name="summaries", hours={}, days={}, hours_since=at)
    return unusual.say(series, look, {}, _KEY, at)


def _unpriced(at: datetime) -> Finding:
    row = {"provider": "openai", "model": "gpt-next", "open": 12, "all": 40, "first": at - timedelta(hours=3)}
    return unpriced.say_without_price(row, 12, Why(priceable=12), key=_KEY, at=at)


def _rates(at: datetime) -> Finding:
    change = rates.Change("input_tokens", "standard", "", 0, Decimal("2.5"), Decimal(3), 1_000_000, at)
    use = {"cost": Decimal("149.40"), "input_tokens": Decimal(24_800_000)}
    return rates.say("openai", "gpt-4o", [change], use)


def _spool(say: Callable, **more: Any) -> Callable:
    def made(at: datetime) -> Finding:
        state = Stats(
            folder=Path("/var/lib/costwatch/spool"), emitted=0, refused=3, damaged=0, rejected=0, recorded=18_204,
            duplicates=0, conflicts=0, backlog_bytes=1_204_331, oldest_backlog_s=420.0, folder_bytes=295_279_001,
            max_bytes=536_870_912, segments=4, recorder_alive=True, last_error="",
        )  # fmt: skip
        return say(state, _KEY, at, **dict.fromkeys(more, at))

    return made


def _died(at: datetime) -> Finding:
    channel = Channel(pk=0, kind="slack", name="Slack", failures=5, failing_since=at - timedelta(days=1))
    return dying.say_died(channel, "403 invalid_token", at)


def _digest(at: datetime) -> Finding:
    told = [
        CostAlert(severity=Severity.WARNING, title="80 % spent: Research, a month"),
        CostAlert(severity=Severity.WARNING, title="Unusual spending: feature summaries", resolved_at=at),
    ]
    return digest.say(
        digest.Told(
            span=digest.Span.before(at, weekly=True), of_one=False, now=Totals(calls=18_204, cost=Decimal("212.50")),
            before=Totals(calls=15_110, cost=Decimal("189.70")),
            top=[("feature", "summaries", Decimal("120.10")), ("model", "gpt-4o", Decimal(160))],
            budgets=[("Budget, warning", "Research, a month: $412.50 of $500.00 (82.5 %)")], alerts=told, number=2,
        ),
        key=_KEY, user_id=None, at=at,
    )  # fmt: skip


_MADE: dict[str, Callable[[datetime], Finding]] = {
    Type.THRESHOLD: _crossing(Type.THRESHOLD, threshold="0.8", spent="412.50"),
    Type.EXCEEDED: _crossing(Type.EXCEEDED),
    Type.REFUSED: _crossing(Type.REFUSED, spent="499.20", asked="1.10"),
    Type.PAUSED: _crossing(Type.PAUSED),
    Type.RESUMED: _crossing(Type.RESUMED),
    Type.FORECAST: _forecast,
    Type.UNUSUAL_SPEND: _unusual,
    Type.UNPRICED: _unpriced,
    Type.RATE_CHANGED: _rates,
    Type.INCREASE_ASKED: _increase(Type.INCREASE_ASKED),
    Type.INCREASE_APPROVED: _increase(Type.INCREASE_APPROVED),
    Type.INCREASE_REFUSED: _increase(Type.INCREASE_REFUSED),
    Type.RECORDER_BEHIND: _spool(health.say_behind),
    Type.SPOOL_GROWING: _spool(health.say_growing),
    Type.CALLS_LOST: _spool(health.say_lost, last_at=True),
    Type.HOLDS_EXPIRED: lambda at: health.say_expired(8, 0, _KEY, at),
    Type.LEDGER_STRAY: lambda at: health.say_stray(3, _KEY, at),
    Type.CHANNEL_DIED: _died,
    Type.MAIL_FAILING: lambda at: dying.say_no_mail("530 5.7.0 Authentication required.", at),
    Type.DIGEST: _digest,
}

#: The types that have an example, as a list to choose from.
TYPES = [(name, label) for name, label in Type.choices if name in _MADE or name == Type.MORE]


def sample(type_: str, *, at: datetime) -> CostAlert:
    """An example of a type. Raises `KeyError` where there is none."""
    if type_ == Type.MORE:
        alert = CostAlert(type=type_, severity=Severity.WARNING, occurred_at=at)
        bundles.say_more(alert, [sample(Type.THRESHOLD, at=at), sample(Type.UNPRICED, at=at)], rate_per_hour=30)
        return alert
    return alert_of(_MADE[type_](at), at=at)


def shown(user: Any, type_: str, *, kind: str, at: datetime) -> tuple[Preview, bool]:
    """How a kind of channel tells such an alert, and whether it is one that the account really had: else an example.

    Raises `KeyError` for a type without an example, `alerts.channels.Permanent` for a kind that does not exist.
    """
    rows = CostAlert.objects.filter(visible_to(user), type=type_).exclude(type__in=ABOUT_ALERTS)
    real = rows.order_by("-pk").first()
    alert = real or sample(type_, at=at)
    message = messages.render(alert, delivery_id="preview", zone=getattr(user, "zone", None))
    return channels.preview(kind, message), real is not None
