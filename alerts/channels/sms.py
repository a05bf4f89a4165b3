"""Text messages, by Twilio."""

from collections.abc import Mapping, Sequence
from typing import Any

from alerts.channels import layout
from alerts.channels.errors import Permanent
from alerts.channels.escaping import in_sms
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message

#: Two text messages of 7-bit characters, its longest.
TEXT_CHARS = 306
#: Most numbers of one channel.
NUMBERS = 10
_NUMBER = r"\+[1-9]\d{6,14}"


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Send it to one number."""
    from alerts.channels import bridge

    numbers = [message.recipient] if message.recipient else list(config.get("to") or [])
    if len(numbers) != 1:
        raise Permanent("A text message goes to one number.")
    twilio = bridge.plugin("twilio", "NotifyTwilio")
    return bridge.deliver(
        lambda: twilio(
            account_sid=config["account_sid"], auth_token=secrets["auth_token"], source=config["from"], targets=numbers,
            secure=True, asset=bridge.asset(),
        ),
        message, who="Twilio", hosts=r"api\.twilio\.com", body=text(message),
    )  # fmt: skip


def text(message: Message) -> str:
    """Title, what there is room for of the text, and the link."""
    link = f" {message.link}" if message.link else ""
    room = TEXT_CHARS - len(link)
    title = in_sms(f"Costwatch: {layout.headline(message)}")
    whole = f"{title}. {in_sms(message.text)}" if message.text else title
    if len(whole) > room:
        whole = title if len(title) <= room else f"{title[: room - 3]}..."
    return whole + link


def recipients(config: Mapping[str, Any], owner_email: str) -> Sequence[str]:
    """Each number."""
    return tuple(config.get("to") or ())


def preview(message: Message) -> Preview:
    """The message."""
    return Preview("", text(message))


KIND = Kind(
    "sms",
    "Text message",
    "Telephones, by your account at Twilio.",
    (
        Field(
            "account_sid", "Account SID", "From Twilio's console.", pattern=r"AC[0-9a-fA-F]{32}",
            valid="AC and 32 digits of 0 to 9 and a to f, as Twilio's console shows it.",
        ),
        Field(
            "auth_token", "Auth token", "From Twilio's console.", secret=True, pattern=r"[0-9a-zA-Z]{32}",
            valid="32 letters and digits, as Twilio's console shows it.",
        ),
        Field(
            "from", "From", "A number that Twilio gave you.", pattern=rf"{_NUMBER}|\d{{5,6}}",
            valid="A number with its country, as in +14155550123, or a short code.",
        ),
        Field(
            "to", "To", f"Up to {NUMBERS} numbers, with their country.", many=True, most=NUMBERS, pattern=_NUMBER,
            valid="Numbers with their country, as in +43660555012.",
        ),
    ),
    send,
    preview,
    recipients=recipients,
)  # fmt: skip
