"""Where money could be saved, with the arithmetic written down. Prices of November 2026, USD per million tokens:
gpt-4o 2.50 in, 1.25 cached, 10 out, batch half of it; gpt-4o-mini 0.15, 0.075, 0.60."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.tracking.making import NOW, an_event, microseconds
from tracking import optimise, periods, savings
from tracking.pricing import book
from tracking.recording import record
from tracking.traffic import dearest_calls, traffic

pytestmark = pytest.mark.django_db
MONTH = periods.last_days(NOW, 30)


def usage(tokens_in: int, tokens_out: int, cached: int = 0) -> dict:
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def calls(*changes: dict) -> None:
    """One call for each, a minute apart, the last one first."""
    events = [an_event(at_us=microseconds(NOW - timedelta(minutes=n)), **each) for n, each in enumerate(changes)]
    record(events, now=NOW)


def groups(**asked):
    return traffic(rates=book.current(), period=MONTH, **asked).groups


def test_the_newest_calls_are_looked_at_and_it_is_said_from_when_on(owner, member):
    calls({"user": owner.pk}, {"user": owner.pk}, {"user": member.pk}, {"user": owner.pk, "feature": "digest"})
    everything = traffic(rates=book.current(), period=MONTH)
    assert (everything.calls, everything.cost, everything.since) == (4, 4 * Decimal("0.0075"), None)
    newest = traffic(rates=book.current(), period=MONTH, most=2)
    assert (newest.calls, newest.since) == (2, NOW - timedelta(minutes=2)), "later than that moment, all were read"
    assert traffic(rates=book.current(), period=MONTH, user_id=owner.pk).calls == 3
    assert [group.calls for group in groups(filters={"feature": "digest"})] == [1]
    assert traffic(rates=book.current(), period=periods.last_days(NOW - timedelta(days=60), 7)).groups == []


def test_corrections_count_once(owner):
    from tests.workspace import Workspace
    from tracking.models import Rate
    from tracking.repricing import reprice

    workspace = Workspace()
    workspace.call(user=owner, model="our-own-model")
    period = periods.today(workspace.now)
    (before,) = traffic(rates=book.current(), period=period).groups
    assert (before.calls, before.unpriced, before.cost) == (1, 1, 0)
    for meter, amount in (("input_tokens", 1), ("output_tokens", 2)):
        Rate.objects.create(provider="openai", model="our-own-model", meter=meter, amount=amount, own=True)
    book.forget()
    reprice(now=workspace.now)
    after = traffic(rates=book.current(), period=period)
    assert (after.calls, after.cost, sum(group.unpriced for group in after.groups)) == (1, Decimal("0.002"), 0)


def test_what_the_cache_saved_and_what_it_could_have_saved():
    calls({"usage": usage(10_000, 100, cached=4_000)}, {"usage": usage(1_000, 100)})
    (line,) = savings.caching(groups(), rates=book.current(), at=NOW, share=Decimal("0.5"))
    assert (line.calls, line.input_tokens) == (2, 11_000)
    assert line.hit_rate == Decimal(4_000) / 11_000
    assert line.saved == 4_000 * Decimal("1.25") / 1_000_000
    # 6,000 tokens were sent afresh in a prompt that is long enough; half of them, nine in ten of those read for 1.25
    # less and one in ten written, which costs gpt-4o's users nothing extra.
    assert line.could_save == 3_000 * Decimal("0.9") * Decimal("1.25") / 1_000_000


def test_anthropics_writes_to_the_cache_are_set_against_what_they_save():
    calls(
        {
            "provider": "anthropic",
            "endpoint": "/v1/messages",
            "model_asked": "claude-sonnet-4-5",
            "model_served": "claude-sonnet-4-5-20250929",
            "usage": {"input_tokens": 0, "cache_creation_input_tokens": 10_000, "output_tokens": 10},
        }
    )
    (line,) = savings.caching(groups(), rates=book.current(), at=NOW, share=Decimal(1))
    assert line.saved == -10_000 * Decimal("0.75") / 1_000_000, "written for 3.75 instead of 3, and never read"
    assert (line.hit_rate, line.could_save) == (0, 0)


def test_calls_that_nobody_watched_could_wait():
    calls({}, {"stream": True}, {"feature": "nightly", "usage": usage(100_000, 0)})
    nightly, pitch = savings.waiting(groups(), rates=book.current(), at=NOW)
    assert (nightly.feature, nightly.cost, nightly.batch_saving) == ("nightly", Decimal("0.25"), Decimal("0.125"))
    assert (pitch.feature, pitch.calls, pitch.saving) == ("pitch", 1, Decimal("0.00375")), "the stream is left out"


def test_what_was_billed_and_of_no_use():
    calls(
        {"status": "incomplete"},
        {"status": "cancelled", "feature": "chat"},
        {"status": "error", "http_status": 429, "usage": None, "feature": "search"},
        {"attempt": 2, "feature": "search"},
        {"feature": "fine"},
    )
    lines = savings.wasted(groups())
    assert [(line.feature, line.lost) for line in lines] == [
        ("chat", Decimal("0.0075")), ("pitch", Decimal("0.0075")), ("search", 0),
    ]  # fmt: skip
    assert (lines[0].cancelled_calls, lines[1].failed_calls) == (1, 1)
    assert (lines[2].failed_calls, lines[2].retried_calls, lines[2].retried_cost) == (0, 1, Decimal("0.0075"))


def test_where_the_answers_are_what_costs():
    calls({"usage": usage(1000, 1000)}, {"usage": usage(10_000, 100), "feature": "terse"})
    (line,) = savings.talkative(groups(), rates=book.current(), at=NOW)
    assert (line.feature, line.output_cost, line.cost) == ("pitch", Decimal("0.01"), Decimal("0.0125"))
    assert (line.share, line.tokens_per_call) == (Decimal("0.8"), 1000)


def test_the_same_tokens_on_other_models():
    calls({"usage": usage(10_000, 1_000, cached=4_000)}, {"usage": usage(2_000, 500)})
    models = [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("openai", "gpt-4"), ("openai", "nobody-knows")]
    mini, same, four, unknown = savings.elsewhere(groups(), models, rates=book.current(), at=NOW)
    assert (same.model, same.cost) == ("gpt-4o", traffic(rates=book.current(), period=MONTH).cost)
    # 8,000 fresh, 4,000 cached, 1,500 out
    assert (mini.model, mini.cost) == ("gpt-4o-mini", Decimal("0.0012") + Decimal("0.0003") + Decimal("0.0009"))
    # gpt-4 has no cache: 12,000 in at 30, 1,500 out at 60
    assert (four.cost, four.assumed) == (Decimal("0.36") + Decimal("0.09"), "no cache")
    assert unknown.cost is None and "nobody-knows" in unknown.reason


def test_long_prompts_are_compared_at_the_prices_of_long_prompts():
    """Gemini-like and Claude Sonnet's prices double above 200,000 tokens: sums of short prompts do not reach them."""
    long, short = usage(300_000, 0), usage(150_000, 0)
    calls({"usage": long}, {"usage": short}, {"usage": short})
    model = ("anthropic", "claude-sonnet-4-5")
    (found,) = savings.elsewhere(groups(), [model], rates=book.current(), at=NOW)
    assert found.cost == Decimal("300000") * 6 / 1_000_000 + Decimal("300000") * 3 / 1_000_000


