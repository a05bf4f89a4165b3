"""The one registry of meters: every quantity that can be billed. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """One billable quantity.

    `per` is the number of units that prices of this meter are quoted for. `falls_under` names the meter whose price
    applies where a model has none for this one: only where the provider bills it that way.
    """

    name: str
    unit: str
    per: int
    description: str
    falls_under: str = ""

    @property
    def is_tokens(self) -> bool:
        """Tokens have prices per tier and region; everything else costs the same in all of them."""
        return self.unit == "token"


_MILLION = 1_000_000

METERS: dict[str, Meter] = {
    meter.name: meter
    for meter in (
        Meter("input_tokens", "token", _MILLION, "text input, neither read from nor written to the cache"),
        Meter("cache_read_tokens", "token", _MILLION, "input read from the prompt cache"),
        Meter(
            "cache_write_tokens",
            "token",
            _MILLION,
            "input written to the prompt cache with the shortest retention (Anthropic 5 minutes, OpenAI 30 minutes)",
        ),
        Meter("cache_write_1h_tokens", "token", _MILLION, "input written to the prompt cache for an hour"),
        Meter("cache_write_12h_tokens", "token", _MILLION, "input written to the prompt cache for twelve hours"),
        Meter("input_audio_tokens", "token", _MILLION, "audio input, not cached"),
        Meter("cache_read_audio_tokens", "token", _MILLION, "audio input read from the prompt cache"),
        Meter("input_image_tokens", "token", _MILLION, "image input, not cached", falls_under="input_tokens"),
        Meter(
            "cache_read_image_tokens",
            "token",
            _MILLION,
            "image input read from the prompt cache",
            falls_under="cache_read_tokens",
        ),
        Meter("output_tokens", "token", _MILLION, "text output, reasoning included"),
        Meter("output_audio_tokens", "token", _MILLION, "audio output"),
        Meter("output_image_tokens", "token", _MILLION, "image output", falls_under="output_tokens"),
        Meter("audio_seconds", "second", 3600, "audio billed by its duration"),
        Meter(
            "session_seconds",
            "second",
            3600,
            "a live session billed by its duration",
            falls_under="audio_seconds",
        ),
        Meter("characters", "character", _MILLION, "characters of text turned into speech"),
        Meter("images", "image", 1, "images billed by number; the variant is size/quality"),
        Meter("video_seconds", "second", 1, "seconds of generated video; the variant is the size"),
        Meter("web_searches", "search", 1000, "web searches made by the provider"),
        Meter("web_fetches", "fetch", 1000, "web pages fetched by the provider"),
        Meter("file_searches", "search", 1000, "searches in the provider's file store"),
        Meter("containers", "session", 1, "code-interpreter containers"),
        Meter("requests", "request", 1000, "calls that are billed as such (moderations: free)"),
        Meter("token_counts", "request", 1000, "token-counting calls (free)"),
    )
}
