"""What pages show of calls and sums, in words and numbers ready for a template."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import NoReverseMatch, reverse

from costwatch.formatting import duration, quantity
from costwatch.pages.asked import NONE
from tracking.calls import Call
from tracking.users import emails_of

#: Meters as people call them.
METER_NAMES = {
    "input_tokens": "Input",
    "cache_read_tokens": "Input from the cache",
    "cache_write_tokens": "Written to the cache",
    "cache_write_1h_tokens": "Written to the cache for an hour",
    "cache_write_12h_tokens": "Written to the cache for twelve hours",
    "input_audio_tokens": "Audio input",
    "cache_read_audio_tokens": "Audio input from the cache",
    "input_image_tokens": "Image input",
    "cache_read_image_tokens": "Image input from the cache",
    "output_tokens": "Output",
    "output_audio_tokens": "Audio output",
    "output_image_tokens": "Image output",
    "audio_seconds": "Audio by its length",
    "session_seconds": "Live session by its length",
    "characters": "Characters spoken",
    "images": "Images",
    "video_seconds": "Video by its length",
    "web_searches": "Web searches",
    "web_fetches": "Web pages fetched",
    "file_searches": "File searches",
    "containers": "Containers",
    "requests": "Calls",
    "token_counts": "Token counts",
}


def width_of(share: Decimal | None) -> float:
    """How long the bar of a share is, of 100."""
    return float(round(min(max(share or 0, 0), 1) * 100, 2))


def known_cost(sums: Any) -> Decimal | None:
    """What calls cost in USD; None where none of them has a price. `sums` has `calls`, `unpriced` and `cost`."""
    return None if sums.unpriced and sums.unpriced == sums.calls else sums.cost


@dataclass(frozen=True, slots=True)
class CallRow:
    """A line of the list of calls."""

    call: Call
    used: str
    who: str
    links: Mapping[str, str] = field(default_factory=dict)  # to the calls like it: by model, feature and user


def rows_of(
    calls: Sequence[Call],
    *,
    with_users: bool,
    emails: Mapping[int, str] | None = None,
    link: Callable[..., str] | None = None,
) -> list[CallRow]:
    """The lines of a list of calls. The addresses of users are looked up unless the caller has them.

    `link` gives the address of the calls with some filters: `Asked.link`, where a list keeps those that it has.
    """
    if emails is None:
        emails = emails_of(call.user_id for call in calls) if with_users else {}
    link = link or address_of_calls
    return [
        CallRow(
            call=call, used=used_in_words(call), who=_who(call.user_id, emails), links=_links(call, link, with_users)
        )
        for call in calls
    ]


def address_of_calls(**filters: object) -> str:
    """The list of calls with some filters, whatever the page that leads to it shows; "" where there is none."""
    try:
        return f"{reverse('calls')}?{urlencode(filters)}"
    except NoReverseMatch:
        return ""


def _links(call: Call, link: Callable[..., str], with_users: bool) -> dict[str, str]:
    links = {"model": link(model=call.model or NONE), "feature": link(feature=call.feature or NONE)}
    return {**links, "user": link(user=call.user_id or 0)} if with_users else links


def used_in_words(call: Call) -> str:
    """What a call used, shortly: "1,200 in, 300 out", "5.5 min of sound", "2 images"."""
    parts = []
    if call.input_tokens or call.output_tokens:
        parts.append(f"{quantity(call.input_tokens)} in, {quantity(call.output_tokens)} out")
    if call.audio_ms:
        parts.append(f"{duration(call.audio_ms)} of sound")
    if call.characters:
        parts.append(f"{quantity(call.characters)} characters")
    if call.images:
        parts.append(f"{quantity(call.images)} image{'s' if call.images != 1 else ''}")
    return "; ".join(parts)


def _who(user_id: int | None, emails: Mapping[int, str]) -> str:
    if not user_id:
        return ""
    return emails.get(user_id) or f"account {user_id}"
