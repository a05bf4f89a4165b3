"""Names by which calls and prices are filtered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tracking import tags
from tracking.api.fields import Question, Text

TAG = "tag:"
MAX_TAGS = 8


class Provider(Text):
    """The name of a provider, as calls are recorded with it: in small letters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"default": "", "max_length": 40, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).lower()


class Tagged(Question):
    """Filters by tags: `tag:<name>=<value>`."""

    open_prefix = TAG

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = super().to_internal_value(data)
        given = {name.removeprefix(TAG): str(data[name]) for name in data if name.startswith(TAG)}
        wrong = [TAG + name for name, value in given.items() if not tags.is_name(name) or "\0" in name + value]
        if wrong or len(given) > MAX_TAGS:
            raise serializers.ValidationError({(wrong or [TAG])[0]: "Give up to 8 tags, as in tag:team=search."})
        return {**values, "tags": given}
