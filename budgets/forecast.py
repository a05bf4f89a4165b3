"""What a window will have spent when it ends, and when its limit will be reached. Pure: no clock, no database.

The method, in three steps:

1. **Pattern.** Past spending comes in equal slots (days; hours for windows of a day and less), each with its season:
   the day of the week, or the hour of the day. The factor of a season is its mean over the mean of all slots, drawn
   towards 1 while there are few of it (as if two slots more had been average).
2. **Expectation.** The mean of all slots times the factors of the slots that lie ahead.
3. **Range.** Spending comes in streaks, so single slots are not drawn at random: every run of as many consecutive
   slots as lie ahead is one observation of how far such a stretch is off its expectation. The range is from the 10th
   to the 90th percentile of those runs, made wider as for any small sample: the runs overlap, so there are only as
   many independent ones as fit side by side (Student's t instead of the normal quantile), and the mean that they are
   compared with is itself estimated from them. Where the past is too short for three runs side by side, shorter ones
   are used and their spread is narrowed by the square root of the ratio of lengths, as for sums of independent
   stretches. A stretch shorter than the pattern (a Monday) is compared with those that begin alike (other Mondays),
   where there are six of them.

So the range says: had this stretch come at a moment of the past weeks, it would have ended within it in 8 cases of 10.
It knows nothing of a launch next week.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate

#: Fewer slots of history than this say nothing: there is no forecast from a pattern then.
MIN_SLOTS = 3
#: So many runs that begin in the same season are enough to look at them alone.
MIN_ALIKE = 6
LOW, HIGH = Decimal("0.1"), Decimal("0.9")
_CENT_OF_A_CENT = Decimal("0.0001")
_PRIOR = 2  # slots of average spending that every season begins with


@dataclass(frozen=True, slots=True)
class Past:
    """What was spent in one slot that is over. `season`: 0 to 6 for days of the week, 0 to 23 for hours of the day."""

    season: int
    amount: Decimal  # USD


@dataclass(frozen=True, slots=True)
class Ahead:
    """A slot, or what is left of one: `share` 1 for a whole one."""

    season: int
    share: Decimal
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a window is expected to have spent at its end, in USD, and the range in which it ends in 8 cases of 10."""

    expected: Decimal | None  # None for a window without an end
    low: Decimal | None
    high: Decimal | None
    exhausted_at: datetime | None  # when the limit is expected to be reached; None: not in this window
    basis: str  # "pattern", or "pace" where the past says too little: the speed of this window so far
    slots: int  # of history behind it

    def as_json(self) -> dict[str, object]:
        """Money as text, times in ISO 8601."""
        return {
            "expected": _text(self.expected),
            "low": _text(self.low),
            "high": _text(self.high),
            "exhausted_at": self.exhausted_at.isoformat() if self.exhausted_at else None,
            "basis": self.basis,
            "slots": self.slots,
        }


def forecast(
    *,
    spent: Decimal,
    limit: Decimal,
    started_at: datetime,
    now: datetime,
    ends_at: datetime | None,
    past: Sequence[Past],
    ahead: Sequence[Ahead],
) -> Forecast | None:
    """The forecast of a window that has spent `spent` USD of `limit` by `now`. None where nothing can be said.

    `past` are the slots before the present one, the oldest first; `ahead` is the rest of the window in slots (of a
    window without an end: as far as its exhaustion is looked for).
    """
    past = _since_first(past)
    if len(past) < MIN_SLOTS:
        return _by_pace(spent=spent, limit=limit, started_at=started_at, now=now, ends_at=ends_at)
    factors = season_factors(past)
    mean = max(Decimal(0), sum((slot.amount for slot in past), Decimal(0)) / len(past))
    weights = [factors.get(slot.season, Decimal(1)) * slot.share for slot in ahead]
    reached = _reached(spent, limit, mean, weights, ahead)
    if ends_at is None:
        return Forecast(None, None, None, reached, "pattern", len(past))
    expected = mean * sum(weights, Decimal(0))
    off = [slot.amount - mean * factors[slot.season] for slot in past]
    season = ahead[0].season if ahead and len(ahead) < len(factors) else None
    alike = [i for i, slot in enumerate(past) if slot.season == season]
    low, high = run_quantiles(off, length=max(1, len(ahead)), starts=alike)
    slots = sum((slot.share for slot in ahead), Decimal(0))
    return Forecast(
        expected=_rounded(spent + expected),
        low=_rounded(spent + min(expected, max(Decimal(0), expected + low * slots))),
        high=_rounded(spent + max(expected, expected + high * slots)),
        exhausted_at=reached,
        basis="pattern",
        slots=len(past),
    )


