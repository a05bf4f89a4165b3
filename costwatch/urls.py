"""The addresses Costwatch answers at."""

from django.contrib import admin
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import include, path

from costwatch.operations import views as operations
from costwatch.pages import budget, views


def favicon(request):
    """For pages that name no icon of their own, the admin's."""
    return redirect(static("costwatch/icon.svg"))


urlpatterns = [
    path("", views.home, name="home"),
    path("calls/<uuid:call_id>/", views.call, name="call"),
    path("budget/", budget.budget, name="budget"),
    path("budget/<int:limit_id>/ask/", budget.ask, name="budget_ask"),
    path("", include("costwatch.accounts.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("costwatch.api.urls")),
    path("favicon.ico", favicon),
    path("healthz", operations.healthz, name="healthz"),
    path("readyz", operations.readyz, name="readyz"),
    path("metrics", operations.MetricsView.as_view(), name="metrics"),
]
handler400 = "costwatch.api.problems.bad_request"
handler404 = "costwatch.api.problems.not_found"
handler500 = "costwatch.api.problems.server_error"
