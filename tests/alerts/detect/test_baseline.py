"""How often ordinary spending is called unusual, and how soon what is unusual is: by simulation, with fixed seeds."""

import math
import random

import pytest

from alerts.detect.baseline import DAY, DAY_OF_WEEK, FOUR_HOURS_OF_WEEK, HOUR_OF_DAY, HOUR_OF_WEEK, judge

WEEK = 168
LEAST_USD = 5.0


def profile(hour: int) -> float:
    """An office: most in the afternoon, a fifth of it at weekends. Dollars an hour, up to 33."""
    day, clock = divmod(hour % WEEK, 24)
    return 10 * (0.3 + 3 * math.exp(-(((clock - 14) / 4) ** 2))) * (0.2 if day >= 5 else 1)


def poisson(mean: float, rng: random.Random) -> int:
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    bound, count, product = math.exp(-mean), 0, rng.random()
    while product > bound:
        count, product = count + 1, product * rng.random()
    return count


def steady(hours: int, rng: random.Random) -> list[float]:
    """Noise of 30 %."""
    return [profile(hour) * math.exp(rng.gauss(0, 0.3)) for hour in range(hours)]


def streaky(hours: int, rng: random.Random) -> list[float]:
    """What is high stays high for hours."""
    found, state = [], 0.0
    for hour in range(hours):
        state = 0.8 * state + rng.gauss(0, 0.2)
        found.append(profile(hour) * math.exp(state))
    return found


def growing(hours: int, rng: random.Random) -> list[float]:
    """A tenth more each week."""
    return [profile(hour) * 1.1 ** (hour / WEEK) * math.exp(rng.gauss(0, 0.3)) for hour in range(hours)]


def drifting(hours: int, rng: random.Random) -> list[float]:
    """The level wanders: about 40 % in a week."""
    found, level = [], 0.0
    for hour in range(hours):
        level += rng.gauss(0, 0.03)
        found.append(profile(hour) * math.exp(level + rng.gauss(0, 0.3)))
    return found


def sparse(hours: int, rng: random.Random) -> list[float]:
    """A few dear calls a day; most hours hold none."""
    return [sum(3 * math.exp(rng.gauss(0, 0.8)) for _ in range(poisson(profile(h) * 0.015, rng))) for h in range(hours)]


def bursty(hours: int, rng: random.Random) -> list[float]:
    """Sessions of about six dollars each."""
    return [sum(6 * math.exp(rng.gauss(0, 0.8)) for _ in range(poisson(profile(h) / 8, rng))) for h in range(hours)]


