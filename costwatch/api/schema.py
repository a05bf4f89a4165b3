"""The OpenAPI schema, made from the code."""

from __future__ import annotations

from drf_spectacular.openapi import AutoSchema

from tracking.api.access import SCOPES, scope_of


class Schema(AutoSchema):
    """Says of each operation which scope a key needs, and groups operations by their family."""

    def get_description(self) -> str:
        text = super().get_description() or ""
        if not hasattr(self.view, "scopes"):
            return text
        scope = scope_of(self.view, self.method)
        return f"{text}\n\nA key needs the scope `{scope}` ({SCOPES[scope]})." if scope else text

    def get_tags(self) -> list[str]:
        parts = self.path.strip("/").split("/")
        return [parts[1] if parts[1] == "cost-monitoring" else parts[2]]

    def get_operation_id(self) -> str:
        words = [part.strip("{}") for part in self.path.strip("/").split("/")[1:]]
        return "_".join([self.method.lower(), *words]).replace("-", "_")