def test_the_dearest_calls(owner):
    calls({}, {"usage": usage(1_000_000, 0), "user": owner.pk}, {"usage": usage(10, 0)}, {"model_served": "nobody"})
    dearest = dearest_calls(period=MONTH, since=None, limit=2)
    assert [(call.cost, call.user_id) for call in dearest] == [(Decimal("2.5"), owner.pk), (Decimal("0.0075"), None)]
    assert [call.cost for call in dearest_calls(period=MONTH, since=None, user_id=owner.pk)] == [Decimal("2.5")]


def test_a_models_traffic_on_the_others_and_what_it_would_save():
    calls({"usage": usage(8_000, 1_500)}, {"usage": usage(8_000, 1_500), "model_served": "gpt-4o-mini"})
    looked_at = traffic(rates=book.current(), period=MONTH)
    dearest, *_ = optimise.models_used(looked_at)
    assert (dearest.model, dearest.calls, dearest.cost) == ("gpt-4o-2024-08-06", 1, Decimal("0.035"))
    found = optimise.compare(looked_at, dearest, rates=book.current(), at=NOW)
    assert (found.now.cost, found.calls) == (Decimal("0.035"), 1)
    mini = next(one for one in found.cheaper if one.on.model == "gpt-4o-mini")
    assert mini.on.cost == Decimal("0.0012") + Decimal("0.0009")
    assert (mini.more, mini.part) == (Decimal("-0.0329"), Decimal("-0.94"))
    opus = next(one for one in found.dearer if one.on.model == "claude-opus-4-5")
    assert opus.on.cost == Decimal("0.04") + Decimal("0.0375") and opus.context_window == 200_000
    names = {one.on.model for one in found.cheaper + found.dearer}
    assert not {name for name in names if "embedding" in name or "audio" in name or "whisper" in name}


def test_findings_name_everything_with_its_sums(owner):
    calls({"usage": usage(10_000, 100, cached=4_000), "user": owner.pk}, {"status": "incomplete", "user": owner.pk})
    found = optimise.findings(
        period=MONTH, user_id=owner.pk, filters={}, share=Decimal("0.5"), rates=book.current(), at=NOW
    )
    assert found.hit_rate == Decimal(4_000) / 11_000
    assert found.cache_saved == Decimal("0.005")
    assert found.lost == Decimal("0.0075")
    assert [line.name for line in found.features] == ["pitch"] and found.total == found.looked_at.cost
    # half of 6,000 fresh tokens, 100 of output, and the other call; what is cached costs as much in a batch
    assert found.waiting_saves == Decimal("0.0075") + Decimal("0.0005") + Decimal("0.00375")
    nothing = optimise.findings(
        period=periods.last_days(NOW - timedelta(days=90), 1), user_id=None, filters={}, share=Decimal("0.5"),
        rates=book.current(), at=NOW,
    )  # fmt: skip
    assert (nothing.hit_rate, nothing.lost, nothing.calls) == (0, 0, [])
