"""What a window will have spent: the arithmetic by hand, its properties, and how often the range is right."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets.forecast import Ahead, Forecast, Past, forecast, quantile, run_quantiles, season_factors

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
D = Decimal


def days(amounts, *, first: int = 0) -> list[Past]:
    """Days from the weekday `first` on."""
    return [Past((first + n) % 7, D(str(amount))) for n, amount in enumerate(amounts)]


def ahead(count: int, *, start: datetime = MONDAY, first_share: str = "1") -> list[Ahead]:
    moments = [start + timedelta(days=n) for n in range(count + 1)]
    return [
        Ahead(begin.weekday(), D(first_share) if n == 0 else D(1), begin, end)
        for n, (begin, end) in enumerate(zip(moments, moments[1:], strict=False))
    ]


def ask(past, slots, *, spent="0", limit="1000", now=MONDAY) -> Forecast:
    return forecast(
        spent=D(spent), limit=D(limit), started_at=now, now=now, ends_at=slots[-1].ends_at, past=past, ahead=slots
    )


def test_steady_spending_goes_on_and_its_range_is_narrow():
    found = ask(days([2] * 56), ahead(7), spent="3")
    assert (found.expected, found.low, found.high) == (D("17.0000"), D("17.0000"), D("17.0000"))
    assert (found.basis, found.slots, found.exhausted_at) == ("pattern", 56, None)


def test_a_weekend_without_work_is_expected_to_cost_less():
    past = days([10, 10, 10, 10, 10, 0, 0] * 8)
    week = ahead(7)
    workdays, weekend = ask(past, week[:5]).expected, ask(past, week[5:], now=week[5].starts_at).expected
    assert D(45) < workdays <= D(50)
    assert weekend < D(4)
    assert workdays + weekend == pytest.approx(D(50), abs=D("0.001"))


def test_the_factors_of_the_days_of_the_week_by_hand():
    # 2 weeks: Mondays 8 each, all others 1 each; the mean is (16 + 12) / 14 = 2.
    factors = season_factors(days([8, 1, 1, 1, 1, 1, 1] * 2))
    # drawn towards 1 as if two more slots had been average: (16 + 4) / 4 / 2 and (2 + 4) / 4 / 2
    assert factors[0] == D("2.5")
    assert factors[3] == D("0.75")


def test_the_day_on_which_the_limit_is_reached_is_named_to_the_hour():
    found = ask(days([24] * 28), ahead(10), limit="60")
    assert found.exhausted_at == MONDAY + timedelta(days=2, hours=12)
    assert ask(days([24] * 28), ahead(2), limit="60").exhausted_at is None
    assert ask(days([24] * 28), ahead(10), spent="60", limit="60").exhausted_at is None  # it is reached already


def test_the_rest_of_today_counts_for_its_share():
    assert ask(days([8] * 28), ahead(1, first_share="0.25"), spent="5").expected == D("7.0000")


def test_a_window_without_an_end_has_no_end_to_forecast_but_a_day_of_exhaustion():
    found = forecast(
        spent=D(0), limit=D(10), started_at=MONDAY, now=MONDAY, ends_at=None, past=days([1] * 28), ahead=ahead(60)
    )
    assert (found.expected, found.low, found.exhausted_at) == (None, None, MONDAY + timedelta(days=10))


def test_without_a_past_it_goes_by_the_pace_of_the_window_and_says_so():
    now = MONDAY + timedelta(days=3)
    found = forecast(
        spent=D(9), limit=D(15), started_at=MONDAY, now=now, ends_at=MONDAY + timedelta(days=10), past=[], ahead=[]
    )
    assert (found.expected, found.low, found.basis) == (D("30.0000"), None, "pace")
    assert found.exhausted_at == MONDAY + timedelta(days=5)


@pytest.mark.parametrize("spent", ["0", "-1"])
def test_nothing_spent_and_no_past_says_nothing(spent):
    assert ask([], ahead(3), spent=spent) is None


def test_the_time_before_the_first_spending_does_not_count():
    assert ask(days([0] * 50 + [7] * 6), ahead(1)).expected == D("7.0000")


def test_quantiles_lie_between_neighbours():
    values = [D(n) for n in (0, 10, 20, 30, 40)]
    assert [quantile(values, D(share)) for share in ("0", "0.1", "0.5", "0.9", "1")] == [0, 4, 20, 36, 40]
    with pytest.raises(ValueError, match="Nothing"):
        quantile([], D("0.5"))


def test_streaks_widen_the_range_of_a_week_more_than_alternation_does():
    streaks = [D(0)] * 7 + [D(10)] * 7
    alternating = [D(0), D(10)] * 7
    low, high = run_quantiles(streaks * 3, length=7)
    assert high - low > D(6)
    low, high = run_quantiles(alternating * 3, length=7)
    assert high - low < D("2.5")


def test_eight_of_ten_months_to_come_end_within_the_range():
    """Spending with weekdays, noise and quiet weeks: forecast at 200 moments, compared with what came then."""
    chance = random.Random(7)  # noqa: S311
    weekday = (1.3, 1.2, 1.1, 1.0, 0.9, 0.3, 0.2)
    within = 0
    for _ in range(200):
        level = 10.0
        amounts = []
        for day in range(56 + 14):
            level += chance.gauss(0, 0.4) + (10 - level) * 0.1
            amounts.append(max(0.0, level * weekday[day % 7] * chance.lognormvariate(0, 0.5)))
        found = ask(days([round(a, 4) for a in amounts[:56]]), ahead(14), limit="100000")
        came = D(str(round(sum(amounts[56:]), 4)))
        within += found.low <= came <= found.high
    assert 145 <= within <= 185, f"{within} of 200 ended within the range of 8 in 10"


@settings(max_examples=150, deadline=None)
@given(
    past=st.lists(st.decimals("0", "1000", places=4), max_size=70),
    count=st.integers(1, 40),
    spent=st.decimals("0", "500", places=4),
    limit=st.decimals("0.01", "5000", places=2),
)
def test_whatever_the_past_the_forecast_makes_sense(past, count, spent, limit):
    slots = ahead(count)
    found = forecast(
        spent=spent, limit=limit, started_at=MONDAY - timedelta(days=1), now=MONDAY, ends_at=slots[-1].ends_at,
        past=days(past), ahead=slots,
    )  # fmt: skip
    if found is None:
        return
    assert found.expected >= spent - D("0.0001")
    if found.low is not None:
        assert spent - D("0.0001") <= found.low <= found.expected <= found.high
    if found.exhausted_at is not None:
        assert MONDAY <= found.exhausted_at <= slots[-1].ends_at
        assert spent < limit <= found.expected + D("0.0001")
