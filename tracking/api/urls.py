"""The addresses of the ledger's API, under /api/v1/."""

from django.urls import path

from tracking.api import analyses, estimates, export, rates, reports, usage

urlpatterns = [
    path("usage", usage.UsageList.as_view(), name="api-usage"),
    path("usage/export", export.ExportView.as_view(), name="api-usage-export"),
    path("usage/<uuid:call_id>", usage.UsageDetail.as_view(), name="api-usage-detail"),
    path("reports", reports.ReportView.as_view(), name="api-reports"),
    path("analyses", analyses.AnalysisList.as_view(), name="api-analyses"),
    path("analyses/<path:analysis_id>/close", analyses.AnalysisClose.as_view(), name="api-analysis-close"),
    path("analyses/<path:analysis_id>", analyses.AnalysisDetail.as_view(), name="api-analysis"),
    path("rates", rates.RateList.as_view(), name="api-rates"),
    path("estimates", estimates.EstimateView.as_view(), name="api-estimates"),
]
