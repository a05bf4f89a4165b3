"""A generic webhook, signed per Standard Webhooks (https://www.standardwebhooks.com).

Body: JSON `{"type", "timestamp", "version", "data"}`, described in docs/guides/alert-channels.md. `webhook-id` is the
delivery's id: it stays the same for every attempt, and by it a receiver knows what it has already. Two secrets at once
make two signatures, so that a secret can be changed without a moment in which deliveries fail.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets as random
import time
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django.conf import settings

from alerts.channels import answers
from alerts.channels.addresses import Exceptions, is_public
from alerts.channels.errors import Permanent, Temporary
from alerts.channels.http import Client, Refused, Unreachable
from alerts.channels.kind import INSIDE, Field, Kind, Preview, Sent
from alerts.channels.urls import BadUrl, read_url
from alerts.messages import Message

#: Of the body's shape. Fields may be added under the same version; one that changes its meaning makes a new one.
VERSION = 1
PREFIX = "whsec_"
#: The form of a secret, 24 to 64 bytes. Not the other alphabet of base64: verifiers would read another key out of it.
SECRET = r"whsec_[A-Za-z0-9+/]{32,86}={0,2}"  # noqa: S105


def new_secret() -> str:
    """A signing secret of 32 random bytes, for a form that offers one."""
    return PREFIX + base64.b64encode(random.token_bytes(32)).decode()


def send(config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message) -> Sent:
    """Post it once. 410 raises `Gone`, a redirect or an address that may not be reached `Permanent`."""
    body = content(message)
    try:
        target = read_url(str(secrets.get("url") or ""))
        answer = client(inside=bool(config.get(INSIDE))).send(
            "POST",
            target,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "Costwatch-Webhooks/1",
                "Accept": "*/*",
                **signed(message.delivery_id, int(time.time()), body, keys(secrets)),
            },
            body=body,
        )
    except (BadUrl, Refused) as error:
        raise Permanent(str(error)) from error
    except Unreachable as error:
        raise Temporary(str(error)) from error
    if 200 <= answer.status < 300:
        return Sent(answers.in_words(answer))
    raise answers.failure(answer, "The receiver", lasting=False)


def client(*, inside: bool) -> Client:
    """The client of one delivery; `inside`: with the exceptions that the operator lists."""
    return Client(_exceptions(inside))


def _exceptions(inside: bool) -> Exceptions:
    return Exceptions.of(settings.ALERT_WEBHOOK_ALLOWED_HOSTS if inside else [])


def content(message: Message) -> bytes:
    """The body. Later attempts of a delivery have that of the first one, although the alert may have changed since: a
    receiver that knows the id has the same.
    """
    if message.body:
        return message.body.encode()
    told = {
        "type": f"alert.{message.type}",
        "timestamp": message.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "version": VERSION,
        "data": {
            "alert_id": message.alert_id,
            "severity": message.severity,
            "title": message.title,
            "text": message.text,
            "facts": [{"label": label, "value": value} for label, value in message.facts],
            "count": message.count,
            "resolved": message.resolved,
            "test": message.test,
            "link": message.link or None,
            **{name: value for name, value in message.data.items() if name not in ("alert_id", "severity")},
        },
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def signed(delivery_id: str, at: int, body: bytes, with_keys: list[bytes]) -> dict[str, str]:
    """The three headers of Standard Webhooks. `at`: seconds since 1970."""
    what = f"{delivery_id}.{at}.".encode() + body
    made = [base64.b64encode(hmac.new(key, what, hashlib.sha256).digest()).decode() for key in with_keys]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in made),
    }


def keys(secrets: Mapping[str, Any]) -> list[bytes]:
    """The signing keys: the present one, and the one before where it is still kept. Raises `Permanent`."""
    try:
        found = [_key(str(secrets[name])) for name in ("secret", "previous_secret") if secrets.get(name)]
    except ValueError as error:
        raise Permanent("The webhook's signing secret cannot be read; enter it again.") from error
    if not found:
        raise Permanent("The webhook has no signing secret; enter one.")
    return found


def _key(secret: str) -> bytes:
    text = re.sub(r"=+$", "", secret.removeprefix(PREFIX))
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if not 24 <= len(key) <= 64:
        raise ValueError
    return key


def check(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the URL or the secrets, per field. A name is looked up when something is sent, not here."""
    wrong: dict[str, str] = {}
    opened = _exceptions(bool(config.get(INSIDE)))
    try:
        target = read_url(secrets["url"])
        literal = target.literal
        listed = target.host in opened.hosts or (literal is not None and opened.lists(target.host, literal))
        local = target.host == "localhost" or target.host.endswith(".localhost")
        if not listed and (local or (literal is not None and not is_public(literal))):
            wrong["url"] = "This is no public address. ALERT_WEBHOOK_ALLOWED_HOSTS lists exceptions."
        elif target.scheme == "http" and not listed and not opened.networks:
            wrong["url"] = "The URL must begin with https://"
    except BadUrl as error:
        wrong["url"] = str(error)
    for name in ("secret", "previous_secret"):
        if secrets.get(name):
            try:
                _key(secrets[name])
            except ValueError:
                wrong[name] = _VALID
    return wrong


def preview(message: Message) -> Preview:
    """The body, laid out."""
    return Preview("", json.dumps(json.loads(content(message)), ensure_ascii=False, indent=2))


_VALID = "whsec_ and 24 to 64 random bytes in base64."
KIND = Kind(
    "webhook",
    "Webhook",
    "Your own program, by a signed HTTP request.",
    (
        Field(
            "url", "URL", "https://, at an address that everybody can reach. Only its host is shown again.", veiled=True
        ),
        Field(
            "secret", "Signing secret", "Begins with whsec_. The receiver checks the signature with it.",
            secret=True, pattern=SECRET, valid=_VALID,
        ),
        Field(
            "previous_secret", "Previous signing secret", "While the receiver changes over: both signatures are sent.",
            secret=True, required=False, pattern=SECRET, valid=_VALID,
        ),
    ),
    send,
    preview,
    check=check,
    body=lambda message: content(message).decode(),
)  # fmt: skip
