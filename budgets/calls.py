"""A call, as far as limits care: whose it is, what for, and when. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """Who and what a call is for. `at` is when its attempt began: it decides the windows."""

    at: datetime
    user: int | str | None = None  # primary key or email address
    provider: str = ""
    model: str = ""  # as asked
    model_served: str = ""
    feature: str = ""
    analysis: str = ""
    api_key: str = ""  # the key's public id
    tags: Mapping[str, str] = field(default_factory=dict)
    operation: str = ""
    endpoint: str = ""
    asked: str = ""  # digest of what it may use at most, where a caller elsewhere holds money for it

    @property
    def models(self) -> tuple[str, ...]:
        """The names under which its model is known: asked and served."""
        return tuple({name for name in (self.model, self.model_served) if name})

    def as_json(self) -> dict[str, Any]:
        """What a hold keeps of it, so that a hold which expires can be written to the ledger. Empty values left out."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "at"}
        return {name: dict(value) if name == "tags" else value for name, value in values.items() if value}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, at: datetime) -> "Call":
        """Read back what a hold kept."""
        return cls(at=at, **values)
