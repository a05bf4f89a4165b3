"""Budgets in the admin: where limits are made and changed. Windows and holds are read only."""

from budgets.admin import increases, limits, readonly  # noqa: F401  registers them
