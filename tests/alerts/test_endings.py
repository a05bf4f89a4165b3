"""What holds, what is over and what never held: channels, questions, news; and what is kept of it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts import queries
from alerts.cleaning import clean_old
from alerts.dying import disable
from alerts.endings import resolve_channels, resolve_questions
from alerts.findings import Finding
from alerts.kinds import NEWS, Severity, Type
from alerts.managing import delete_channel, enable_channel
from alerts.models import Channel, CostAlert, Delivery
from alerts.operations import raise_alerts, resolve
from budgets.changes import ask_increase, decide_increase
from tests.budgets.conftest import make_limit

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def tell(user=None, *, at: datetime = NOW, key: str = "1", **changes) -> CostAlert:
    given = {"type": Type.UNPRICED, "severity": Severity.WARNING, "title": "A title", "text": "", **changes}
    finding = Finding(dedupe_key=f"{given['type']}:{key}", at=at, user_id=user and user.pk, **given)
    [alert] = raise_alerts([finding], at=at)
    return alert


def died(owner) -> tuple[Channel, CostAlert]:
    channel = Channel(owner=owner, kind="webhook", name="Hook", config={"url": "https://hooks.example.com/"})
    channel.save(at=NOW)
    disable(channel, "410 Gone", at=NOW)
    channel.refresh_from_db()
    return channel, CostAlert.objects.get(type=Type.CHANNEL_DIED)


def holds(alert: CostAlert, *, at: datetime = NOW + MINUTE) -> bool:
    resolve_channels(at=at)
    resolve_questions(at=at)
    alert.refresh_from_db()
    return alert.resolved_at is None


def test_a_dead_channel_is_over_when_it_is_switched_on_again_and_may_die_again(owner):
    channel, alert = died(owner)
    assert holds(alert)
    enable_channel(channel, at=NOW + MINUTE)
    assert not holds(alert)
    disable(channel, "401 again", at=NOW + 5 * MINUTE)
    assert not holds(alert, at=NOW + 6 * MINUTE), "that is another"
    assert holds(CostAlert.objects.get(type=Type.CHANNEL_DIED, resolved_at=None))


def test_a_dead_channel_is_over_when_it_is_deleted_or_switched_off(owner):
    channel, alert = died(owner)
    Channel.objects.filter(pk=channel.pk).update(is_active=False)
    assert not holds(alert)
    CostAlert.objects.update(resolved_at=None)
    Channel.objects.filter(pk=channel.pk).update(is_active=True)
    assert holds(alert)
    delete_channel(channel, at=NOW)
    assert not holds(alert)


@pytest.mark.django_db(transaction=True)  # limits are written on a connection of their own
@pytest.mark.parametrize("end", ["decided", "late"])
def test_a_question_is_over_when_it_is_decided_or_its_time_has_passed(owner, staff, end):
    limit = make_limit("10", scope="user", user=owner)
    until = NOW + timedelta(days=2)
    asked = ask_increase(limit, amount=Decimal(5), until=until, why="A launch", by=owner, at=NOW)
    alert = CostAlert.objects.get(type=Type.INCREASE_ASKED)
    assert holds(alert)
    if end == "decided":
        decide_increase(asked, approve=True, by=staff, at=NOW + MINUTE)
        assert not holds(alert)
        assert list(CostAlert.objects.filter(type=Type.INCREASE_APPROVED)) != []
        assert queries.alerts_of(owner, resolved=False).alerts == [], "an answer is news"
    else:
        assert not holds(alert, at=until)


@pytest.mark.parametrize("type_", sorted(NEWS))
def test_news_are_never_still_true(owner, type_):
    news, state = tell(owner, type=type_), tell(owner, type=Type.FORECAST)
    assert [one.row for one in queries.alerts_of(owner, resolved=False).alerts] == [state]
    shown = {one.row for one in queries.alerts_of(owner).alerts}
    assert shown == {news, state} - ({news} if type_ == Type.MORE else set())


def test_what_still_holds_is_kept_and_news_are_not(staff, settings):
    state = tell()
    news = tell(type=Type.RATE_CHANGED)
    Delivery.objects.update(state=Delivery.State.SENT)
    long_after = NOW + timedelta(days=settings.ALERT_KEEP_DAYS + 1)
    assert clean_old(at=long_after) == 1
    assert list(CostAlert.objects.all()) == [state] and state != news
    resolve(Type.UNPRICED, still=(), at=long_after)
    assert clean_old(at=long_after) == 1 and not CostAlert.objects.exists()


def test_the_last_count_of_lost_calls_is_kept_so_that_it_is_not_told_again(staff, settings):
    days = [NOW + timedelta(days=number) for number in range(3)]
    for spool in ("a1", "b2"):
        for at in days:
            tell(type=Type.CALLS_LOST, key=f"{spool}:{at:%Y-%m-%d}", at=at)
    Delivery.objects.update(state=Delivery.State.SENT)
    resolve(Type.CALLS_LOST, still=(), at=days[-1])
    assert clean_old(at=days[-1] + timedelta(days=settings.ALERT_KEEP_DAYS + 1)) == 4
    assert {row.dedupe_key for row in CostAlert.objects.all()} == {
        "calls_lost:a1:2026-06-12", "calls_lost:b2:2026-06-12",
    }  # fmt: skip
