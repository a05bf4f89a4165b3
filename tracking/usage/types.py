"""What a call used, normalised once: the same words for every provider."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from tracking.money import EXACT


@dataclass(frozen=True, slots=True)
class Usage:
    """The billable quantities of one call. Immutable and pure; made by `tracking.usage.read_usage`.

    `meters` are **disjoint**: a token is counted in exactly one of them (`input_tokens` holds neither cached nor
    audio nor image tokens). `tracking.pricing.meters` lists every meter with its unit.
    """

    provider: str
    model: str
    meters: Mapping[str, int | Decimal] = field(default_factory=dict)
    #: standard | batch | flex | priority | fast | ... : what the provider says it served (batch: the call's own kind)
    tier: str = "standard"
    #: all input tokens of the request (cached ones too), for rates that depend on the size of the context
    context_tokens: int = 0
    #: reasoning tokens: already inside `output_tokens`, kept for information
    reasoning_tokens: int = 0
    #: inference geography that changes the price ("us"), or ""
    region: str = ""
    #: what distinguishes rates of a meter that is not counted in tokens: {"images": "1024x1024/standard"}
    variants: Mapping[str, str] = field(default_factory=dict)
    #: further models billed inside the same call (compaction, advisor): each priced by itself
    parts: tuple["Usage", ...] = ()
    #: what was wrong or unknown in the report: "negative:output_tokens", "cached_exceeds_input", "unknown_field:x"
    flags: tuple[str, ...] = ()
    #: why the report cannot be priced, in words; "" when it can
    problem: str = ""
    #: what had to be assumed to read it, in words; "" when nothing
    assumed: str = ""
    #: a sum over several requests, whose single context sizes are not known (an OpenAI batch)
    aggregate: bool = False


class Totals(NamedTuple):
    """The quantities of a call and its parts as the ledger's columns want them. Totals include their subsets."""

    input_tokens: int  # all input tokens: cached, written, audio and image tokens included
    cache_read_tokens: int
    cache_write_tokens: int  # of any retention
    output_tokens: int  # reasoning, audio and image tokens included
    reasoning_tokens: int
    audio_tokens: int  # in and out, cached included
    audio_ms: int  # audio billed by duration, session time included
    characters: int
    images: int
    meters: Mapping[str, int | str]  # the disjoint quantities, fractions as decimal strings: fit for JSON


def walk(usage: Usage) -> Iterator[Usage]:
    """The usage itself, then its parts."""
    yield usage
    for part in usage.parts:
        yield from walk(part)


@lru_cache(maxsize=256)
def _counts_as(meter: str) -> tuple[str, bool]:
    """What a meter is counted as in the totals, and whether it is audio tokens."""
    if not meter.endswith("_tokens"):
        return ("seconds" if meter in ("audio_seconds", "session_seconds") else meter), False
    kinds = ("cache_write_", "cache_read_", "input_", "output_")
    return next((kind for kind in kinds if meter.startswith(kind)), ""), "audio" in meter


def totals(usage: Usage) -> Totals:
    """Add up a call and its parts."""
    sums, reasoning = (_sums_of_parts(usage)) if usage.parts else (usage.meters, usage.reasoning_tokens)
    fresh = read = written = output = audio = characters = images = 0
    seconds: int | Decimal = 0
    meters: dict[str, int | str] = {}
    for meter, quantity in sums.items():
        kind, is_audio = _counts_as(meter)
        whole = quantity if isinstance(quantity, int) else int(quantity)
        meters[meter] = quantity if isinstance(quantity, int) else format(quantity, "f")
        if is_audio:
            audio += whole
        if kind == "input_":
            fresh += whole
        elif kind == "output_":
            output += whole
        elif kind == "cache_read_":
            read += whole
        elif kind == "cache_write_":
            written += whole
        elif kind == "seconds":
            seconds = EXACT.add(seconds, quantity)
        elif kind == "characters":
            characters += whole
        elif kind == "images":
            images += whole
    return Totals(
        fresh + read + written,
        read,
        written,
        output,
        reasoning,
        audio,
        int(EXACT.multiply(seconds, 1000)) if seconds else 0,
        characters,
        images,
        meters,
    )


def _sums_of_parts(usage: Usage) -> tuple[Mapping[str, int | Decimal], int]:
    """The quantities of a call and its parts by meter, and the reasoning tokens of them all."""
    sums: dict[str, int | Decimal] = {}
    reasoning = 0
    for one in walk(usage):
        reasoning += one.reasoning_tokens
        for meter, quantity in one.meters.items():
            before = sums.get(meter, 0)
            both_whole = isinstance(before, int) and isinstance(quantity, int)
            sums[meter] = before + quantity if both_whole else EXACT.add(Decimal(before), Decimal(quantity))
    return sums, reasoning
