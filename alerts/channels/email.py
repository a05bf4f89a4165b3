"""Email through Django's mail backend: text and HTML, one recipient to a message."""

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

from alerts.channels.errors import Permanent, Temporary
from alerts.channels.escaping import unlinked
from alerts.channels.kind import Field, Kind, Preview, Sent
from alerts.messages import Message, clean

#: Longest subject, in characters: what an inbox shows of it.
SUBJECT_CHARS = 110
#: Most recipients of one channel.
RECIPIENTS = 20
_COLORS = {"info": "#0a6ebd", "warning": "#a05a00", "critical": "#c02626", "resolved": "#1b7f4b"}
_SMTP = "django.core.mail.backends.smtp.EmailBackend"


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Hand it to the mail server. What the server refuses for good raises `Permanent`."""
    if why := unavailable():
        raise Permanent(why)
    addresses = [message.recipient] if message.recipient else list(config.get("to") or [])
    if not addresses:
        raise Permanent("The channel has no email address.")
    mail = compose(message, addresses)
    try:
        with get_connection(fail_silently=False) as connection:
            mail.connection = connection
            mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(list(error.recipients.values())) from error
    except smtplib.SMTPAuthenticationError as error:  # of the installation, not of the channel: it is put right there
        raise Temporary("The mail server does not accept the user and password of EMAIL_URL.") from error
    except smtplib.SMTPResponseException as error:
        raise _refused([(error.smtp_code, error.smtp_error)]) from error
    except (smtplib.SMTPNotSupportedError, ssl.SSLError) as error:
        raise Temporary(f"The mail server's encryption is not as EMAIL_URL says: {clean(error)}.") from error
    except (smtplib.SMTPException, OSError) as error:
        raise Temporary(f"The mail server cannot be reached, or broke off: {clean(error) or 'no answer'}.") from error
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


def _refused(answers: list[tuple[int, bytes | str]]) -> Exception:
    code, said = answers[0]
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    text = f"The mail server answered {code} {clean(words, 300)}"
    return Permanent(text) if code >= 500 else Temporary(text)


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
