"""The addresses of the OpenAPI schema and its page."""

from __future__ import annotations

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

#: The page loads its own files and the schema, and draws some icons as data URLs. Nothing inline or from elsewhere.
DOCS_POLICY = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "connect-src": [SELF],
    "base-uri": [NONE],
    "form-action": [NONE],
    "frame-ancestors": [NONE],
}


class SchemaView(SpectacularAPIView):
    """The schema, as YAML or JSON."""


@method_decorator(csp_replace(DOCS_POLICY), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """The page of the schema."""

    template_name = "costwatch/api_docs.html"
    url_name = "api-schema"
