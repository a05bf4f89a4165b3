"""In Costwatch itself: the alert is in the list and counts at the bell by being written; nothing more is sent."""

from collections.abc import Mapping
from typing import Any

from alerts.channels.kind import Kind, Preview, Sent
from alerts.messages import Message


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Always taken."""
    return Sent("Shown on the page Alerts.")


def preview(message: Message) -> Preview:
    """Title and text."""
    return Preview(message.title, message.text)


KIND = Kind("in_app", "Costwatch", "The list of alerts and the bell on every page.", (), send, preview)
