"""What a call would cost: estimates before it is made, from the price book.

from tracking.calculators import calculate_whisper_cost

estimate = calculate_whisper_cost(5.5)
estimate.cost        # Decimal("0.033"), USD
estimate.breakdown   # "5.50 minutes × $0.006 = $0.033000"
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from tracking.django_setup import ensure_django
from tracking.money import EXACT, from_nanousd
from tracking.pricing import Line, Receipt, price
from tracking.usage.types import Usage

#: How many tokens a minute of audio is to the realtime models: one every 100 ms spoken to them, every 50 ms by them.
AUDIO_INPUT_TOKENS_PER_MINUTE = 600
AUDIO_OUTPUT_TOKENS_PER_MINUTE = 1200

Number = Decimal | int | float


class PriceNotKnownError(LookupError):
    """The price book has no price for what was asked. Its text says what is missing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated cost: `cost` in USD, rounded to nano-USD; `breakdown` a line of text for each component."""

    cost: Decimal
    breakdown: str
    receipt: Receipt


def calculate_whisper_cost(minutes: Number, *, model: str = "whisper-1", at: datetime | None = None) -> Estimate:
    """The cost of transcribing `minutes` of audio.

    Raises `ValueError` for a duration that is not a finite number of minutes from 0 on, and `PriceNotKnownError` for a
    model without a price a minute.
    """
    length = _quantity(minutes, "minutes")
    receipt = _price(model, {"audio_seconds": EXACT.multiply(length, 60)}, at)
    line = receipt.lines[0]
    per_minute = EXACT.divide(EXACT.multiply(line.rate, 60), line.per)
    return _estimate(receipt, f"{_fixed(length, 2)} minutes × ${_rate(per_minute, 3)} = ${_fixed(line.amount_usd, 6)}")


def calculate_gpt4o_cost(
    input_tokens: int, output_tokens: int, *, model: str = "gpt-4o", at: datetime | None = None
) -> Estimate:
    """The cost of a chat call without cached input. Raises as `calculate_whisper_cost` does."""
    meters = {
        "input_tokens": _tokens(input_tokens, "input_tokens"),
        "output_tokens": _tokens(output_tokens, "output_tokens"),
    }
    receipt = _price(model, meters, at, context_tokens=int(meters["input_tokens"]))
    into, out = receipt.lines
    return _estimate(receipt, f"Input: {_token_line(into)}\nOutput: {_token_line(out)}")


def calculate_tts_cost(characters: int, *, model: str = "tts-1-hd", at: datetime | None = None) -> Estimate:
    """The cost of speaking a text of `characters`. Raises as `calculate_whisper_cost` does."""
    count = _tokens(characters, "characters")
    receipt = _price(model, {"characters": count}, at)
    line = receipt.lines[0]
    per_thousand = EXACT.divide(EXACT.multiply(line.rate, 1000), line.per)
    return _estimate(receipt, f"{count} characters × ${_rate(per_thousand, 3)}/1K = ${_fixed(line.amount_usd, 6)}")


def calculate_realtime_api_cost(
    input_tokens: int,
    output_tokens: int,
    audio_input_minutes: Number,
    audio_output_minutes: Number,
    *,
    model: str = "gpt-4o-realtime-preview-2024-10-01",
    at: datetime | None = None,
) -> Estimate:
    """The cost of a realtime session: text tokens, and minutes of audio in both directions.

    Audio is billed in tokens: 600 a minute heard, 1,200 a minute spoken. Raises as `calculate_whisper_cost` does.
    """
    heard = _quantity(audio_input_minutes, "audio_input_minutes")
    spoken = _quantity(audio_output_minutes, "audio_output_minutes")
    meters = {
        "input_tokens": _tokens(input_tokens, "input_tokens"),
        "output_tokens": _tokens(output_tokens, "output_tokens"),
        "input_audio_tokens": EXACT.multiply(heard, AUDIO_INPUT_TOKENS_PER_MINUTE),
        "output_audio_tokens": EXACT.multiply(spoken, AUDIO_OUTPUT_TOKENS_PER_MINUTE),
    }
    receipt = _price(model, meters, at)
    into, out, audio_in, audio_out = receipt.lines
    total = from_nanousd(receipt.total_nanousd)
    return _estimate(
        receipt,
        f"Input: {_token_line(into)}\n"
        f"Output: {_token_line(out)}\n"
        f"Audio input: {_minute_line(audio_in, heard, AUDIO_INPUT_TOKENS_PER_MINUTE)}\n"
        f"Audio output: {_minute_line(audio_out, spoken, AUDIO_OUTPUT_TOKENS_PER_MINUTE)}\n"
        f"Total: ${_fixed(total, 6)}",
    )


# --- Quantities -------------------------------------------------------------------------------------


def _quantity(value: Number, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float):
        raise ValueError(f"{name} is {value!r}; it must be a number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; it must be finite.")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"{name} is {value!r}; it must be a number.") from error
    if not number.is_finite():
        raise ValueError(f"{name} is {value!r}; it must be finite.")
    if number < 0:
        raise ValueError(f"{name} is {value!r}; it must not be negative.")
    if number > 10**12:
        raise ValueError(f"{name} is {value!r}; that is more than any call can use.")
    return number


def _tokens(value: int, name: str) -> int:
    number = _quantity(value, name)
    if number != int(number):
        raise ValueError(f"{name} is {value!r}; it must be a whole number.")
    return int(number)


# --- Prices and text --------------------------------------------------------------------------------


def _price(
    model: str, meters: dict[str, int | Decimal], at: datetime | None, *, context_tokens: int = 0, provider: str = ""
) -> Receipt:
    provider = (provider or provider_of(model)).lower()
    usage = Usage(provider=provider, model=model, meters=meters, context_tokens=context_tokens)
    receipt = _by_the_book(usage, at or datetime.now(UTC))
    missing = next((line.meter for line in receipt.lines if line.rate is None), "")
    if receipt.total_nanousd is None or missing:
        reason = receipt.reason or f"no rate for {missing} of {model}"
        raise PriceNotKnownError(f"The cost cannot be estimated: {reason}.")
    return receipt


def _by_the_book(usage: Usage, at: datetime) -> Receipt:
    """The price by the book of this process: in any process, and also on an event loop."""
    ensure_django()
    from django.core.exceptions import SynchronousOnlyOperation
    from django.db import connections

    from tracking.pricing import book

    def look() -> Receipt:
        return price(usage, at, book.current())

    def look_apart() -> Receipt:
        try:
            return look()
        finally:
            connections.close_all()  # this thread's own

    try:
        return look()
    except SynchronousOnlyOperation:  # on an event loop, when the book is older than a second: a query or two
        with ThreadPoolExecutor(1) as apart:
            return apart.submit(look_apart).result()


def provider_of(model: str) -> str:
    """The provider that a bare model name belongs to, among the two that Costwatch has clients for."""
    return "anthropic" if "claude" in str(model).lower() else "openai"


def _estimate(receipt: Receipt, breakdown: str) -> Estimate:
    return Estimate(cost=from_nanousd(receipt.total_nanousd), breakdown=breakdown, receipt=receipt)


def _token_line(line: Line) -> str:
    per_million = EXACT.divide(EXACT.multiply(line.rate, 1_000_000), line.per)
    return f"{line.quantity} tokens × ${_rate(per_million, 2)}/1M = ${_fixed(line.amount_usd, 6)}"


def _minute_line(line: Line, minutes: Decimal, tokens_per_minute: int) -> str:
    per_minute = EXACT.divide(EXACT.multiply(line.rate, tokens_per_minute), line.per)
    return f"{_fixed(minutes, 2)} minutes × ${_rate(per_minute, 2)} = ${_fixed(line.amount_usd, 6)}"


def _fixed(number: Decimal, places: int) -> str:
    return format(EXACT.quantize(number, Decimal(1).scaleb(-places, EXACT)), "f")


def _rate(number: Decimal, places: int) -> str:
    """With at least so many decimals, and as many as it has."""
    plain = number.normalize(EXACT)
    return format(plain, "f") if -plain.as_tuple().exponent >= places else _fixed(plain, places)
