"""Is an amount unusual, given what the same slots of earlier weeks held? Pure: no clock, no database, no settings.

The method, for an amount that falls into a slot (an hour of the week, four hours of it, a day) and the slots before it:

1. **Level.** Each earlier week is scaled by how its median day compares with that of the latest week, at most fourfold:
   so growth is not mistaken for an incident, and one wild day changes nothing.
2. **Usual.** The median of the same slot of those weeks.
3. **Spread.** For every slot of the past, how far it was from the median of its siblings (itself left out), on the
   scale `log(amount + c)`, where `c` is 5 % of the mean: spending varies in proportion to its size, and slots without
   any spending stay finite. Only slots whose usual amount is like this one's (a third to three times) are looked at,
   where there are a hundred such; of the furthest no more than two of a day, so that one incident hides no other.
4. **Verdict.** Unusual is what is further above than both 4.25 robust standard deviations (1.4826 x the median absolute
   deviation) and 1.9 times the 99th percentile of those distances (heavy tails are the rule); is at least 2.5 times the
   usual amount, and 2.5 times the fullest of the slots beside it (a nightly job that starts an hour late is no news);
   and exceeds the usual by a least amount in USD. While there are too few weeks to know what a weekday is like, it must
   also be half as much again as the most that was ever seen at that time of the day.

Floats here decide whether something is told, and say what is usual, to the cent; nothing is added up with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

LEAST_RATIO = 2.5
DEVIATIONS = 4.25
TAIL, TIMES_TAIL = 0.99, 1.9
MOST_SEEN = 1.5
#: Standard deviations per median absolute deviation, for a normal distribution.
_MAD = 1.4826
_LEAST_SPREAD = 0.1  # nothing is as regular as the past of a series that never moved
_MOST_LEVEL = 4.0
_OFFSET = 0.05
_ENOUGH_ALIKE = 100
_MOST_OF_A_DAY = 2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What returns: so many slots make a round (a week, a day), and so many rounds must and may be looked at."""

    name: str
    season: int  # slots in a round
    slots_per_day: int
    least_rounds: int
    most_rounds: int
    weekly: bool  # a round is a week: it is scaled to the latest one's level

    @property
    def has_neighbours(self) -> bool:
        """Whether the slots beside one are looked at: hours are, days are not."""
        return self.season > 7


