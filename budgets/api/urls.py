"""The addresses of the API of budgets, under /api/v1/."""

from django.urls import path

from budgets.api import views

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
]
