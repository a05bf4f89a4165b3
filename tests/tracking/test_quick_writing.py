"""What the recorder does in a quicker way than the obvious one, compared with the obvious one."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking import ledger, rollups, rows
from tracking.cleaning import Cutter, json_encoder
from tracking.events import CallEvent

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.text('\\N\t\r\n,"{}x', max_size=8)
values = st.one_of(texts, st.integers(), st.none())


@given(st.lists(st.tuples(values, values, values), min_size=1, max_size=5))
def test_a_batch_is_escaped_for_copy_as_each_value_would_be(batch):
    def escaped(value):
        if value is None:
            return "\\N"
        return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")

    assert ledger._copy_text(batch) == "".join("\t".join(map(escaped, row)) + "\n" for row in batch)


@given(st.lists(values, min_size=1, max_size=6))
def test_arrays_quote_every_text(items):
    def quoted(value):
        if value is None:
            return "NULL"
        if isinstance(value, int):
            return str(value)
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert ledger.array_literal(items) == "{" + ",".join(map(quoted, items)) + "}"


@given(st.lists(st.integers(-(2**63), 2**63), min_size=1, max_size=5))
def test_arrays_of_numbers_are_read_back(numbers):
    text = ledger.int_array(tuple(numbers))
    assert (text[0], text[-1]) == ("{", "}")
    assert [int(item) for item in text[1:-1].split(",")] == numbers


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.datetimes()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=10,
)


@given(json_values, st.booleans())
def test_json_is_what_the_library_makes(value, allow_nan):
    def attempt(encode):
        try:
            return encode(value)
        except ValueError:
            return ValueError

    usual = json.JSONEncoder(separators=(",", ":"), allow_nan=allow_nan, default=str).encode
    assert attempt(json_encoder(allow_nan=allow_nan)) == attempt(usual)


def test_json_that_holds_itself_is_refused():
    value = {}
    value["inner"] = value
    with pytest.raises((RecursionError, ValueError)):
        json_encoder(allow_nan=False)(value)


moments = st.datetimes(datetime(2015, 1, 1), datetime(2026, 11, 24), timezones=st.just(UTC))


@given(moments, st.sampled_from([1, 1_000_000, 60_000_000]))
def test_times_are_written_as_django_writes_them(at, step):
    at_us = (at - rows.EPOCH) // timedelta(microseconds=1) // step * step
    flags = []
    found, text = rows._event_time(at_us, NOW, flags)
    assert flags == []
    assert (found, text) == (rows.EPOCH + timedelta(microseconds=at_us), rows.db_time(found))


@given(moments, st.sampled_from(["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]))
def test_hours_are_of_utc_and_days_of_the_site(at, zone):
    hour, day = rollups._hour_and_day(rows.db_time(at)[:16], zone)
    assert hour == f"{at:%Y-%m-%d %H}:00:00"
    assert day == at.astimezone(ZoneInfo(zone)).date().isoformat()


odd_texts = st.one_of(
    st.text(max_size=3), st.just("chat"), st.just("x" * 201), st.none(), st.just(["chat"]), st.just(1)
)


@given(odd_texts, odd_texts, odd_texts)
def test_texts_that_repeat_are_cleaned_and_flagged_each_time(provider, model, operation):
    event = CallEvent(id="e", at_us=0, provider=provider, operation=operation, endpoint="", model_served=model)
    answers = []
    for _ in range(2):
        flags = []
        answers.append((rows._repeated(event, Cutter(flags)), flags))
    assert answers[0] == answers[1]
    clean, flags = answers[0]
    assert all(type(text) is str and "\0" not in text for text in clean)
    assert len(clean[0]) <= 40
    assert clean[-1] == (operation if operation == "chat" else "other")
    assert ("changed:model_served" in flags) == (clean[1] != model)