HOUR_OF_WEEK = Rhythm("hour of the week", 168, 24, 4, 8, True)
FOUR_HOURS_OF_WEEK = Rhythm("four hours of the week", 42, 6, 4, 8, True)
HOUR_OF_DAY = Rhythm("hour of the day", 24, 24, 10, 28, False)
DAY_OF_WEEK = Rhythm("day of the week", 7, 1, 4, 8, True)
DAY = Rhythm("day", 1, 1, 14, 56, False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. Amounts in USD, as floats: for judging, not for adding up."""

    unusual: bool
    normal: bool  # clearly so: what had been unusual is over
    usual: float  # the median, at the present level
    same: tuple[float, ...]  # the same slot of earlier rounds as it was, the oldest first
    score: float  # how far above, in robust standard deviations; 0 where that was not worth computing
    rhythm: Rhythm


def judge(amount: float, past: Sequence[float], rhythm: Rhythm, *, least_usd: float) -> Verdict | None:
    """Compare `amount` with the slots before it, the oldest first. None where the past is too short to tell.

    The slot may be still running: whatever is too much for the whole of it is too much for a part.
    """
    rounds = _rounds(past, rhythm)
    if not rounds:
        return None
    factors = _level_factors(rounds, rhythm)
    same = [one[0] for one in rounds]
    usual = median(value * factor for value, factor in zip(same, factors, strict=True))
    fullest = _with_neighbours(rounds, factors) if rhythm.has_neighbours else same
    least = LEAST_RATIO * median(fullest) if rhythm.has_neighbours else 0.0
    if not rhythm.weekly:
        least = max(least, MOST_SEEN * max(fullest))

    def told(unusual: bool, normal: bool, score: float = 0.0) -> Verdict:
        return Verdict(unusual, normal, usual, tuple(same), score, rhythm)

    if amount - usual < least_usd or amount < LEAST_RATIO * usual or amount < least:
        return told(False, amount < usual + 0.75 * least_usd or amount < 0.75 * LEAST_RATIO * usual)
    scaled = [[value * factor for value in one] for one, factor in zip(rounds, factors, strict=True)]
    mean = sum(map(sum, scaled)) / (len(scaled) * rhythm.season)
    offset = max(_OFFSET * mean, _OFFSET * least_usd)
    spread, tail = _spread(scaled, usual, offset, rhythm.slots_per_day)
    above = math.log((amount + offset) / (usual + offset))
    bound = max(math.log(LEAST_RATIO), DEVIATIONS * spread, TIMES_TAIL * tail)
    return told(above > bound, above < 0.75 * bound, above / spread)


def _rounds(past: Sequence[float], rhythm: Rhythm) -> list[Sequence[float]]:
    """The whole rounds before the slot, the oldest first, from the first spending on; none where they are too few.

    Each begins with the slot that corresponds to the one that is judged.
    """
    first = next((i for i, value in enumerate(past) if value > 0), len(past))
    count = min((len(past) - first) // rhythm.season, rhythm.most_rounds)
    if count < rhythm.least_rounds:
        return []
    begin = len(past) - count * rhythm.season
    return [past[begin + n * rhythm.season : begin + (n + 1) * rhythm.season] for n in range(count)]


def _level_factors(rounds: list[Sequence[float]], rhythm: Rhythm) -> list[float]:
    """What each round is multiplied with, to be like the latest."""
    if not rhythm.weekly:
        return [1.0] * len(rounds)
    size = rhythm.slots_per_day
    levels = [median(sum(one[i : i + size]) for i in range(0, len(one), size)) for one in rounds]
    now = levels[-1]
    return [min(_MOST_LEVEL, max(1 / _MOST_LEVEL, now / level)) if now > 0 and level > 0 else 1.0 for level in levels]


def _with_neighbours(rounds: list[Sequence[float]], factors: list[float]) -> list[float]:
    """Of each round, the fullest of the slot and the two beside it. (The one before it ends the round before.)"""
    before = [rounds[0][0], *(earlier[-1] for earlier, _ in pairwise(rounds))]
    return [max(one[0], one[1], last) * factor for one, last, factor in zip(rounds, before, factors, strict=True)]


def _spread(rounds: list[list[float]], usual: float, offset: float, slots_per_day: int) -> tuple[float, float]:
    """The robust standard deviation of slots around their siblings' median, and the tail above it, as logarithms."""
    found = [
        (value, middle, (number, place // slots_per_day))
        for place, slot in enumerate(zip(*rounds, strict=True))
        for number, (value, middle) in enumerate(_with_medians_of_others(slot))
    ]
    least, most = (usual - offset) / 3, 3 * (usual + offset)
    alike = [one for one in found if least <= one[1] <= most]
    chosen = alike if len(alike) >= _ENOUGH_ALIKE else found
    off = [(math.log((value + offset) / (middle + offset)), day) for value, middle, day in chosen]
    spread = max(_LEAST_SPREAD, _MAD * median(abs(distance) for distance, _ in off))
    return spread, _tail(sorted(off, reverse=True))


def _tail(off: Sequence[tuple[float, tuple[int, int]]]) -> float:
    """The distance that one in a hundred exceeds; from the largest down. A day counts with two of its slots at most, so
    that an incident of the past does not hide the next one.
    """
    rank, of_day = math.ceil((1 - TAIL) * len(off)), Counter()
    for distance, day in off:
        of_day[day] += 1
        rank -= of_day[day] <= _MOST_OF_A_DAY
        if rank <= 0:
            return distance
    return off[0][0]


def _with_medians_of_others(values: Sequence[float]) -> list[tuple[float, float]]:
    """Each value with the median of all others."""
    ordered = sorted(values)
    count = len(ordered)
    found = []
    for value in values:
        place = ordered.index(value)
        others = count - 1
        low, high = (others - 1) // 2, others // 2
        # Without the value itself, whatever stood after it moves one place down.
        found.append((value, (ordered[low + (low >= place)] + ordered[high + (high >= place)]) / 2))
    return found
