"""Price usage samples: one JSON object a line in, one JSON object a line out."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from tracking.commands import DatabaseCommand
from tracking.money import from_nanousd
from tracking.pricing import RateBook, book, price, receipt_json
from tracking.pricing.samples import SampleError, read_sample


class Command(DatabaseCommand):
    help = (
        "Prices usage samples: JSON lines with provider, model, endpoint, at and usage (raw, as the provider reports "
        "it). Prints a JSON line each: id, cost_usd (text, or null while unpriced), status, receipt."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("file", help="a file of JSON lines; - reads standard input")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        rates = book.current()
        for line in self._lines(file):
            if line.strip():
                self.stdout.write(json.dumps(_answer(line, rates), ensure_ascii=False))

    def _lines(self, file: str) -> Iterator[str]:
        if file == "-":
            yield from sys.stdin
            return
        try:
            with Path(file).open(encoding="utf-8-sig", errors="replace") as lines:
                yield from lines
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error


def _answer(line: str, rates: RateBook) -> dict[str, Any]:
    sample: Any = None
    try:
        sample = json.loads(line)
        usage, at = read_sample(sample)
        receipt = price(usage, at, rates)
    except (SampleError, ValueError, RecursionError) as error:
        name = sample.get("id") if isinstance(sample, dict) else None
        return {"id": name, "cost_usd": None, "status": "error", "error": str(error), "receipt": None}
    total = receipt.total_nanousd
    return {
        "id": sample.get("id"),
        "cost_usd": None if total is None else format(from_nanousd(total), "f"),
        "status": receipt.status,
        "receipt": {**receipt_json(receipt), "flags": list(usage.flags)},
    }
