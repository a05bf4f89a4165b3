"""Charts as data, and the tables that say the same."""

from decimal import Decimal

from costwatch.formatting import change, compact, percent
from costwatch.pages.charts import Chart, Line, Series, spark

D = Decimal


def chart(**fields) -> Chart:
    first = Series(name="</script><b>", values=[D("1.5"), None], links=["/a", ""])
    series = [first, Series(name="b", values=[D(2), D(3)])]
    return Chart(**{"id": "c", "title": "Spend", "labels": ["1 May", "2 May"], "series": series, **fields})


def test_what_is_drawn_and_what_stands_in_the_table_is_the_same():
    made = chart(lines=[Line(name="Budget", value=D("0.004"))])
    assert made.data["series"][0] == {
        "name": "</script><b>", "values": [1.5, None], "texts": ["$1.50", "–"], "links": ["/a", ""], "link": "",
        "muted": False, "dashed": False, "colour": 1,
    }  # fmt: skip
    assert made.data["totals"] == ["$3.50", "$3.00"]
    assert made.data["lines"] == [{"name": "Budget", "value": 0.004, "text": "$0.0040"}]
    assert made.rows == [("2 May", ["–", "$3.00"], "$3.00"), ("1 May", ["$1.50", "$2.00"], "$3.50")]
    assert not made.is_empty and chart(series=[Series(name="a", values=[D(0), None])]).is_empty


def test_other_units_read_as_such_and_lines_are_not_added_up():
    made = chart(unit="tokens", kind="line", stacked=False, newest_first=False)
    assert made.rows[0] == ("1 May", ["1.5 tokens", "2 tokens"], "3.5 tokens") and not made.with_sums
    assert made.data["totals"] == []


def test_a_line_without_axes():
    assert spark([D(0), D(1)], text="up").points == "0.0,23.0 100.0,1.0"
    assert spark([D(1)], text="") is None and spark([D(0), D(0)], text="") is None


def test_shares_counts_and_changes_in_words():
    shown = [percent(D(v)) for v in ("0", "0.0004", "0.05", "0.0512", "0.0999", "0.123", "1", "12.5")]
    assert shown == [
        "0 %", "< 0.1 %", "5.0 %", "5.1 %", "10 %", "12 %", "100 %", "1,250 %",
    ]  # fmt: skip
    assert percent(None) == "–"
    assert [compact(v) for v in (950, 1_000, 12_345, 999_999, 4_560_000, 1_200_000_000, -2_500)] == [
        "950", "1 k", "12.3 k", "1 M", "4.56 M", "1.2 G", "-2.5 k",
    ]  # fmt: skip
    assert change(D(5), D(4)) == {"direction": "up", "text": "+25 %"}
    assert change(D(1), D(4)) == {"direction": "down", "text": "−75 %"}
    assert change(D(50), D(4)) == {"direction": "up", "text": "12 times"}
    assert change(D(4), D(4))["direction"] == "same"
    assert change(D(1), D(0)) is None and change(D(1), None) is None