def nightly(hours: int, rng: random.Random) -> list[float]:
    """One job a night, of forty dollars, which starts an hour late now and then."""
    found = [0.0] * hours
    for day in range(hours // 24):
        found[day * 24 + 2 + (rng.random() < 1 / 6)] = 40 * math.exp(rng.gauss(0, 0.2))
    return found


def weekly(hours: int, rng: random.Random) -> list[float]:
    """A job of sixty dollars every Tuesday morning."""
    return [
        math.exp(rng.gauss(0, 0.3)) + (60 * math.exp(rng.gauss(0, 0.2)) if h % WEEK == 33 else 0) for h in range(hours)
    ]


def told(past: list[float], amount: float) -> str:
    """The rhythm by which the hour after `past` is unusual, as `alerts.detect.unusual` looks at it; or ""."""
    now = len(past)
    hours = past[-8 * WEEK :]
    verdict = judge(amount, hours, HOUR_OF_WEEK, least_usd=LEAST_USD)
    verdicts = [verdict or judge(amount, hours, HOUR_OF_DAY, least_usd=LEAST_USD)]
    earlier = past[max(0, now - 3 - 8 * WEEK) : now - 3]
    fours = in_pieces(earlier[len(earlier) % 4 :], 4)
    verdicts.append(judge(sum(past[-3:]) + amount, fours, FOUR_HOURS_OF_WEEK, least_usd=LEAST_USD))
    today = now // 24
    days = in_pieces(past[max(0, today - 56) * 24 : today * 24], 24)
    so_far = sum(past[today * 24 :]) + amount
    verdict = judge(so_far, days, DAY_OF_WEEK, least_usd=LEAST_USD)
    verdicts.append(verdict or judge(so_far, days, DAY, least_usd=LEAST_USD))
    return next((one.rhythm.name for one in verdicts if one and one.unusual), "")


def in_pieces(values: list[float], size: int) -> list[float]:
    return [sum(values[i : i + size]) for i in range(0, len(values), size)]


def false_alarms(kind, *, series: int, weeks: int, known_days: int, seed: int) -> float:
    """False alarms in a week of twenty series, at most one a day each."""
    rng = random.Random(seed)
    count = 0
    for _ in range(series):
        values = kind((known_days + weeks * 7) * 24, rng)
        days = {hour // 24 for hour in range(known_days * 24, len(values)) if told(values[:hour], values[hour])}
        count += len(days)
    return count / (series * weeks / 20)


def found_within(kind, hours: int, *, tries: int, seed: int, factor: float = 5) -> float:
    """The share of jumps to `factor` times the usual, at any hour at which money is spent, that are told in time."""
    rng = random.Random(seed)
    found = 0
    for _ in range(tries):
        values = kind(10 * WEEK, rng)
        start = rng.choice([h for h in range(9 * WEEK, 10 * WEEK - 6) if profile(h) > 4])
        changed = values[:start]
        for hour in range(start, start + hours):
            amount = values[hour] * factor
            if told(changed, amount):
                found += 1
                break
            changed.append(amount)
    return found / tries


def test_a_jump_is_told_and_ordinary_hours_are_not():
    assert false_alarms(steady, series=2, weeks=1, known_days=56, seed=1) == 0
    assert found_within(steady, 3, tries=12, seed=1) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", [steady, streaky, growing, drifting, sparse, bursty, nightly, weekly])
def test_twenty_ordinary_series_make_less_than_one_false_alarm_a_week(kind):
    assert false_alarms(kind, series=12, weeks=4, known_days=56, seed=2) < 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [steady, sparse, nightly, weekly])
def test_nor_do_they_while_there_are_but_two_weeks_to_compare_with(kind):
    assert false_alarms(kind, series=12, weeks=2, known_days=14, seed=3) < 1


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [(steady, 0.8), (growing, 0.8), (streaky, 0.4)])
def test_five_times_as_much_is_mostly_told_within_two_hours(kind, least):
    assert found_within(kind, 2, tries=80, seed=4) >= least


def test_too_short_a_past_says_nothing():
    assert judge(100, [1.0] * (WEEK * 4 - 1), HOUR_OF_WEEK, least_usd=5) is None
    assert judge(100, [0.0] * WEEK * 8, HOUR_OF_WEEK, least_usd=5) is None, "nothing was ever spent"
    assert judge(100, [1.0] * WEEK * 4, HOUR_OF_WEEK, least_usd=5).unusual


def test_an_amount_that_is_little_or_little_more_is_not_unusual():
    regular = [2.0] * WEEK * 8
    assert not judge(6.9, regular, HOUR_OF_WEEK, least_usd=5).unusual, "less than five dollars more"
    assert judge(7.1, regular, HOUR_OF_WEEK, least_usd=5).unusual
    assert not judge(49, [20.0] * WEEK * 8, HOUR_OF_WEEK, least_usd=5).unusual, "less than two and a half times"


def test_what_was_unusual_is_normal_again_only_when_it_is_clearly_less():
    regular = [2.0] * WEEK * 8
    assert not judge(6.5, regular, HOUR_OF_WEEK, least_usd=5).normal
    assert judge(4, regular, HOUR_OF_WEEK, least_usd=5).normal


def test_an_incident_of_some_hours_does_not_hide_the_next():
    rng = random.Random(5)
    values = steady(8 * WEEK, rng)
    for hour in range(6 * WEEK + 30, 6 * WEEK + 38):
        values[hour] *= 8
    assert judge(profile(34) * 6, values + steady(34, rng), HOUR_OF_WEEK, least_usd=5).unusual
