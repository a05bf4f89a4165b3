"""Pricing: usage x rates -> receipt. The engine is pure; `tracking.pricing.book` reads the rates from the database."""

from tracking.pricing.engine import price
from tracking.pricing.quick import Priced, price_text
from tracking.pricing.rates import RateBook
from tracking.pricing.receipts import receipt_from_json, receipt_json, receipt_text
from tracking.pricing.types import Line, ModelRule, RateRow, Receipt

__all__ = [
    "Line",
    "ModelRule",
    "Priced",
    "RateBook",
    "RateRow",
    "Receipt",
    "price",
    "price_text",
    "receipt_from_json",
    "receipt_json",
    "receipt_text",
]
