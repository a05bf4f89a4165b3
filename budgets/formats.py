"""Money and moments as text."""

from datetime import UTC, datetime
from decimal import Decimal


def usd(amount: Decimal) -> str:
    """`$1,212.50`: at least two decimal places, and as many more as the amount has."""
    text = f"{amount.normalize():,f}"
    whole, _, cents = text.partition(".")
    return f"${whole}.{cents.ljust(2, '0')}" if not whole.startswith("-") else f"-${whole[1:]}.{cents.ljust(2, '0')}"


def in_words(at: datetime) -> str:
    """`2026-11-23 00:00 UTC`"""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
