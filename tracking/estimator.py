"""What a call would cost on any model: quantities as people know them, turned into meters and priced from the book."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tracking.calculators import AUDIO_INPUT_TOKENS_PER_MINUTE, AUDIO_OUTPUT_TOKENS_PER_MINUTE, provider_of
from tracking.models import PricedModel, Rate
from tracking.money import EXACT, from_nanousd
from tracking.pricing import Receipt, price
from tracking.pricing.rates import ModelRates, RateBook
from tracking.pricing.types import ANY_MODEL
from tracking.usage.types import Usage

#: The providers whose models are proposed; any other of the price book can be named as "provider/model".
PROPOSED = ("openai", "anthropic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantities:
    """What one call uses."""

    input_tokens: int = 0  # not cached
    cache_read_tokens: int = 0
    output_tokens: int = 0
    minutes_heard: Decimal = Decimal(0)
    minutes_spoken: Decimal = Decimal(0)
    characters: int = 0
    images: int = 0
    image_kind: str = ""  # "1024x1024/standard"


@dataclass(frozen=True, slots=True)
class Offer:
    """What one call costs on one model, and `calls` of them. USD; None where a price is missing."""

    provider: str
    model: str
    receipt: Receipt
    calls: int
    assumed: str = ""

    @property
    def cost(self) -> Decimal | None:
        """Of one call."""
        nanousd = self.receipt.total_nanousd
        return None if nanousd is None else from_nanousd(nanousd)

    @property
    def total(self) -> Decimal | None:
        """Of all calls."""
        return None if self.cost is None else EXACT.multiply(self.cost, self.calls)


def proposed_models() -> list[tuple[str, str]]:
    """The names that can be chosen: the two providers' models that are not deprecated, and those with own rates."""
    listed = PricedModel.objects.filter(provider__in=PROPOSED, deprecated=False).exclude(model=ANY_MODEL)
    own = Rate.objects.filter(own=True).exclude(model=ANY_MODEL).order_by().distinct()
    names = {*listed.values_list("provider", "model"), *own.values_list("provider", "model")}
    return sorted(names)


def image_kinds() -> list[str]:
    """The sizes and qualities that images are priced by."""
    rows = Rate.objects.filter(meter="images", provider__in=PROPOSED).exclude(variant="")
    return sorted(rows.order_by().values_list("variant", flat=True).distinct())


def read_name(text: str, rates: RateBook) -> tuple[str, str]:
    """(provider, model) of a name as people type it: "gpt-4o", "anthropic/claude-sonnet-4-5"."""
    provider, slash, model = text.strip().partition("/")
    if slash and model and rates.model(provider.lower(), model) is not None:
        return provider.lower(), model
    return provider_of(text), text.strip()


def offer(
    provider: str, model: str, quantities: Quantities, *, tier: str, calls: int, rates: RateBook, at: datetime
) -> Offer:
    """What it costs, by the prices in force at `at`.

    Minutes of audio are billed by their duration where a model has such a price; otherwise as tokens: 600 a minute
    heard, 1,200 a minute spoken. A quantity that the model has no price for makes the whole unpriced.
    """
    book = rates.model(provider, model)
    meters, assumed = _meters(quantities, book)
    usage = Usage(
        provider=provider,
        model=model,
        meters=meters,
        tier=tier,
        context_tokens=quantities.input_tokens + quantities.cache_read_tokens,
        variants={"images": quantities.image_kind} if quantities.images and quantities.image_kind else {},
    )
    return Offer(provider, model, price(usage, at, rates), calls, assumed)


def _meters(wanted: Quantities, book: ModelRates | None) -> tuple[dict[str, int | Decimal], str]:
    meters: dict[str, int | Decimal] = {
        "input_tokens": wanted.input_tokens,
        "cache_read_tokens": wanted.cache_read_tokens,
        "output_tokens": wanted.output_tokens,
        "characters": wanted.characters,
        "images": wanted.images,
    }
    assumed = ""
    if wanted.minutes_heard and _has(book, "audio_seconds"):
        meters["audio_seconds"] = EXACT.multiply(wanted.minutes_heard, 60)
    elif wanted.minutes_heard:
        meters["input_audio_tokens"] = EXACT.multiply(wanted.minutes_heard, AUDIO_INPUT_TOKENS_PER_MINUTE)
        assumed = f"{AUDIO_INPUT_TOKENS_PER_MINUTE} tokens a minute heard"
    if wanted.minutes_spoken:
        meters["output_audio_tokens"] = EXACT.multiply(wanted.minutes_spoken, AUDIO_OUTPUT_TOKENS_PER_MINUTE)
        spoken = f"{AUDIO_OUTPUT_TOKENS_PER_MINUTE:,} tokens a minute spoken"
        assumed = f"{assumed}, {spoken}" if assumed else spoken
    return {meter: quantity for meter, quantity in meters.items() if quantity}, assumed


def _has(book: ModelRates | None, meter: str) -> bool:
    return book is not None and meter in book.meters
