"""What a channel is given to tell: one frozen `Message`, cleaned of everything that names can be abused for.

Names come from callers: of users, features, analyses, models, tags. `Message` cleans what it is made of, so that no
builder can forget to; each channel then escapes for its own markup (`alerts/channels/escaping.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from alerts.kinds import ABOUT_ALERTS

if TYPE_CHECKING:
    from alerts.models import CostAlert

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

#: Longest name, title and paragraph that is sent, in characters, and how many facts.
NAME_CHARS, TITLE_CHARS, TEXT_CHARS, FACTS = 200, 200, 2_000, 40

#: Unicode categories that show nothing or reorder what is shown: controls, formats (direction overrides, zero-width,
#: tags), surrogates, private use.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_SPACES = re.compile(r"\s+")


def clean(text: object, limit: int = NAME_CHARS) -> str:
    """`text` on one line of at most `limit` characters, without control, zero-width and direction characters."""
    kept = "".join(
        " " if char in "\t\n\r\v\f\x85\u2028\u2029" else char
        for char in str(text)[: limit * 4]
        if char in "\t\n\r\v\f\x85\u2028\u2029" or unicodedata.category(char) not in _UNSEEN
    )
    line = _SPACES.sub(" ", kept).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Message:
    """One alert as one delivery tells it. Amounts stand in `text` and `facts` as a reader is to see them.

    `delivery_id` is the same for every attempt and every retry: receivers know by it what they already have.
    `data` is for programs (the generic webhook): amounts as decimal strings in USD, ids, ISO 8601 times.
    """

    delivery_id: str
    alert_id: str
    type: str  # "threshold", "exceeded", "refused", "forecast", ...
    severity: Severity
    title: str  # the alert in a few words
    text: str  # in a sentence or two
    occurred_at: datetime
    facts: tuple[tuple[str, str], ...] = ()  # (label, value), in the order they are shown
    link: str = ""  # to the alert's page; "" without SITE_URL
    settings_link: str = ""  # to where its channels are set up
    zone: str = "UTC"  # the IANA time zone that `occurred_at` is shown in
    recipient: str = ""  # which of the channel's destinations; "" where it has one
    count: int = 1  # how often it happened
    resolved: bool = False  # the alert no longer holds
    test: bool = False  # somebody asked for a test
    data: Mapping[str, object] = field(default_factory=dict)
    body: str = ""  # what a webhook was sent at the first attempt, where this is a later one

    def __post_init__(self) -> None:
        facts = tuple((clean(label), clean(value)) for label, value in self.facts[:FACTS])
        cleaned = {
            "delivery_id": re.sub(r"[^A-Za-z0-9_-]", "", str(self.delivery_id))[:100],
            "alert_id": clean(self.alert_id, 100),
            "type": clean(self.type, 60),
            "severity": self.severity if self.severity in SEVERITIES else "warning",
            "title": clean(self.title, TITLE_CHARS),
            "text": clean(self.text, TEXT_CHARS),
            "facts": facts,
            "recipient": clean(self.recipient, 320),
            "link": _address(self.link),
            "settings_link": _address(self.settings_link),
            "data": MappingProxyType(dict(self.data)),
        }
        for name, value in cleaned.items():
            object.__setattr__(self, name, value)


def render(
    alert: CostAlert, *, delivery_id: UUID | str, recipient: str = "", zone: ZoneInfo | None = None, body: str = ""
) -> Message:
    """The message of one delivery of an alert. Asks the database for nothing."""
    return Message(
        delivery_id=str(delivery_id),
        alert_id=str(alert.pk),
        type=str(alert.type),
        severity=str(alert.severity),  # type: ignore[arg-type]  # checked by Message
        title=alert.title,
        text=alert.text,
        occurred_at=alert.occurred_at,
        facts=tuple((label, value) for label, value in alert.facts),
        link=_link_of(alert),
        settings_link=link_to("alert_settings"),
        zone=zone.key if zone else settings.TIME_ZONE,
        recipient=recipient,
        count=alert.count,
        resolved=alert.resolved_at is not None,
        body=body,
        data={
            "user_id": alert.user_id,
            "limit_id": alert.limit_id,
            "subject": alert.subject or None,
            "threshold": _number(alert.threshold),
            "spent_usd": _number(alert.spent),
            "limit_usd": _number(alert.limit_amount),
            "held_usd": _number(alert.held),
            "window_start": _time(alert.window_start),
            "window_end": _time(alert.window_end),
            "details": dict(alert.details or {}),
        },
    )


def trial_message(
    *, delivery_id: UUID | str, at: datetime, recipient: str = "", zone: ZoneInfo | None = None
) -> Message:
    """What "send me a test" sends: as long as a real one, and saying that it is none."""
    return Message(
        delivery_id=str(delivery_id),
        alert_id="test",
        type="test",
        severity="info",
        title="A test from Costwatch",
        text="This channel works. An alert would stand here: what was spent, of which limit, and what to do next.",
        occurred_at=at,
        facts=(("Limit", "An example, a day"), ("Spent", "$41.50 of $50.00 (83 %)")),
        link=link_to("alerts"),
        settings_link=link_to("alert_settings"),
        zone=zone.key if zone else settings.TIME_ZONE,
        recipient=recipient,
        test=True,
    )


def _link_of(alert: CostAlert) -> str:
    """The page of the alert itself; of an example, and of a message that says how many more there were, the list."""
    if alert.pk is None or alert.type in ABOUT_ALERTS:
        return link_to("alerts")
    return link_to("alert", alert.pk)


def link_to(name: str, *args: object) -> str:
    """The absolute address of a page; "" where SITE_URL is not known, or the page does not exist here."""
    if not settings.SITE_URL:
        return ""
    try:
        return f"{settings.SITE_URL}{reverse(name, args=args)}"
    except NoReverseMatch:
        return settings.SITE_URL


def _number(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _address(link: str) -> str:
    """A link of ours, or "" for anything else: links are never made of what a caller gave."""
    return link if re.fullmatch(r"https?://[!-;=?-~]{1,2000}", link or "") and '"' not in link else ""
