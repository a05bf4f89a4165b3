"""The HTTP API of budgets."""
