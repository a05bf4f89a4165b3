"""What a call used, normalised once: the same words for every provider."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

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


@dataclass(frozen=True, slots=True)
class Totals:
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


def totals(usage: Usage) -> Totals:
    """Add up a call and its parts."""
    sums: dict[str, int | Decimal] = {}
    reasoning = 0
    for one in walk(usage):
        reasoning += one.reasoning_tokens
        for meter, quantity in one.meters.items():
            before = sums.get(meter, 0)
            both_whole = isinstance(before, int) and isinstance(quantity, int)
            sums[meter] = before + quantity if both_whole else EXACT.add(Decimal(before), Decimal(quantity))
    tokens = {name: int(n) for name, n in sums.items() if name.endswith("_tokens")}
    written = sum(n for name, n in tokens.items() if name.startswith("cache_write_"))
    read = sum(n for name, n in tokens.items() if name.startswith("cache_read_"))
    fresh = sum(n for name, n in tokens.items() if name.startswith("input_"))
    seconds = EXACT.add(Decimal(sums.get("audio_seconds", 0)), Decimal(sums.get("session_seconds", 0)))
    return Totals(
        input_tokens=fresh + read + written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=sum(n for name, n in tokens.items() if name.startswith("output_")),
        reasoning_tokens=reasoning,
        audio_tokens=sum(n for name, n in tokens.items() if "audio" in name),
        audio_ms=int(EXACT.multiply(seconds, 1000)),
        characters=int(sums.get("characters", 0)),
        images=int(sums.get("images", 0)),
        meters={name: n if isinstance(n, int) else format(n, "f") for name, n in sums.items()},
    )
