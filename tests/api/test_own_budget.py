"""One's own budget over HTTP: what was set is what is shown, what is spent is one's own, all that is wrong is told."""

import pytest

from tests.api.conftest import DASHBOARD, Caller
from tests.api.test_holds import make_limit

#: Budgets are read and changed on connections of their own, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

BUDGET = "/api/cost-monitoring/budget"


def put(caller: Caller, body: dict, *, code: int = 200) -> dict:
    response = caller.ask("PUT", BUDGET, body)
    assert response.status_code == code, response.content
    return response.json()


def test_what_was_set_is_shown_also_under_narrower_limits_of_staff(alice):
    make_limit("2", scope="each_user", period="day", name="A day of everybody's")
    make_limit("40", scope="everyone", period="month", name="Team, a month")
    for told in (put(alice, {"dailyLimit": 10, "monthlyLimit": 200})["budget"], alice.get(BUDGET)["budget"]):
        assert (told["dailyLimit"], told["monthlyLimit"]) == (10, 200)
        assert (told["dailyRemaining"], told["monthlyRemaining"]) == (2, 40), "what may still be spent under all limits"
        day, month = told["binding"]["daily"], told["binding"]["monthly"]
        assert (day["name"], day["limit"], day["isOwn"]) == ("A day of everybody's", 2, False)
        assert (month["name"], month["scope"], month["remaining"]) == ("Team, a month", "everyone", 40)


def test_without_an_own_limit_none_is_shown_as_ones_own(alice):
    make_limit("2", scope="each_user", period="day")
    told = alice.get(BUDGET)["budget"]
    assert (told["dailyLimit"], told["dailyRemaining"], told["binding"]["monthly"]) == (None, 2, None)
    told = put(alice, {"dailyLimit": 1})["budget"]
    assert told["binding"]["daily"]["isOwn"] and told["dailyRemaining"] == 1


def test_what_is_spent_is_ones_own_and_the_same_within_an_answer(alice, month_of_calls):
    make_limit("5", scope="everyone", period="day")
    make_limit("40", scope="everyone", period="month")
    told = alice.get(DASHBOARD)
    assert told["budget"]["dailySpent"] == told["today"]["totalCost"] == 0.00645
    assert told["budget"]["monthlySpent"] == told["month"]["totalCost"] > 0
    assert told["budget"]["resetsAt"]["monthly"] == told["month"]["end"]
    assert told["budget"]["monthlyRemaining"] < 40 - told["budget"]["monthlySpent"], "others spent too"


def test_every_wrong_field_is_told_at_once_and_in_words(alice):
    wrong = {"dailyLimit": -1, "monthlyLimit": "many", "alertThreshold": 1.5, "alertsEnabled": "perhaps", "limit": 3}
    errors = put(alice, wrong, code=400)["errors"]
    assert set(errors) == set(wrong)
    assert errors["alertThreshold"] == ["Give a share of the limit, over 0 and up to 1: 0.8 means 80 %."]
    assert put(alice, {"alertThreshold": 0}, code=400)["errors"] == {"alertThreshold": errors["alertThreshold"]}


def test_thresholds_of_a_limit_are_told_with_its_other_fields(dora):
    body = {"scope": "everyone", "period": "day", "amount": -1, "thresholds": [0.8, 0, 11]}
    response = dora.ask("POST", "/api/v1/budgets", body)
    errors = response.json()["errors"]
    assert response.status_code == 400 and set(errors) == {"amount", "thresholds.1", "thresholds.2"}
    assert errors["thresholds.1"] == ["Give a share of the limit, over 0 and up to 10: 0.8 means 80 %."]


def test_limits_that_have_ended_are_listed_only_when_they_are_asked_for(alice, dora):
    put(alice, {"dailyLimit": 0, "monthlyLimit": 5})
    put(alice, {"dailyLimit": None})
    for caller, more in ((alice, {}), (dora, {"user": "all"})):
        (binding,) = caller.get("/api/v1/budgets", **more)["budgets"]
        assert binding["period"] == "month"
        both = caller.get("/api/v1/budgets", ended="true", limit=1, **more)
        rest = caller.get("/api/v1/budgets", ended="true", cursor=both["next"], **more)
        (over,) = [one for one in both["budgets"] + rest["budgets"] if one["active_until"]]
        assert (over["period"], over["now"]) == ("day", None)
