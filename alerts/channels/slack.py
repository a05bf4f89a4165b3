"""Slack, by an incoming webhook."""

import re
from collections.abc import Mapping
from typing import Any

from alerts.channels import layout
from alerts.channels.escaping import in_slack, unlinked
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

URL = r"https://hooks\.slack\.com/services/([A-Z0-9]{1,20})/([A-Z0-9]{1,20})/([A-Za-z0-9]{1,40})/?"


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Post it."""
    from apprise import NotifyFormat

    from alerts.channels import bridge

    first, second, third = re.fullmatch(URL, secrets["webhook_url"]).groups()
    slack = bridge.plugin("slack", "NotifySlack")
    return bridge.deliver(
        lambda: slack(
            token_a=first, token_b=second, token_c=third, use_blocks=False, include_image=False, include_footer=False,
            format="markdown", secure=True, asset=bridge.asset(),
        ),
        message, who="Slack", hosts=r"hooks\.slack\.com", title=unlinked(layout.headline(message)), body=text(message),
        body_format=NotifyFormat.MARKDOWN,
    )  # fmt: skip


def text(message: Message) -> str:
    """What stands under the title, in Markdown, which Apprise turns into Slack's own."""
    link = [f"[Open in Costwatch](<{message.link}>)"] if message.link else []
    return "\n".join([*layout.lines(message, in_slack), *link])


def preview(message: Message) -> Preview:
    """Title and text."""
    return Preview(unlinked(layout.headline(message)), text(message))


KIND = Kind(
    "slack",
    "Slack",
    "A channel of your Slack workspace.",
    (
        Field(
            "webhook_url", "Webhook URL", "From a Slack app of yours, under Incoming Webhooks.", secret=True,
            pattern=URL, valid="https://hooks.slack.com/services/T.../B.../..., as Slack shows it.",
        ),
    ),
    send,
    preview,
)  # fmt: skip
