"""Charts as data: what the browser draws, and the table that says the same. Only what is drawn becomes a float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

from costwatch.formatting import usd_column

#: Series of a stack that have a colour of their own; the rest is one series.
MOST_SERIES = 8
OTHER = "Other"
#: In `Series.link`: the key of the point that is clicked.
AT = "__at__"

Kind = Literal["bar", "line"]


#: A value stands in what is drawn and in the table; most are nothing at all.
_usd = lru_cache(maxsize=4096)(usd_column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of a chart: a value for each point (None: none).

    `links` lead on from each point; or `link` does, in which `AT` stands for the point's key (`Chart.keys`).
    """

    name: str
    values: Sequence[Decimal | None]
    links: Sequence[str] = ()
    link: str = ""
    muted: bool = False  # "Other", drawn in grey
    dashed: bool = False  # of a line: what is expected, not what was
    colour: int = 0  # one of the `MOST_SERIES` colours, from 1 on; 0: by its place in the chart

    @property
    def total(self) -> Decimal:
        """The sum of its values."""
        return sum((value for value in self.values if value is not None), Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A level across the chart, such as a budget."""

    name: str
    value: Decimal
    per: str = ""  # "a day", said behind the value


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart and its table. `id` is unique on its page; `labels` name the points, `titles` in full for tooltips.

    `unit` says how values read: "usd", or a word that stands behind the number.
    """

    id: str
    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    titles: Sequence[str] = ()
    keys: Sequence[str] = ()
    kind: Kind = "bar"
    stacked: bool = True
    lines: Sequence[Line] = ()
    unit: str = "usd"
    first_column: str = "Day"
    height: int = 280
    step: bool = False  # a line that stays until it jumps, such as a price
    band: tuple[str, str] | None = None  # two series of lines, by name: what lies between them is tinted
    newest_first: bool = True  # in the table

    @property
    def data(self) -> dict[str, Any]:
        """What charts.js draws."""
        return {
            "kind": self.kind,
            "title": self.title,
            "stacked": self.stacked,
            "step": self.step,
            "band": list(self.band or ()),
            "unit": self.unit,
            "labels": list(self.labels),
            "titles": list(self.titles or self.labels),
            "keys": list(self.keys),
            "series": [
                {
                    "name": one.name,
                    "values": [None if value is None else float(value) for value in one.values],
                    "texts": [self.text(value) for value in one.values],
                    "links": list(one.links),
                    "link": one.link,
                    "muted": one.muted,
                    "dashed": one.dashed,
                    "colour": self._colour(place),
                }
                for place, one in enumerate(self.series)
            ],
            "totals": [self.text(sum_) for sum_ in self.sums] if self.stacked and len(self.series) > 1 else [],
            "lines": [{"name": o.name, "value": float(o.value), "text": self.text(o.value)} for o in self.lines],
        }

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The names of the series, each with the class of its colour."""
        named = enumerate(self.series)
        return [(one.name, "" if one.muted else f"cw-s{self._colour(place)}") for place, one in named]

    @property
    def has_legend(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.series) > 1 or bool(self.lines)

    def _colour(self, place: int) -> int:
        return self.series[place].colour or place % MOST_SERIES + 1

    @property
    def sums(self) -> list[Decimal]:
        """The sum of every point."""
        columns = zip(*(one.values for one in self.series), strict=True) if self.series else ()
        return [sum((value for value in column if value is not None), Decimal(0)) for column in columns]

    @property
    def with_sums(self) -> bool:
        """Whether the table has a column of sums."""
        return self.stacked and len(self.series) > 1

    @property
    def rows(self) -> list[tuple[str, list[str], str]]:
        """The lines of the table: a point's title, its values, their sum."""
        titles = self.titles or self.labels
        sums = self.sums or [Decimal(0)] * len(titles)
        rows = [
            (title, [self.text(one.values[place]) for one in self.series], self.text(sums[place]))
            for place, title in enumerate(titles)
        ]
        return rows[::-1] if self.newest_first else rows

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for one in self.series for value in one.values)

    def text(self, value: Decimal | None) -> str:
        """A value as it reads."""
        if value is None:
            return "–"
        return _usd(value) if self.unit == "usd" else f"{value:,.6g} {self.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A line without axes, as points of an SVG 100 wide and 24 high; `text` says what it shows."""

    points: str
    text: str


def spark(values: Sequence[Decimal], *, text: str) -> Spark | None:
    """The line through these values; None for fewer than two, or where all are nothing."""
    top = max(values, default=Decimal(0))
    if len(values) < 2 or top <= 0:
        return None
    width = 100 / (len(values) - 1)
    heights = (23 - 22 * float(max(value, Decimal(0)) / top) for value in values)
    return Spark(points=" ".join(f"{place * width:.1f},{y:.1f}" for place, y in enumerate(heights)), text=text)
