"""What a call used, normalised once: the same words for every provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


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