def season_factors(past: Sequence[Past]) -> dict[int, Decimal]:
    """How much dearer or cheaper than the mean each season is: 1 for an average one; never 0."""
    mean = sum((slot.amount for slot in past), Decimal(0)) / len(past)
    sums: dict[int, Decimal] = {}
    counts: dict[int, int] = {}
    for slot in past:
        sums[slot.season] = sums.get(slot.season, Decimal(0)) + slot.amount
        counts[slot.season] = counts.get(slot.season, 0) + 1
    if mean <= 0:
        return dict.fromkeys(sums, Decimal(1))
    prior = mean * _PRIOR
    factors = {key: max(Decimal(0), sums[key] + prior) / (counts[key] + _PRIOR) / mean for key in sums}
    return {key: max(factor, Decimal("0.01")) for key, factor in factors.items()}


def run_quantiles(off: Sequence[Decimal], *, length: int, starts: Sequence[int] = ()) -> tuple[Decimal, Decimal]:
    """How far a stretch of `length` slots is off, per slot: the 10th and 90th percentile, for what is yet to come.

    `starts`: only the runs that begin at these slots, where enough of them are whole.
    """
    count = len(off)
    size = max(1, min(length, count // 3))
    sums = [Decimal(0), *accumulate(off)]
    alike = [i for i in starts if i + size <= count]
    begins = alike if len(alike) >= MIN_ALIKE else range(count - size + 1)
    means = sorted((sums[i + size] - sums[i]) / size for i in begins)
    centre = sum(means, Decimal(0)) / len(means)
    narrower = (Decimal(size) / max(length, size)).sqrt()
    side_by_side = min(len(means), count // size)
    estimated = ((1 + Decimal(length) / count) / (1 - Decimal(size) / count)).sqrt() if size < count else Decimal(1)
    wider = estimated * student_over_normal(side_by_side - 1)
    low, high = (centre + (quantile(means, share) - centre) * narrower * wider for share in (LOW, HIGH))
    return low, high


#: The 90th percentile of Student's t by degrees of freedom; of the normal distribution it is 1.2816.
_STUDENT = {
    1: "3.078",
    2: "1.886",
    3: "1.638",
    4: "1.533",
    5: "1.476",
    6: "1.440",
    8: "1.397",
    12: "1.356",
    20: "1.325",
}
_NORMAL = Decimal("1.2816")


def student_over_normal(freedom: int) -> Decimal:
    """By how much a range from few observations must be wider than one from many."""
    known = [key for key in _STUDENT if key <= max(freedom, 1)]
    return Decimal(_STUDENT[max(known)]) / _NORMAL if freedom <= 60 else Decimal(1)


def quantile(values: Sequence[Decimal], share: Decimal) -> Decimal:
    """The quantile of sorted values, between neighbours in proportion. Raises `ValueError` for none."""
    if not values:
        raise ValueError("Nothing has no quantile.")
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def _since_first(past: Sequence[Past]) -> Sequence[Past]:
    """From the first slot with spending on: the time before somebody began says nothing about him."""
    first = next((i for i, slot in enumerate(past) if slot.amount > 0), len(past))
    return past[first:]


def _by_pace(
    *, spent: Decimal, limit: Decimal, started_at: datetime, now: datetime, ends_at: datetime | None
) -> Forecast | None:
    """Without a past: as fast as until now. No range, as one window is one observation."""
    elapsed_s = _seconds(started_at, now)
    if ends_at is None or spent <= 0 or elapsed_s <= 0:
        return None
    left_s = max(Decimal(0), _seconds(now, ends_at))
    reached = None
    if spent < limit and (needed_s := (limit - spent) * elapsed_s / spent) <= left_s:
        reached = _after(now, needed_s)
    return Forecast(_rounded(spent + spent * left_s / elapsed_s), None, None, reached, "pace", 0)


def _reached(
    spent: Decimal, limit: Decimal, mean: Decimal, weights: Sequence[Decimal], ahead: Sequence[Ahead]
) -> datetime | None:
    """When spending is expected to reach the limit, evenly within a slot; None where it has, or will not."""
    if spent >= limit or mean <= 0:
        return None
    for slot, weight in zip(ahead, weights, strict=True):
        cost = mean * weight
        if cost > 0 and spent + cost >= limit:
            return _after(slot.starts_at, _seconds(slot.starts_at, slot.ends_at) * (limit - spent) / cost)
        spent += cost
    return None


def _seconds(start: datetime, end: datetime) -> Decimal:
    span = end - start
    return Decimal(span.days * 86_400 + span.seconds) + Decimal(span.microseconds) / 1_000_000


def _after(start: datetime, seconds: Decimal) -> datetime:
    return (start + timedelta(seconds=int(seconds))).replace(microsecond=0)


def _rounded(amount: Decimal) -> Decimal:
    return amount.quantize(_CENT_OF_A_CENT)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
