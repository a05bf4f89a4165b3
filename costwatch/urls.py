"""The addresses Costwatch answers at."""

from django.contrib import admin
from django.shortcuts import redirect
from django.urls import include, path

from costwatch.accounts.authentication import KeyAsPassword, KeyAuthentication
from costwatch.operations import views as operations
from costwatch.pages.brand import logo_url
from tracking.otlp.urls import otlp_urls


def favicon(request):
    """For pages that name no icon of their own, the admin's."""
    return redirect(logo_url())


urlpatterns = [
    path("", include("costwatch.pages.urls")),
    path("", include("costwatch.accounts.urls")),
    path("admin/", admin.site.urls),
    *otlp_urls([KeyAuthentication, KeyAsPassword]),
    path("api/", include("costwatch.api.urls")),
    path("favicon.ico", favicon),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.MetricsView.as_view(), name="metrics"),
]
handler400 = "costwatch.api.problems.bad_request"
handler404 = "costwatch.api.problems.not_found"
handler500 = "costwatch.api.problems.server_error"
