"""PagerDuty, by its Events API v2: an alert opens an incident, and resolves it when it no longer holds."""

from collections.abc import Mapping
from typing import Any

from alerts.channels import layout
from alerts.channels.escaping import inert
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

#: Of PagerDuty's own, in characters.
SUMMARY_CHARS = 1_000
_SEVERITY = {"info": "info", "warning": "warning", "critical": "critical"}


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Send the event. Its `dedup_key` is the alert's id, so that a second attempt opens no second incident."""
    from alerts.channels import bridge

    pagerduty = bridge.plugin("pagerduty", "NotifyPagerDuty")
    key = secrets["integration_key"]
    facts = {inert(label): inert(value) for label, value in message.facts}
    return bridge.deliver(
        lambda: pagerduty(
            apikey=key, integrationkey=key, source="Costwatch", component=message.type, class_id=message.type,
            include_image=False, click=message.link or None, details=facts,
            region_name=config.get("region") or "us", severity=_SEVERITY[message.severity],
            action="resolve" if message.resolved else "trigger", dedup=f"costwatch-{message.alert_id}", secure=True,
            asset=bridge.asset(),
        ),
        message, who="PagerDuty", hosts=r"events\.(eu\.)?pagerduty\.com", body=text(message),
    )  # fmt: skip


def text(message: Message) -> str:
    """The incident's summary, one line of plain text."""
    parts = (inert(layout.headline(message)), inert(message.text))
    return ". ".join(part.rstrip(".") for part in parts if part)[:SUMMARY_CHARS]


def preview(message: Message) -> Preview:
    """The summary, and the facts under it."""
    facts = "\n".join(f"{label}: {value}" for label, value in message.facts)
    return Preview(text(message), facts)


KIND = Kind(
    "pagerduty",
    "PagerDuty",
    "Incidents of a PagerDuty service; they are resolved when the alert no longer holds.",
    (
        Field(
            "integration_key", "Integration key", "Of an Events API v2 integration of the service.", secret=True,
            pattern=r"[A-Za-z0-9]{32}", valid="32 letters and digits, as PagerDuty shows it.",
        ),
        Field(
            "region", "Region", "Where your account is.", required=False,
            choices=(("us", "United States"), ("eu", "Europe")),
        ),
    ),
    send,
    preview,
    closes=True,
)  # fmt: skip
