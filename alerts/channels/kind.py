"""What a kind of channel is: its fields, how it sends, and what its messages look like before they are sent."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from alerts.messages import Message

#: Where a kind's `send` and `check` find, beside what was entered, whether the channel may use the exceptions of
#: ALERT_WEBHOOK_ALLOWED_HOSTS.
INSIDE = "(inside)"
#: Stands for what is not shown of a URL. No URL that is used holds it.
VEIL = "…"


def veil(url: str) -> str:
    """What is shown of a URL: scheme and host, and that there is more."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return VEIL
    if parts.path in ("", "/") and not parts.query and not parts.fragment:
        return url
    return f"{parts.scheme}://{parts.netloc}/{VEIL}"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to enter. `pattern` is what a value must match as a whole; `valid` says so in words."""

    name: str
    label: str
    help: str = ""
    secret: bool = False  # encrypted, never shown again
    required: bool = True
    many: bool = False  # a list; text is split at commas, blanks and lines
    most: int = 1  # of a list
    veiled: bool = False  # a URL that may hold a token: encrypted, only scheme and host are shown afterwards
    choices: tuple[tuple[str, str], ...] = ()
    pattern: str = ""
    valid: str = ""

    def read(self, given: Any) -> Any:
        """The value to keep: text, or a list of texts. Raises ValueError in words that do not repeat it."""
        if self.many:
            values = re.split(r"[\s,;]+", given.strip()) if isinstance(given, str) else list(given or [])
            texts = list(dict.fromkeys(self._text(value) for value in values if value not in ("", None)))
            if len(texts) > self.most:
                raise ValueError(f"At most {self.most}.")
        else:
            texts = self._text(given)
        if self.required and not texts:
            raise ValueError("This is needed.")
        return texts

    def unveil(self, given: Any, kept: Any) -> Any:
        """The URL that is meant by what was entered, where this one is kept. Raises ValueError."""
        text = given.strip() if isinstance(given, str) else given
        if kept and text in (None, "", veil(kept)):
            return kept
        if isinstance(text, str) and VEIL in text:
            raise ValueError("Enter the whole URL.")
        return given

    def _text(self, given: Any) -> str:
        if given is None or given == "":
            return ""
        if not isinstance(given, str):
            raise ValueError("Give a text.")
        text = given.strip()
        if len(text) > 2_048 or any(ord(char) < 32 or ord(char) == 127 for char in text):
            raise ValueError(self.valid or "This holds characters that cannot be used, or is too long.")
        if text and self.choices and text not in dict(self.choices):
            raise ValueError(f"One of: {', '.join(dict(self.choices))}.")
        if text and self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError(self.valid)
        return text


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was taken. `answer` is what the provider said, in at most 500 characters."""

    answer: str


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as it would be sent. `html` is set where the kind sends HTML."""

    subject: str
    text: str
    html: str = ""


def nothing(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Mapping[str, str]:
    """No field is wrong together with another."""
    return {}


def one(config: Mapping[str, Any], owner_email: str) -> Sequence[str]:
    """The channel has one destination."""
    return ("",)


def always() -> str:
    """Nothing of the installation stands in the way."""
    return ""


def no_body(message: Message) -> str:
    """Each attempt tells the alert as it is then."""
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of channel. `send(config, secrets, message)` raises what `alerts.channels.errors` names.

    `body`: what is to be the same at each attempt, for receivers that are told so.
    `closes`: what it was told stays open there until it is told that the alert is over.
    """

    name: str
    label: str
    about: str  # where its messages arrive, in a sentence
    fields: tuple[Field, ...]
    send: Callable[[Mapping[str, Any], Mapping[str, Any], Message], Sent]
    preview: Callable[[Message], Preview]
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, str]] = nothing
    recipients: Callable[[Mapping[str, Any], str], Sequence[str]] = one
    unavailable: Callable[[], str] = always
    body: Callable[[Message], str] = no_body
    closes: bool = False

    @property
    def veiled_names(self) -> frozenset[str]:
        """The URLs that are encrypted, and of which the host is shown."""
        return frozenset(field.name for field in self.fields if field.veiled)

    @property
    def secret_names(self) -> frozenset[str]:
        """The fields that are encrypted."""
        return frozenset(field.name for field in self.fields if field.secret)
