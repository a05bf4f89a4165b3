"""Microsoft Teams, by a workflow "When a Teams webhook request is received" (Power Automate)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from alerts.channels import layout
from alerts.channels.errors import Permanent
from alerts.channels.escaping import inert
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

#: Microsoft's own domains, in which workflows have their addresses.
HOSTS = r"[a-z0-9-]+(\.[a-z0-9-]+){0,4}\.(logic\.azure\.com|api\.powerplatform\.com)"
_PATH = re.compile(
    r"/(?P<automate>powerautomate/automations/direct/)?(?:cu/(?P<route>[A-Za-z0-9._-]+)/)?"
    r"workflows/(?P<workflow>[A-Za-z0-9_-]+)/triggers/manual/paths/invoke/?"
)
_VALID = "The address that the workflow shows after it is saved: https://...logic.azure.com/workflows/..."


def read(url: str) -> dict[str, Any]:
    """What Apprise wants of a workflow's address. Raises ValueError."""
    parts = urlsplit(url)
    path, query = _PATH.fullmatch(parts.path), parse_qs(parts.query)
    signature = query.get("sig", [""])[0]
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or parts.netloc.lower() not in (host, f"{host}:443") or not re.fullmatch(HOSTS, host):
        raise ValueError
    if path is None or not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", signature):
        raise ValueError
    version = query.get("api-version", [""])[0]
    return {
        "host": host,
        "workflow": path["workflow"],
        "signature": signature,
        "power_automate": bool(path["automate"]),
        "routing_id": path["route"],
        "version": version if re.fullmatch(r"[0-9A-Za-z-]{1,20}", version) else None,
    }


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Post it."""
    from alerts.channels import bridge

    try:
        given = read(secrets["workflow_url"])
    except ValueError:
        raise Permanent(f"The workflow's URL cannot be used. {_VALID}") from None
    teams = bridge.plugin("workflows", "NotifyWorkflows")
    return bridge.deliver(
        lambda: teams(**given, include_image=False, wrap=True, secure=True, asset=bridge.asset()),
        message, who="Teams", hosts=re.escape(given["host"]), title=inert(layout.headline(message)),
        body=text(message),
    )  # fmt: skip


def text(message: Message) -> str:
    """What stands under the title: a part of Markdown."""
    facts = layout.lines(message, inert)
    link = [f"[Open in Costwatch]({message.link})"] if message.link else []
    return "\n\n".join([*facts, *link])


def preview(message: Message) -> Preview:
    """Title and text."""
    return Preview(inert(layout.headline(message)), text(message))


def check(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """Is the address one of a workflow?"""
    try:
        read(secrets["workflow_url"])
    except ValueError:
        return {"workflow_url": _VALID}
    return {}


KIND = Kind(
    "teams",
    "Microsoft Teams",
    "A channel or chat of Teams, by a workflow.",
    (Field("workflow_url", "Workflow URL", "As the workflow shows it after it is saved.", secret=True, valid=_VALID),),
    send,
    preview,
    check=check,
)
