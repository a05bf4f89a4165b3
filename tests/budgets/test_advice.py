"""Recommendations: the documents' own table, tidy figures, and what a limit would have done in the past."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from budgets import tidy
from budgets.advice import advise, candidates, recommended_budget
from budgets.preview import preview
from tests.budgets.conftest import make_limit
from tests.budgets.history import spend
from tracking.sessions import count_sessions

D = Decimal


@pytest.mark.parametrize(
    ("sessions", "cost", "budget"), [(5, "1.70", "10"), (20, "5.08", "125"), (100, "10.13", "1250")]
)
def test_the_table_of_the_first_document(sessions, cost, budget):
    assert recommended_budget(sessions_a_month=sessions, cost_a_session=D(cost)) == D(budget)


def test_nothing_spent_recommends_nothing():
    assert recommended_budget(sessions_a_month=0, cost_a_session=D(5)) == 0


@given(st.decimals("0.02", "1000000", places=2))
def test_a_recommendation_leaves_room_and_wastes_none(total):
    budget = tidy.recommended(total)
    assert total * D("1.04") <= budget <= total * D("1.42") or budget == tidy.LEAST


@given(st.decimals("0.02", "1000000", places=2))
def test_tidy_figures_surround_every_amount(amount):
    above, below = tidy.above(amount), tidy.below(amount)
    assert above > amount > below
    assert above / below <= D("1.8")
    assert tidy.below(above) <= amount


def test_candidates_say_how_often_each_would_have_been_reached():
    found = candidates([D(n) for n in (1, 2, 3, 4, 9)])
    assert (found.most, found.fits) == (D(9), D(10))
    told = [(one.amount, one.hits, one.windows) for one in found.candidates]
    assert told == [(D(10), 0, 5), (D(8), 1, 5), (D(4), 2, 5), (D(3), 3, 5), (D(2), 4, 5)]


@pytest.mark.django_db
class TestHistory:
    @pytest.fixture(autouse=True)
    def people(self, django_user_model):
        self.alice = django_user_model.objects.create_user("alice@example.com", "x")
        self.bob = django_user_model.objects.create_user("bob@example.com", "x")
        self.now = timezone.now().replace(hour=12, minute=0)

    def test_users_are_told_apart_by_their_sessions(self):
        for day in range(30):
            for hour in (0, 1, 2):  # three sessions a day, two calls each
                spend("0.50", self.now - timedelta(days=day, hours=hour), user=self.alice)
                spend("0.50", self.now - timedelta(days=day, hours=hour, minutes=5), user=self.alice)
        for day in (3, 10, 17, 24, 29):
            spend("1.70", self.now - timedelta(days=day), user=self.bob)

        found = advise(at=self.now)

        alice, bob = found.users
        assert (alice.email, alice.type, alice.sessions_a_month) == ("alice@example.com", "professional", D("90.0"))
        assert (alice.cost_a_session, alice.monthly_total, alice.recommended) == (D("1.00"), D("90.00"), D(100))
        assert (bob.type, bob.sessions_a_month, bob.monthly_total, bob.recommended) == (
            "casual",
            D(5),
            D("8.50"),
            D(10),
        )
        assert [row.name for row in found.types] == ["casual", "professional"]
        assert (found.types[0].users, found.types[0].recommended) == (1, D(10))

    def test_a_daily_limit_is_judged_by_every_day_of_the_past(self):
        for day, amount in enumerate(("1", "1", "5", "1", "20")):
            spend(amount, self.now - timedelta(days=day), user=self.alice)
        day = advise(at=self.now).users[0].periods[0]
        assert (day.period, day.most, day.fits) == ("day", D(20), D(25))
        assert [(one.amount, one.hits) for one in day.candidates][:2] == [(D(25), 0), (D(20), 1)]

    def test_sessions_are_counted_over_fewer_days_where_there_is_too_much(self):
        for day in range(40):
            spend("1", self.now - timedelta(days=day, minutes=1), user=self.alice)
        assert count_sessions(now=self.now, days=90).by_user == {self.alice.pk: 40}
        few = count_sessions(now=self.now, days=90, max_rows=20)
        assert (few.days, few.by_user) == (14, {self.alice.pk: 14})

    def test_the_command_prints_tables_and_exact_json(self, capsys):
        spend("8.50", self.now - timedelta(days=2), user=self.alice)
        spend("1", self.now - timedelta(days=2), user=self.bob)
        call_command("recommend_budgets")
        said = capsys.readouterr().out
        assert "Budgets by type of user" in said and "alice@example.com" in said and "\x1b" not in said
        call_command("recommend_budgets", json=True, user="ALICE@example.com")
        data = json.loads(capsys.readouterr().out)
        assert [user["email"] for user in data["users"]] == ["alice@example.com"]
        assert data["users"][0]["periods"][0]["candidates"][0] == {"amount": "10", "hits": 0, "windows": 3}
        assert {row["name"] for row in data["types"]} <= {"casual", "active", "professional"}

    def test_the_command_says_what_it_cannot_do(self, capsys):
        call_command("recommend_budgets")
        assert "Nobody spent anything" in capsys.readouterr().out
        with pytest.raises(CommandError, match="no account"):
            call_command("recommend_budgets", user="nobody@example.com")
        with pytest.raises(CommandError, match="from 1 to 3660"):
            call_command("recommend_budgets", days=0)

    def test_a_preview_counts_the_windows_that_would_have_been_reached(self):
        for day in range(10):
            spend("1" if day else "7", self.now - timedelta(days=day + 1), user=self.alice)
        spend("2", self.now - timedelta(days=3), user=self.bob)
        found = preview(make_limit("2", scope="each_user"), at=self.now)
        assert (found.windows, found.reached, found.most, found.over) == (11, 2, D(7), D(5))
        assert [(one.subject, one.spent) for one in found.worst] == [
            ("alice@example.com", D(7)),
            ("bob@example.com", D(2)),
        ]

    def test_a_preview_of_everyones_hours_and_of_models(self):
        for minute in (1, 2, 3):
            spend("1", self.now - timedelta(days=2, minutes=minute), user=self.alice, model="gpt-4o")
        spend(
            "5", self.now - timedelta(days=2, hours=3), user=self.alice, model="claude-opus-4-1", provider="anthropic"
        )
        everyone = preview(make_limit("4", period="hour"), at=self.now)
        assert (everyone.windows, everyone.reached, everyone.most) == (2, 1, D(5))
        claude = preview(make_limit("4", period="day", scope="model", target="claude-*"), at=self.now)
        assert (claude.windows, claude.reached) == (1, 1)
        openai = preview(make_limit("4", period="day", scope="provider", target="openai"), at=self.now)
        assert (openai.windows, openai.reached, openai.most) == (1, 0, D(3))

    def test_a_preview_of_analyses_and_what_cannot_be_replayed(self):
        spend("6", self.now - timedelta(days=2), user=self.alice, analysis="track-1")
        spend("1", self.now - timedelta(days=2), user=self.alice, analysis="track-2")
        found = preview(make_limit("5", period="total", scope="each_analysis"), at=self.now)
        assert (found.windows, found.reached, found.worst[0].subject) == (2, 1, "track-1")
        for limit in (
            make_limit("5", scope="tag", target="team=a"),
            make_limit("5", period="total"),
            make_limit("5", period="hour", scope="user", user=self.alice),
        ):
            assert preview(limit, at=self.now).cannot
