"""Budgets in the admin."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, Crossing, Hold

for _model in (BudgetLimit, BudgetIncrease, BudgetWindow, Hold, Crossing):
    admin.site.register(_model, ModelAdmin)
