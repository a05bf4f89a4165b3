"""Pricing: usage x rates -> receipt. The engine is pure; `tracking.pricing.book` reads the rates from the database."""

from tracking.pricing.engine import price
from tracking.pricing.rates import RateBook
from tracking.pricing.receipts import receipt_from_json, receipt_json, receipt_text
from tracking.pricing.types import Line, ModelRule, RateRow, Receipt

__all__ = [
    "Line",
    "ModelRule",
    "RateBook",
    "RateRow",
    "Receipt",
    "price",
    "receipt_from_json",
    "receipt_json",
    "receipt_text",
]
