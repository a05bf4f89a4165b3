"""Receipts as JSON and back: how the ledger keeps them and commands print them. Pure."""

import functools
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tracking.money import NANOUSD_PER_USD, from_nanousd
from tracking.pricing.types import Line, Receipt


def _text(number: int | Decimal | None) -> int | str | None:
    return format(number, "f") if isinstance(number, Decimal) else number


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt as JSON can hold it: money and fractions as decimal strings, in USD."""
    total = receipt.total_nanousd
    return {
        "status": receipt.status,
        "total_usd": None if total is None else format(from_nanousd(total), "f"),
        "reason": receipt.reason,
        "tier": receipt.tier,
        "region": receipt.region,
        "lines": [
            {
                "meter": line.meter,
                "quantity": _text(line.quantity),
                "rate": _text(line.rate),
                "per": line.per,
                "amount_usd": _text(line.amount_usd),
                "rate_id": line.rate_id,
                "model": line.model,
                "variant": line.variant,
            }
            for line in receipt.lines
        ],
    }


def receipt_text(receipt: Receipt) -> str:
    """`receipt_json` as JSON text, several times as fast as encoding it: every call that is recorded has one."""
    lines = []
    for line in receipt.lines:
        before, between, after = around(line)
        lines.append(f"{before}{_number(line.quantity)}{between}{_number(line.amount_usd)}{after}")
    return receipt_around(receipt, ",".join(lines))


def around(line: Line) -> tuple[str, str, str]:
    """The text of a line before its quantity, between that and its amount, and after it."""
    return (
        f'{{"meter":{_quoted(line.meter)},"quantity":',
        f',"rate":{_number(line.rate)},"per":{line.per},"amount_usd":',
        f',"rate_id":{"null" if line.rate_id is None else line.rate_id},"model":{_quoted(line.model)},'
        f'"variant":{_quoted(line.variant)}}}',
    )


def receipt_around(receipt: Receipt, lines: str) -> str:
    """The text of a receipt whose lines have this text."""
    total = receipt.total_nanousd
    total_usd = "null" if total is None else f'"{_usd(total)}"'
    return (
        f'{{"status":"{receipt.status}","total_usd":{total_usd},"reason":{_quoted(receipt.reason)},'
        f'"tier":{_quoted(receipt.tier)},"region":{_quoted(receipt.region)},"lines":[{lines}]}}'
    )


_quoted = functools.lru_cache(maxsize=4096)(json.dumps)


def _number(number: int | Decimal | None) -> str:
    if number is None:
        return "null"
    return f'"{number:f}"' if isinstance(number, Decimal) else str(number)


def _usd(nanousd: int) -> str:
    """As `from_nanousd` prints, by digits alone."""
    digits = f"{abs(nanousd) // NANOUSD_PER_USD}.{abs(nanousd) % NANOUSD_PER_USD:09d}".rstrip("0").rstrip(".")
    return f"-{digits}" if nanousd < 0 else digits


def receipt_from_json(data: Mapping[str, Any]) -> Receipt:
    """Read `receipt_json` back. Raises `ValueError` for what is not a receipt."""
    try:
        total = data["total_usd"]
        return Receipt(
            lines=tuple(_line(line) for line in data["lines"]),
            total_nanousd=None if total is None else int(Decimal(total).scaleb(9)),
            status=data["status"],
            reason=data.get("reason", ""),
            tier=data.get("tier", "standard"),
            region=data.get("region", ""),
        )
    except (KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"not a receipt: {error!r}") from error


def _line(data: Mapping[str, Any]) -> Line:
    quantity = data["quantity"]
    return Line(
        meter=data["meter"],
        quantity=quantity if isinstance(quantity, int) else Decimal(quantity),
        rate=_decimal(data["rate"]),
        per=data["per"],
        amount_usd=_decimal(data["amount_usd"]),
        rate_id=data["rate_id"],
        model=data["model"],
        variant=data.get("variant", ""),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
