"""Estimate what a call would cost, from the price book."""

import json
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError

from tracking.calculators import provider_of
from tracking.commands import DatabaseCommand
from tracking.money import EXACT, from_nanousd
from tracking.pricing import Receipt, book, price, receipt_json
from tracking.usage import Usage


class Command(DatabaseCommand):
    help = "Estimates the cost of a call from its quantities. Prices are those of now, or of --at."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--model", required=True)
        parser.add_argument("--provider", help="openai, anthropic, ...; default: from the model's name")
        parser.add_argument("--input-tokens", type=_count, default=0, help="all of them, cached ones included")
        parser.add_argument("--output-tokens", type=_count, default=0)
        parser.add_argument("--cached-tokens", type=_count, default=0, help="input tokens read from the cache")
        parser.add_argument("--cache-write-tokens", type=_count, default=0, help="input tokens written to the cache")
        parser.add_argument("--audio-input-tokens", type=_count, default=0)
        parser.add_argument("--audio-output-tokens", type=_count, default=0)
        parser.add_argument("--audio-minutes", type=_number, help="audio billed by its duration")
        parser.add_argument("--characters", type=_count, help="text turned into speech")
        parser.add_argument("--images", type=_count, help="images billed by number")
        parser.add_argument("--size", default="", help="of images and videos, as in 1024x1024")
        parser.add_argument("--quality", default="standard", help="of images: standard, hd")
        parser.add_argument("--video-seconds", type=_number)
        parser.add_argument("--web-searches", type=_count)
        parser.add_argument("--tier", default="standard", help="standard, batch, flex, priority, fast")
        parser.add_argument("--region", default="", help="where the model runs, if that changes the price: us")
        parser.add_argument("--at", type=_time, help="the time of the call, as in 2026-11-01 or 2026-11-01T12:00+01:00")
        parser.add_argument("--json", action="store_true", help="print the receipt as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        usage = _usage(options)
        receipt = price(usage, options["at"] or datetime.now(UTC), book.current())
        if options["json"]:
            self.stdout.write(json.dumps({"model": usage.model, "provider": usage.provider, **receipt_json(receipt)}))
        else:
            self._table(receipt)
        if receipt.total_nanousd is None:
            raise CommandError(f"The cost cannot be estimated: {receipt.reason}.")

    def _table(self, receipt: Receipt) -> None:
        for line in receipt.lines:
            name = f"{line.meter} ({line.variant})" if line.variant else line.meter
            rate = "no rate" if line.rate is None else f"${line.rate} / {line.per:,}"
            amount = "" if line.amount_usd is None else f"${EXACT.quantize(line.amount_usd, Decimal('0.000000001')):f}"
            self.stdout.write(f"{name:<34} {line.quantity!s:>14} {rate:>22} {amount:>20}")
        if receipt.total_nanousd is not None:
            self.stdout.write(f"{'total':<34} {'':>14} {'':>22} {f'${from_nanousd(receipt.total_nanousd):f}':>20}")
        if receipt.status == "assumed":
            self.stdout.write(f"assumed: {receipt.reason}")


def _usage(options: dict[str, Any]) -> Usage:
    cached, written, audio = (options[key] for key in ("cached_tokens", "cache_write_tokens", "audio_input_tokens"))
    fresh = options["input_tokens"] - cached - written
    if fresh < 0:
        raise CommandError("More input tokens are cached and written than there are.")
    tokens = {
        "input_tokens": fresh,
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
        "input_audio_tokens": audio,
        "output_tokens": options["output_tokens"],
        "output_audio_tokens": options["audio_output_tokens"],
    }
    meters: dict[str, int | Decimal] = {meter: n for meter, n in tokens.items() if n}
    minutes = options["audio_minutes"]
    others = {
        "audio_seconds": None if minutes is None else EXACT.multiply(minutes, 60),
        "characters": options["characters"],
        "images": options["images"],
        "video_seconds": options["video_seconds"],
        "web_searches": options["web_searches"],
    }
    meters |= {meter: n for meter, n in others.items() if n is not None}
    if not meters:
        raise CommandError("Nothing to estimate: give quantities, as in --input-tokens 1500 --output-tokens 2000.")
    return Usage(
        provider=options["provider"] or provider_of(options["model"]),
        model=options["model"],
        meters=meters,
        tier=options["tier"],
        region=options["region"],
        context_tokens=options["input_tokens"] + audio,
        variants={
            "images": f"{options['size'] or '1024x1024'}/{options['quality']}",
            "video_seconds": options["size"] or "720x1280",
        },
    )


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ArgumentTypeError(f"{text!r} is not a number.") from error
    if not number.is_finite() or not 0 <= number <= 10**12:
        raise ArgumentTypeError(f"{text!r} is not a quantity from 0 to 10^12.")
    return number


def _count(text: str) -> int:
    number = _number(text)
    if number != int(number):
        raise ArgumentTypeError(f"{text!r} is not a whole number.")
    return int(number)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a time.") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
