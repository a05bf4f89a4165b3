"""Email through Django's mail backend: text and HTML, one recipient to a message."""

import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import EmailValidator
from django.template.loader import render_to_string

from alerts.channels.errors import Ours, Permanent, Temporary
from alerts.channels.escaping import unlinked
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message, clean

#: Longest subject, in characters: what an inbox shows of it.
SUBJECT_CHARS = 110
#: Most recipients of one channel.
RECIPIENTS = 20
_COLORS = {"info": "#0a6ebd", "warning": "#a05a00", "critical": "#c02626", "resolved": "#1b7f4b"}
#: Answers to a recipient's address that are about it, where they say nothing of a policy (RFC 5321).
_OF_MAILBOX = (501, 550, 551, 552, 553, 556)
_POLICY = re.compile(r"relay|authent|login|polic|spam|block|black|denied|sender|permi|allow|reject", re.IGNORECASE)
#: X.1.7 and X.1.8 are about the sender's address (RFC 3463).
_OF_SENDER = (7, 8)
_BOUNDED = "alerts.channels.smtp.Backend"
_SMTP = "django.core.mail.backends.smtp.EmailBackend"


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Hand it to the mail server. What it refuses of this mailbox for good raises `Permanent`, of us `Ours`."""
    if why := unavailable():
        raise Ours(why)
    addresses = [message.recipient] if message.recipient else list(config.get("to") or [])
    if not addresses:
        raise Permanent("The channel has no email address.")
    mail = compose(message, addresses)
    try:
        # Another backend than SMTP's is the operator's own choice, with limits of its own.
        backend = _BOUNDED if settings.EMAIL_BACKEND == _SMTP else None
        with get_connection(backend, fail_silently=False) as connection:
            mail.connection = connection
            mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(*next(iter(error.recipients.values())), of_recipient=True) from error
    except smtplib.SMTPAuthenticationError as error:
        raise Ours("The mail server does not accept the user and password of EMAIL_URL.") from error
    except smtplib.SMTPResponseException as error:
        raise _refused(error.smtp_code, error.smtp_error, of_recipient=False) from error
    except (smtplib.SMTPNotSupportedError, ssl.SSLError) as error:
        raise Ours(f"The mail server's encryption is not as EMAIL_URL says: {clean(error)}.") from error
    except (smtplib.SMTPException, OSError) as error:
        raise Ours(f"The mail server cannot be reached, or broke off: {clean(error) or 'no answer'}.") from error
    return Sent(f"The mail server took it for {', '.join(addresses)}.")


def compose(message: Message, addresses: Sequence[str]) -> EmailMultiAlternatives:
    """The mail, with headers by which programs know what it is."""
    shown = preview(message)
    site = (parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "costwatch").lower()
    headers = {
        "Message-ID": f"<{message.delivery_id}@{site}>",  # the same for every attempt: many servers keep one of them
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "X-Costwatch-Alert": message.alert_id,
    }
    if message.settings_link:
        headers["List-Unsubscribe"] = f"<{message.settings_link}>"
    if message.severity == "critical" and not message.resolved:
        headers["Importance"] = "high"
    sender = settings.DEFAULT_FROM_EMAIL
    mail = EmailMultiAlternatives(shown.subject, shown.text, sender, list(addresses), headers=headers)
    mail.attach_alternative(shown.html, "text/html")
    return mail


def preview(message: Message) -> Preview:
    """Subject, text and HTML."""
    badge = "Test" if message.test else "Resolved" if message.resolved else message.severity.capitalize()
    subject = clean(f"{'Resolved: ' if message.resolved else ''}{message.title}", SUBJECT_CHARS)
    context = {
        "title": unlinked(message.title),
        "text": unlinked(message.text),
        "facts": [(unlinked(label), unlinked(value)) for label, value in message.facts],
        "link": message.link,
        "settings_link": message.settings_link,
        "when": f"{message.occurred_at.astimezone(ZoneInfo(message.zone)):%-d %b %Y, %H:%M} {message.zone}",
        "badge": badge,
        "color": _COLORS["resolved" if message.resolved else message.severity],
    }
    text = render_to_string("alerts/email/alert.txt", context)
    return Preview(subject, text, render_to_string("alerts/email/alert.html", context))


def recipients(config: Mapping[str, Any], owner_email: str) -> Sequence[str]:
    """The channel's addresses, or else its owner's: each gets a mail of his own and sees no other."""
    return tuple(config.get("to") or ()) or ((owner_email,) if owner_email else ())


def unavailable() -> str:
    """Why this installation sends no mail; "" where it does."""
    if settings.EMAIL_BACKEND == _SMTP and not settings.EMAIL_HOST:
        return "No mail is sent: EMAIL_URL is not set."
    return ""


def check(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the addresses."""
    validator = EmailValidator()
    for address in config.get("to") or []:
        try:
            validator(address)
        except ValidationError:
            return {"to": f"{clean(address, 80)} is no email address."}
    return {}


def _refused(code: int, said: bytes | str, *, of_recipient: bool) -> Exception:
    """What a refusal of the mail server means. `of_recipient`: it was the answer to this recipient's address.

    Only a word about this very mailbox is the channel's affair. Whom the server relays for, whom it lets log in, whose
    mail it takes for unwanted: that is between it and this installation, whatever the recipient.
    """
    words = clean(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 300)
    text = f"The mail server answered {code} {words}"
    if code < 500:
        return Temporary(text) if of_recipient else Ours(text)
    if enhanced := re.search(r"\b5\.(\d{1,3})\.(\d{1,3})\b", words):
        group, detail = int(enhanced[1]), int(enhanced[2])
        mailbox = group == 2 or (group == 1 and detail not in _OF_SENDER)
    else:
        mailbox = of_recipient and code in _OF_MAILBOX and not _POLICY.search(words)
    return Permanent(text) if mailbox else Ours(text)


KIND = Kind(
    "email",
    "Email",
    "A mailbox, as a message with text and HTML.",
    (
        Field(
            "to", "To", f"Up to {RECIPIENTS} addresses; each gets a message of its own.", required=False, many=True,
            most=RECIPIENTS,
        ),
    ),
    send,
    preview,
    check=check,
    recipients=recipients,
    unavailable=unavailable,
)  # fmt: skip
