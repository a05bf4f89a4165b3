"""What is kept of a span, whatever it came in. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracking.otlp.conventions import PREFIXES, READ

#: Kinds of spans, as OTLP numbers them.
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
#: Texts and lists beyond this are no names, ids or counts.
MAX_TEXT, MAX_LIST = 4000, 50

Key = tuple[str, str]  # trace and span


class Unreadable(ValueError):
    """A body that is not what it says it is: what is wrong, without quoting it."""


@dataclass(slots=True)
class Span:
    """One span: who it is, when it was, and those of its attributes that are read here."""

    trace_id: str  # 32 hex digits; "" where it is not valid
    span_id: str  # 16 hex digits; "" where it is not valid
    parent_id: str  # the same; "" for a root
    kind: int
    start_ns: int  # nanoseconds since the epoch, UTC
    end_ns: int
    failed: bool  # its status is ERROR
    attributes: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)  # of the process that sent it; shared between spans
    scope: str = ""  # the instrumentation that made it

    @property
    def key(self) -> Key:
        return self.trace_id, self.span_id

    @property
    def parent(self) -> Key | None:
        """Its parent; None for a root, and for a span that names itself."""
        return (self.trace_id, self.parent_id) if self.parent_id and self.parent_id != self.span_id else None

    def get(self, *names: str) -> Any:
        """The first of these attributes that is there; None without any."""
        for name in names:
            if (value := self.attributes.get(name)) is not None:
                return value
        return None

    def text(self, *names: str) -> str:
        """The first of these attributes that is a text with something in it; "" without any."""
        for name in names:
            value = self.attributes.get(name)
            if value.__class__ is str and value.strip():
                return value
        return ""


def is_read(name: str) -> bool:
    """Whether an attribute of this name is looked at."""
    return name in READ or name.startswith(PREFIXES)


def kept_text(value: str) -> str:
    """A text as far as it can be a name, an id or the JSON of a few counts."""
    return value if len(value) <= MAX_TEXT else ""
