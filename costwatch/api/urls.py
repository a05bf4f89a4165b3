"""The addresses of the API, under /api/."""

from django.urls import include, path, re_path

from costwatch.api import ai_costs, auth, cost_alerts, cost_monitoring, keys
from costwatch.api.docs import DocsView, SchemaView
from tracking.api.export import ExportView

cost_monitoring_urls = [
    path("dashboard", cost_monitoring.DashboardView.as_view(), name="api-dashboard"),
    path("summary", cost_monitoring.SummaryView.as_view(), name="api-summary"),
    path("usage-logs", cost_monitoring.UsageLogsView.as_view(), name="api-usage-logs"),
    path("budget", cost_monitoring.BudgetView.as_view(), name="api-budget"),
    path("export", ExportView.as_view(), name="api-export"),
    path("alerts", cost_alerts.AlertsView.as_view(), name="api-cost-alerts"),
    path("alerts/<int:alert_id>/read", cost_alerts.AlertReadView.as_view(), name="api-cost-alert-read"),
    path("alerts/read-all", cost_alerts.AlertsReadAllView.as_view(), name="api-cost-alerts-read-all"),
]
v1_urls = [
    path("auth/login", auth.LoginView.as_view(), name="api-login"),
    path("auth/logout", auth.LogoutView.as_view(), name="api-logout"),
    path("monitoring/ai-costs/summary", ai_costs.AiSummaryView.as_view(), name="api-ai-summary"),
    path("monitoring/ai-costs/daily", ai_costs.AiDailyView.as_view(), name="api-ai-daily"),
    path("monitoring/ai-costs/tracks", ai_costs.AiTracksView.as_view(), name="api-ai-tracks"),
    path("monitoring/ai-costs/budget-status", ai_costs.AiBudgetView.as_view(), name="api-ai-budget"),
    path("keys", keys.KeyList.as_view(), name="api-keys"),
    path("keys/<str:key_id>", keys.KeyDetail.as_view(), name="api-key"),
    path("keys/<str:key_id>/rotate", keys.KeyRotate.as_view(), name="api-key-rotate"),
    path("keys/<str:key_id>/revoke", keys.KeyRevoke.as_view(), name="api-key-revoke"),
    path("", include("tracking.api.urls")),
    path("", include("budgets.api.urls")),
    path("", include("alerts.api.urls")),
]
urlpatterns = [
    path("cost-monitoring/", include(cost_monitoring_urls)),
    path("v1/", include(v1_urls)),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", DocsView.as_view(), name="api-docs"),
    re_path(r"^.*$", auth.NothingHere.as_view(), name="api-nothing"),
]
