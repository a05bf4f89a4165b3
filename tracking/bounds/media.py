"""Bounds of requests for sound, images, videos and vectors. Pure."""

from __future__ import annotations

import math
from decimal import Decimal

from tracking.bounds import content
from tracking.bounds.content import AUDIO_TOKENS_PER_S
from tracking.bounds.request import Ask
from tracking.bounds.types import Bound, Output, Quantity

#: speech is seldom slower than a third of the usual fifteen characters a second
LEAST_CHARACTERS_PER_S = 5
SPEECH_TOKENS_PER_S = Decimal(1250) / 60
#: text of a transcript: people speak up to five words a second
TRANSCRIPT_TOKENS_PER_S = 15
#: what an image of the token-billed models costs in high quality, by the documented sizes
_IMAGE_TOKENS = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}
_DEAREST_IMAGE = 6240
#: from gpt-image-2 on any size up to this many pixels may be asked for; tokens are taken to grow with the area
_MOST_PIXELS = 3840 * 2160
_TOKENS_PER_PIXEL = Decimal(6240) / (1024 * 1536) * Decimal("1.3")
PARTIAL_IMAGE_TOKENS = 100
INPUT_IMAGE_TOKENS = 7337
LONGEST_VIDEO_S = 20


def embeddings(ask: Ask) -> Bound:
    """POST /v1/embeddings: a number or a byte is at most one token."""
    return ask.bound(ways=((Quantity(("input_tokens",), len(ask.content)),),))


def free(ask: Ask) -> Bound:
    """Moderations and token counts: priced as the rates say, which is nothing."""
    meter = "requests" if ask.operation == "moderation" else "token_counts"
    model = ask.model or ("omni-moderation-latest" if ask.operation == "moderation" else "")
    return Bound(ask.provider, model, ways=((Quantity((meter,), 1),),))


def transcription(ask: Ask) -> Bound:
    """POST /v1/audio/transcriptions and translations: by the length of the upload."""
    upload = ask.sent.upload
    if upload is None:
        return ask.bound().without("the sound cannot be measured before it is sent")
    seconds = math.ceil(content.seconds_at_most(upload.file, name=str(getattr(upload, "filename", "") or "")))
    by_length = (Quantity(("audio_seconds",), seconds),)
    if not ask.model.startswith(("gpt-4o", "gpt-transcribe")):
        return ask.bound(ways=(by_length,))
    text = len(str(ask.fields.get("prompt") or "").encode()) + content.FRAME_TOKENS
    by_tokens = (
        Quantity(("input_tokens",), text),
        Quantity(("input_audio_tokens", "input_tokens"), seconds * AUDIO_TOKENS_PER_S + 16),
        Quantity(("output_tokens",), seconds * TRANSCRIPT_TOKENS_PER_S + 64),
    )
    # Answers in plain text report no tokens: they are priced by the minute.
    return ask.bound(ways=(by_tokens,) if not _reports_nothing(ask) else (by_length, by_tokens))


def _reports_nothing(ask: Ask) -> bool:
    return ask.sent.text("response_format") in ("text", "srt", "vtt")


def speech(ask: Ask) -> Bound:
    """POST /v1/audio/speech: by characters; models billed in tokens by the slowest plausible reading."""
    text = ask.fields.get("input")
    if not isinstance(text, str):
        return ask.bound().without("speech without a text")
    if not ask.model.startswith("gpt"):
        return ask.bound(ways=((Quantity(("characters",), len(text)),),))
    speed = ask.fields.get("speed")
    factor = Decimal(str(speed)) if isinstance(speed, (int, float)) and 0 < speed < 1 else Decimal(1)
    seconds = (len(text) / Decimal(LEAST_CHARACTERS_PER_S) + 10) / factor
    tokens = len(text.encode()) + len(str(ask.fields.get("instructions") or "").encode()) + content.FRAME_TOKENS
    return ask.bound(
        ways=(
            (
                Quantity(("input_tokens",), tokens),
                Quantity(("output_tokens", "output_audio_tokens"), math.ceil(seconds * SPEECH_TOKENS_PER_S)),
            ),
        )
    )


def images(ask: Ask) -> Bound:
    """POST /v1/images/*: by number, size and quality."""
    n, size, quality = ask.count("n"), ask.sent.text("size"), ask.sent.text("quality")
    model = ask.model or ("gpt-image-1" if "edits" in ask.endpoint else "dall-e-2")
    if model.startswith("dall-e"):
        size = "1024x1024" if size in ("", "auto") else size.lower()
        quality = "standard" if quality in ("", "auto") else quality
        return Bound(ask.provider, model, ways=((Quantity(("images",), n, f"{size}/{quality}"),),))
    pictures = sum(1 for part in ask.parts if hasattr(part, "file"))
    text = len(str(ask.fields.get("prompt") or "").encode()) + content.FRAME_TOKENS
    partial = (ask.number("partial_images") or 0) * PARTIAL_IMAGE_TOKENS
    tokens = (image_output_tokens(model, size, quality) + partial) * n
    read = [Quantity(("input_tokens",), text)]
    if pictures:
        most = ask.limits.image_tokens or INPUT_IMAGE_TOKENS
        read.append(Quantity(("input_tokens", "input_image_tokens"), pictures * most))
    output = Output(tokens, given=True, meters=("output_tokens", "output_image_tokens"))
    return Bound(ask.provider, model, ways=(tuple(read),), output=output)


def image_output_tokens(model: str, size: str, quality: str) -> int:
    """The most tokens that one image can be."""
    fixed_sizes = model.startswith(("gpt-image-1", "chatgpt-image", "dall-e"))
    by_quality = _IMAGE_TOKENS.get(quality)
    if fixed_sizes:
        return by_quality.get(size, max(by_quality.values())) if by_quality else _DEAREST_IMAGE
    width, _, height = size.lower().partition("x")
    pixels = int(width) * int(height) if width.isdigit() and height.isdigit() else _MOST_PIXELS
    return max(_DEAREST_IMAGE if quality not in ("low", "medium") else 1584, math.ceil(pixels * _TOKENS_PER_PIXEL))


def videos(ask: Ask) -> Bound:
    """POST /v1/videos: seconds x size."""
    seconds = ask.number("seconds")
    remade = ask.endpoint != "/v1/videos"
    if seconds is None:
        seconds = LONGEST_VIDEO_S if remade else 4
    size = ask.sent.text("size").lower()
    size = size if size not in ("", "auto") else "720x1280"
    if remade and not ask.model:
        return ask.bound().without("a video made from another one, whose model is not known")
    return ask.bound(ways=((Quantity(("video_seconds",), seconds, size),),))
