"""The addresses of the ledger's API, under /api/v1/."""

from django.urls import path

from tracking.api import export, reports, usage

urlpatterns = [
    path("usage", usage.UsageList.as_view(), name="api-usage"),
    path("usage/export", export.ExportView.as_view(), name="api-usage-export"),
    path("usage/<uuid:call_id>", usage.UsageDetail.as_view(), name="api-usage-detail"),
    path("reports", reports.ReportView.as_view(), name="api-reports"),
]
