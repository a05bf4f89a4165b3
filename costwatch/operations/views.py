"""`/healthz`, `/readyz` and `/metrics`."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.exceptions import PermissionDenied

from costwatch.operations import health, metrics
from tracking.api.access import sees_all
from tracking.api.export import TheFormatAskedFor
from tracking.api.views import ApiView


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Nothing else is looked at: what is away elsewhere is no reason to restart it."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether requests can be served: 200, else 503, and what is missing."""
    checks = health.readiness()
    ready = all(checks.values())
    body = {"status": "ready" if ready else "not ready", "checks": checks}
    return JsonResponse(body, status=200 if ready else 503)


class MetricsView(ApiView):
    """Prometheus' text format: for `METRICS_TOKEN`, and for staff who see all calls."""

    content_negotiation_class = TheFormatAskedFor
    schema = None

    def initial(self, request: Any, *args: Any, **parts: Any) -> None:
        """A scraper has no account: its token is no key, so it is looked at before accounts are."""
        if not _is_scraper(request):
            super().initial(request, *args, **parts)
            if not sees_all(request.user):
                raise PermissionDenied("Metrics are for staff who may see all calls, and for METRICS_TOKEN.")

    def get(self, request: Any) -> HttpResponse:
        return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def _is_scraper(request: Any) -> bool:
    given = request.META.get("HTTP_AUTHORIZATION", "")
    wanted = f"Bearer {settings.METRICS_TOKEN}"
    return bool(settings.METRICS_TOKEN) and compare_digest(given.encode(), wanted.encode())
