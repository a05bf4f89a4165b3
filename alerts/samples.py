"""An example of each type of alert, to show what its message looks like. Nothing of it is stored or sent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from alerts import channels, messages
from alerts.audience import visible_to
from alerts.channels.kind import Preview
from alerts.kinds import ABOUT_ALERTS, Severity, Type
from alerts.models import CostAlert

_LIMIT = ("Limit", "Research, a month")
_SPENT = ("Spent", "$412.50 of $500.00 (82.5 %)")
_RESETS = ("Resets", "2026-12-01 00:00 UTC")
_W, _C, _I = Severity.WARNING, Severity.CRITICAL, Severity.INFO
_BUDGET = (_LIMIT, _SPENT, _RESETS)
_FULL = (_LIMIT, ("Spent", "$500.00 of $500.00 (100 %)"), _RESETS)

#: Severity, title, text and facts.
_SAMPLES: dict[str, tuple[Severity, str, str, tuple[tuple[str, str], ...]]] = {
    Type.THRESHOLD: (_W, "80 % spent: Research, a month",
        "$412.50 of $500.00 is spent, $87.50 is left. It resets at 2026-12-01 00:00 UTC.", _BUDGET),
    Type.EXCEEDED: (_C, "Limit reached: Research, a month",
        "$500.00 of $500.00 is spent. Calls that cost something are refused until 2026-12-01 00:00 UTC. Staff can "
        "raise the limit; others can ask for more on the page Budgets.", _FULL),
    Type.REFUSED: (_C, "Calls are refused: Research, a month",
        "$499.20 of $500.00 is spent, $0.80 is left; a call that could have cost $1.10 was refused.", _FULL),
    Type.PAUSED: (_C, "Paused: Research, a month",
        "Calls that cost something are refused until 2026-12-01 00:00 UTC.", _FULL),
    Type.RESUMED: (_I, "Calls are let through again: Research, a month",
        "A new window has begun, with $500.00 to spend.", (_LIMIT,)),
    Type.FORECAST: (_W, "Forecast to be exceeded: Research, a month",
        "$212.50 of $500.00 is spent, and at the present course it will be $640.00 (128 %) when the limit resets at "
        "2026-12-01 00:00 UTC. The limit is expected to be reached on 2026-11-24 15:00 UTC; then calls that cost "
        "something will be refused.",
        (_LIMIT, ("Spent", "$212.50 of $500.00 (42.5 %)"), ("Forecast", "$640.00"),
         ("In 8 cases of 10", "$590.00 to $700.00"), ("Expected to be reached", "2026-11-24 15:00 UTC"))),
    Type.UNUSUAL_SPEND: (_W, "Unusual spending: feature summaries",
        "Feature summaries spent $41.20 between 14:00 and 15:00 on Tuesday, 24 November (UTC); on Tuesdays at that "
        "hour it is usually $3.10 to $6.20 (8 weeks).",
        (("Feature", "summaries"), ("Spent", "$41.20 between 14:00 and 15:00 on Tuesday, 24 November (UTC)"),
         ("Usually, on Tuesdays at that time", "$3.10 to $6.20 (8 weeks)"))),
    Type.UNPRICED: (_W, "No price for calls of openai gpt-next",
        "12 calls of openai gpt-next could not be priced: sums leave them out, and say so. Add the missing rate in "
        "the administration (Rates).", (("Model", "openai gpt-next"), ("Calls without a price", "12"))),
    Type.RATE_CHANGED: (_W, "Dearer since 2026-11-24: openai gpt-4o",
        "From 2026-11-24 on, openai gpt-4o costs: input tokens: $2.50 → $3.00 per million (+20 %). For what was used "
        "in the last 30 days that is +$12.40, +8.3 % of its cost.",
        (("Model", "openai gpt-4o"), ("Rate", "input tokens: $2.50 → $3.00 per million (+20 %)"))),
    Type.INCREASE_ASKED: (_W, "alice@example.com asks for more: Research, a month",
        "$100.00 more until 2026-11-30 18:00 UTC, for: the evaluation of the new model.", _BUDGET),
    Type.INCREASE_APPROVED: (_I, "Approved: $100.00 more of Research, a month", "It counts at once.", _BUDGET),
    Type.INCREASE_REFUSED: (_I, "Refused: $100.00 more of Research, a month", "Let us talk first.", _BUDGET),
    Type.RECORDER_BEHIND: (_W, "Calls wait to be recorded",
        "1,204,331 bytes of calls wait on worker-1, the oldest for 7 minutes: costs and limits do not know of them "
        "yet.", (("Waits since", "7 minutes"), ("Waiting", "1,204,331 bytes"))),
    Type.SPOOL_GROWING: (_W, "The spool is 55 % full",
        "When it is full, calls are lost. Record what waits, or raise SPOOL_MAX_MB.", (("Used", "295,279,001 bytes"),)),
    Type.CALLS_LOST: (_C, "Calls were not recorded",
        "Since the spool of worker-1 was made, 3 calls were lost because it was full or not writable.",
        (("Lost", "3"),)),
    Type.HOLDS_EXPIRED: (_W, "Calls were never heard of again",
        "Of 8 calls nothing was heard within the last 24 hours. They count at what they could have cost, until the "
        "truth arrives.", (("Within 24 hours", "8"),)),
    Type.LEDGER_STRAY: (_W, "Rows of the ledger are in no month's partition",
        "3 rows stand in the default partition.", (("Rows", "3"),)),
    Type.CHANNEL_DIED: (_W, "A channel was switched off: Slack",
        "It failed for three days. It said: invalid_token. Correct it and switch it on again.",
        (("Channel", "Slack"),)),
    Type.MAIL_FAILING: (_C, "Mail cannot be sent",
        "The mail server said: 530 5.7.0 Authentication required. Mail waits and is tried again; correct EMAIL_URL or "
        "EMAIL_FROM, and restart web server and worker.", (("Since", "2026-11-23 08:12 UTC"),)),
    Type.DIGEST: (_I, "$212.50 in seven days, 2 alerts: 16 to 22 November",
        "Spent $212.50 in the seven days 16 to 22 November, 12 % more than before; 2 alerts.",
        (("Spent", "$212.50 (18,204 calls)"), ("The span before", "$189.70 (12 % more than before)"),
         ("Top feature", "summaries: $120.10"), ("Top model", "gpt-4o: $160.00"),
         ("Budget, warning", "Research, a month: $412.50 of $500.00 (82.5 %)"),
         ("Alert, warning", "80 % spent: Research, a month"),
         ("Alert, warning", "Unusual spending: feature summaries"))),
}  # fmt: skip

#: The types that have an example, as a list to choose from.
TYPES = [(name, label) for name, label in Type.choices if name in _SAMPLES]


def sample(type_: str, *, at: datetime) -> CostAlert:
    """An example of a type. Raises `KeyError` where there is none."""
    severity, title, text, facts = _SAMPLES[type_]
    return CostAlert(
        type=type_, severity=severity, title=title, text=text, facts=[list(fact) for fact in facts], occurred_at=at,
        spent=Decimal("412.50"), limit_amount=Decimal(500),
    )  # fmt: skip


def shown(user: Any, type_: str, *, kind: str, at: datetime) -> tuple[Preview, bool]:
    """How a kind of channel tells such an alert, and whether it is one that the account really had: else an example.

    Raises `KeyError` for a type without an example, `alerts.channels.Permanent` for a kind that does not exist.
    """
    rows = CostAlert.objects.filter(visible_to(user), type=type_).exclude(type__in=ABOUT_ALERTS)
    real = rows.order_by("-pk").first()
    alert = real or sample(type_, at=at)
    message = messages.render(alert, delivery_id="preview", zone=getattr(user, "zone", None))
    return channels.preview(kind, message), real is not None
