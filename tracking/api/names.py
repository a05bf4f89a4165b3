"""Names by which calls and prices are filtered."""

from __future__ import annotations

from typing import Any

from tracking.api.fields import Text


class Provider(Text):
    """The name of a provider, as calls are recorded with it: in small letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"default": "", "max_length": 40, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).lower()
