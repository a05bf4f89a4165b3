"""A name keeps its colour."""

import re

from django.core.cache import caches

from costwatch.pages.colours import colours_of, dearest
from tests.costwatch.test_overview import page_of

NAMES = [f"model-{number}" for number in range(8)]


def legend(html: str) -> dict[str, str]:
    found = re.findall(r'<svg viewBox="0 0 10 10" class="(cw-s\d)".*?title="(.*?)"', html, re.S)
    return {name: colour for colour, name in found}


def test_no_two_of_a_chart_are_alike_and_the_dearest_keep_theirs():
    whole = colours_of(NAMES, NAMES)
    assert sorted(whole.values()) == list(range(1, 9))
    for shown in (NAMES[::-1], NAMES[2:], [*NAMES[5:], "new", "other"]):
        found = colours_of(shown, NAMES)
        assert len(set(found.values())) == len(shown)
        assert {name: found[name] for name in shown if name in NAMES} == {n: whole[n] for n in shown if n in NAMES}
    assert colours_of(["a"], []) == colours_of(["a"], []), "without a past, by its letters"


def test_a_name_has_one_colour_in_every_period_and_order(client, workspace, staff, monkeypatch):
    monkeypatch.setattr(caches["default"], "key_prefix", "colours")  # nothing is remembered
    for number, name in enumerate(NAMES):
        for _ in range(number + 1):  # the last is the dearest of all, and not of the last days
            workspace.call(feature=name, days_ago=20)
        for _ in range(len(NAMES) - number):
            workspace.call(feature=name, days_ago=1)
    shown = [legend(page_of(client, staff, f"/?by=feature&period={period}")) for period in ("30d", "7d", "90d")]
    assert set(shown[0]) == set(NAMES) and shown[0] == shown[1] == shown[2]
    one = legend(page_of(client, staff, f"/?by=feature&period=7d&model=gpt-4o-mini&feature={NAMES[3]}"))
    assert all(shown[0][name] == colour for name, colour in one.items())
    assert set(dearest("feature", at=workspace.now)) == set(NAMES)
