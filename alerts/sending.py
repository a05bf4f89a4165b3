"""Between deliveries and channels: what a channel is given, and what its answer means. Nothing here writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.conf import settings

from alerts import channels, messages, secrets
from alerts.channels.errors import ChannelError, Gone, Ours, Permanent, Temporary
from alerts.models import Channel, Delivery

logger = logging.getLogger(__name__)

#: fault: it failed here, ours: what this installation is set up with failed; neither says anything of the channel
Result = Literal["sent", "temporary", "permanent", "gone", "fault", "ours"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message and where it goes: all that a thread without a database needs."""

    kind: str
    message: Any
    config: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)
    inside: bool = False  # may use the exceptions of ALERT_WEBHOOK_ALLOWED_HOSTS


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one try. `text`: what the receiver said, in words that hold no secret."""

    result: Result
    text: str = ""
    retry_after_s: float | None = None


def recipients(channel: Channel) -> list[str]:
    """Where the channel's messages go, one delivery each; [""] where it has one destination, [] where none."""
    owner = channel.owner
    if channel.kind not in channels.kinds():  # of a version that had more of them
        return []
    found = channels.recipients(channel.kind, config=channel.config, owner_email=owner.email if owner else "")
    strange = strangers(channel, channel.config)
    return [address for address in found if address not in strange]


def is_trusted(channel: Channel) -> bool:
    """Whether a channel is staff's, or of somebody who may manage those of staff."""
    owner = channel.owner
    return owner is None or bool(owner.is_active and owner.is_staff and owner.has_perm("alerts.change_channel"))


def goes_inside(channel: Channel) -> bool:
    """Whether a channel may go where ALERT_WEBHOOK_ALLOWED_HOSTS leads: what answers there is shown to its owner."""
    if not settings.ALERT_WEBHOOK_ALLOWED_HOSTS:
        return False
    return settings.ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE or is_trusted(channel)


def strangers(channel: Channel, config: Mapping[str, Any]) -> set[str]:
    """The email addresses that a channel may not write to: others than its owner's, outside of ALERT_EMAIL_DOMAINS."""
    if channel.kind != "email" or not config.get("to") or is_trusted(channel):
        return set()
    own = channel.owner.email.casefold()
    return {
        address
        for address in config["to"]
        if address.casefold() != own and address.rpartition("@")[2].lower() not in settings.ALERT_EMAIL_DOMAINS
    }


def unavailable(kind: str) -> str:
    """Why this installation cannot send by such a channel at all; "" where it can."""
    return channels.unavailable(kind)


def parcel(delivery: Delivery) -> Parcel:
    """What is sent for a delivery. Raises `Permanent` where the channel's secrets cannot be read."""
    channel = delivery.channel
    return Parcel(channel.kind, _message(delivery), dict(channel.config), open_secrets(channel), goes_inside(channel))


def body_of(delivery: Delivery) -> str:
    """What is kept of a delivery before it is sent, so that each attempt sends the same; "" for most kinds."""
    if delivery.body or delivery.channel.kind not in channels.kinds():
        return delivery.body
    return channels.kind_of(delivery.channel.kind).body(_message(delivery))


def _message(delivery: Delivery) -> messages.Message:
    return messages.render(
        delivery.alert,
        delivery_id=delivery.pk,
        recipient=delivery.recipient,
        zone=ZoneInfo(delivery.channel.time_zone),
        body=delivery.body,
    )


def open_secrets(channel: Channel) -> dict[str, Any]:
    """The channel's secrets. Raises `Permanent` where no key opens them."""
    try:
        return secrets.unseal(channel.secrets)
    except secrets.SecretsError as error:
        raise Permanent(str(error)) from None


def send(what: Parcel) -> Answer:
    """Send it, within the channel's own time limit. Never raises."""
    try:
        sent = channels.send(
            what.kind, config=what.config, secrets=what.secrets, message=what.message, inside=what.inside
        )
    except Gone as error:
        return Answer("gone", str(error)[:500])
    except Permanent as error:
        return Answer("permanent", str(error)[:500])
    except Ours as error:
        return Answer("ours", str(error)[:500])
    except Temporary as error:
        return Answer("temporary", str(error)[:500], error.retry_after_s)
    except ChannelError as error:
        return Answer("temporary", str(error)[:500])
    except Exception as error:
        # A fault of ours or of a library: its words could hold an address with a token in it.
        logger.exception("A channel of the kind %s failed in a way that it should not.", what.kind)
        return Answer("fault", f"The channel failed: {type(error).__name__}. The log of the worker says more.")
    return Answer("sent", (sent.answer or "")[:500])
