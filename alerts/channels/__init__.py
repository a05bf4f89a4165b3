"""Where alerts are told: one small module for each kind, behind `send`, `validate`, `recipients` and `preview`.

A new kind is one module with its `KIND`, and one line in `_MODULES`. Modules load their libraries when they send, so
that forms and planning cost nothing.
"""

import importlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from alerts.channels.errors import ChannelError, Gone, InvalidChannel, Ours, Permanent, Temporary
from alerts.channels.kind import INSIDE, Field, Kind, Preview, Sent, veil
from alerts.messages import Message

__all__ = [
    "ChannelError", "Field", "Gone", "InvalidChannel", "Kind", "Message", "Ours", "Permanent", "Preview", "Sent",
    "Temporary", "kind_of", "kinds", "preview", "recipients", "send", "unavailable", "validate",
]  # fmt: skip

#: In the order in which they are offered.
_MODULES = (
    "email", "slack", "teams", "discord", "telegram", "pagerduty", "sms", "webhook", "service", "in_app",
)  # fmt: skip
#: Of what a provider says or an error tells, in characters.
WORDS_CHARS = 500


@cache
def kinds() -> Mapping[str, Kind]:
    """Every kind, by its name."""
    found = [importlib.import_module(f"alerts.channels.{name}").KIND for name in _MODULES]
    return {kind.name: kind for kind in found}


def kind_of(name: str) -> Kind:
    """Raises `Permanent` for a kind that does not exist."""
    try:
        return kinds()[name]
    except KeyError:
        raise Permanent(f"There is no kind of channel called {name!r:.50}.") from None


def send(
    kind: str, *, config: Mapping[str, Any], secrets: Mapping[str, Any], message: Message, inside: bool = True
) -> Sent:
    """Send one message once, in bounded time. Returns what the provider answered, without the channel's secrets.

    `inside`: whether it may go where ALERT_WEBHOOK_ALLOWED_HOSTS leads.

    Raises `Temporary` (try again, after `retry_after_s` where it is set), `Ours` (try again; this installation is to be
    put right), `Permanent` (somebody has to change the channel) and `Gone` (disable it).
    """
    found = kind_of(kind)
    try:
        config, secrets = _read(found, config, secrets)
        return Sent(_without(found, secrets, found.send({**config, INSIDE: inside}, secrets, message).answer))
    except InvalidChannel as error:
        raise Permanent(_without(found, secrets, f"The channel is not set up completely: {error}")) from None
    except Temporary as error:
        raise type(error)(_without(found, secrets, str(error)), error.retry_after_s) from None
    except (Gone, Permanent) as error:
        raise type(error)(_without(found, secrets, str(error))) from None


def validate(
    kind: str, *, config: Mapping[str, Any], secrets: Mapping[str, Any], inside: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`config` and `secrets` as they are to be stored. Raises `InvalidChannel` with what is wrong, per field.

    `inside`: whether it may go where ALERT_WEBHOOK_ALLOWED_HOSTS leads.
    """
    if kind not in kinds():
        raise InvalidChannel({"kind": f"One of: {', '.join(kinds())}."})
    found = kinds()[kind]
    of_kind = {
        True: found.secret_names | found.veiled_names,
        False: {field.name for field in found.fields} - found.secret_names,
    }
    wrong = {
        str(name)[:50]: f"{found.label} has no such {'secret' if of_secrets else 'field'}."
        for of_secrets, given in ((False, config), (True, secrets))
        for name in set(given) - of_kind[of_secrets]
    }
    if wrong:
        raise InvalidChannel(wrong)
    read, opened = _read(found, config, secrets)
    if wrong := dict(found.check({**read, INSIDE: inside}, opened)):
        raise InvalidChannel(wrong)
    return read, opened


def _read(found: Kind, config: Mapping[str, Any], secrets: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    read: dict[bool, dict[str, Any]] = {False: {}, True: {}}
    wrong: dict[str, str] = {}
    for field in found.fields:
        given = (secrets if field.secret else config).get(field.name)
        try:
            value = field.read(field.unveil(given, secrets.get(field.name)) if field.veiled else given)
        except (ValueError, TypeError) as error:
            wrong[field.name] = str(error)
            continue
        if value:
            read[field.secret][field.name] = veil(value) if field.veiled else value
        if value and field.veiled:
            read[True][field.name] = value
    if wrong:
        raise InvalidChannel(wrong)
    return read[False], read[True]


def recipients(kind: str, *, config: Mapping[str, Any], owner_email: str = "") -> list[str]:
    """Where a channel's messages go, one delivery each; `[""]` where it has one destination, `[]` where none."""
    return list(kind_of(kind).recipients(config, owner_email))


def unavailable(kind: str) -> str:
    """Why this installation cannot send by this kind at all; "" where it can."""
    return kind_of(kind).unavailable()


def preview(kind: str, message: Message) -> Preview:
    """The message as this kind would send it."""
    return kind_of(kind).preview(message)


def _without(kind: Kind, secrets: Mapping[str, Any], text: str) -> str:
    """`text`, in which a provider may have repeated a token."""
    whole = {
        value.partition("://")[2].partition("/")[2] if name in kind.veiled_names else value
        for name, value in secrets.items()
        if isinstance(value, str)
    }
    # Words of an address, such as "services", are no secret; what has digits or capitals may be one.
    parts = {part for value in whole for part in re.split(r"[/@:?&=#]+", value) if re.search(r"[0-9A-Z]", part)}
    for part in sorted(whole | parts, key=len, reverse=True):
        if len(part) >= 8:
            text = text.replace(part, "…")
    return text[:WORDS_CHARS]
