"""The addresses of the API of budgets, under /api/v1/."""

from django.urls import path

from budgets.api import calls, views

urlpatterns = [
    path("budgets", views.BudgetList.as_view(), name="api-budgets"),
    path("budgets/<int:limit_id>", views.BudgetDetail.as_view(), name="api-budget-detail"),
    path("budgets/<int:limit_id>/windows", views.WindowList.as_view(), name="api-budget-windows"),
    path("budgets/<int:limit_id>/increase", views.IncreaseOfBudget.as_view(), name="api-budget-increase"),
    path("increases", views.IncreaseList.as_view(), name="api-increases"),
    path(
        "increases/<int:increase_id>/approve", views.IncreaseDecision.as_view(approve=True), name="api-increase-approve"
    ),
    path(
        "increases/<int:increase_id>/refuse", views.IncreaseDecision.as_view(approve=False), name="api-increase-refuse"
    ),
    path("check", calls.CheckView.as_view(), name="api-check"),
    path("holds", calls.HoldList.as_view(), name="api-holds"),
    path("holds/<uuid:hold_id>/settle", calls.HoldSettle.as_view(), name="api-hold-settle"),
    path("holds/<uuid:hold_id>/void", calls.HoldVoid.as_view(), name="api-hold-void"),
]
