"""Discord, by a channel's webhook."""

import re
from collections.abc import Mapping
from typing import Any

from alerts.channels import layout
from alerts.channels.escaping import in_discord
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

URL = r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/(\d{5,25})/([A-Za-z0-9_-]{20,120})/?"
#: Of Discord's own, in characters.
TEXT_CHARS = 1_900


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Post it as an embed, which mentions nobody."""
    from alerts.channels import bridge

    number, token = re.fullmatch(URL, secrets["webhook_url"]).groups()
    discord = bridge.plugin("discord", "NotifyDiscord")
    return bridge.deliver(
        lambda: discord(
            webhook_id=number, webhook_token=token, avatar=False, footer=False, include_image=False, fields=False,
            href=message.link or None, format="markdown" if bridge.asset().app_url else "text", secure=True,
            asset=bridge.asset(),
        ),
        message, who="Discord", hosts=r"discord\.com", title=in_discord(layout.headline(message))[:250],
        body=text(message),
    )  # fmt: skip


def text(message: Message) -> str:
    """What stands under the title, in Discord's Markdown."""
    link = f"\n[Open in Costwatch]({message.link})" if message.link else ""
    return ("\n".join(layout.lines(message, in_discord, most=TEXT_CHARS - len(link))) or "–") + link


def preview(message: Message) -> Preview:
    """Title and text."""
    return Preview(in_discord(layout.headline(message)), text(message))


KIND = Kind(
    "discord",
    "Discord",
    "A channel of your Discord server.",
    (
        Field(
            "webhook_url", "Webhook URL", "Channel settings, Integrations, Webhooks.", secret=True, pattern=URL,
            valid="https://discord.com/api/webhooks/.../..., as Discord copies it.",
        ),
    ),
    send,
    preview,
)  # fmt: skip
