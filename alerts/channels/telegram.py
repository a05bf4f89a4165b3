"""Telegram, by a bot of yours."""

from collections.abc import Mapping
from typing import Any

from alerts.channels import layout
from alerts.channels.escaping import in_html
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

#: Of Telegram's own 4,096, in characters.
TEXT_CHARS = 3_500


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Post it."""
    from apprise import NotifyFormat

    from alerts.channels import bridge

    telegram = bridge.plugin("telegram", "NotifyTelegram")
    return bridge.deliver(
        lambda: telegram(
            bot_token=secrets["bot_token"], targets=config["chat"], topic=config.get("topic") or None,
            detect_owner=False, include_image=False, preview=False, silent=message.severity == "info", format="html",
            secure=True, asset=bridge.asset(),
        ),
        message, who="Telegram", hosts=r"api\.telegram\.org", body=text(message), body_format=NotifyFormat.HTML,
    )  # fmt: skip


def text(message: Message) -> str:
    """The whole message, in Telegram's HTML."""
    body = layout.lines(message, in_html, most=TEXT_CHARS)
    link = [f'<a href="{in_link(message.link)}">Open in Costwatch</a>'] if message.link else []
    return "\n".join([f"<b>{in_html(layout.headline(message))}</b>", *body, *link])


def in_link(link: str) -> str:
    """An address inside of an attribute."""
    return link.replace("&", "&amp;").replace('"', "&quot;")


def preview(message: Message) -> Preview:
    """The message."""
    return Preview("", text(message))


KIND = Kind(
    "telegram",
    "Telegram",
    "A chat, a group or a channel that your bot is in.",
    (
        Field(
            "bot_token", "Bot token", "From @BotFather.", secret=True, pattern=r"\d{5,20}:[A-Za-z0-9_-]{30,50}",
            valid="Digits, a colon and letters, as @BotFather shows it: 123456789:AA...",
        ),
        Field(
            "chat", "Chat", "Its number, or the @name of a public channel.",
            pattern=r"-?\d{1,20}|@[A-Za-z][A-Za-z0-9_]{3,40}", valid="A number such as -1001234567890, or @name.",
        ),
        Field(
            "topic", "Topic", "The number of a topic, in a group that has some.", required=False,
            pattern=r"\d{1,12}", valid="A number.",
        ),
    ),
    send,
    preview,
)  # fmt: skip
