"""OpenAI's sound, images and videos, as the local provider answers them."""

from __future__ import annotations

import base64
import time
from math import ceil

from costwatch.demo.quantities import AUDIO_TOKENS_PER_S, sound_seconds, tokens, wav, words
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, answer, events, openai_error, text

IMAGE_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
TINY_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
TOKENS_PER_S_OF_SPEECH = 20


def transcription(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/audio/transcriptions, in every response format."""
    if "file" not in request.files:
        return openai_error(400, "file is missing", code="missing_required_parameter")
    seconds = sound_seconds(request.files["file"][1])
    spoken = "".join(words(["transcript", round(seconds)], at_most=max(1, ceil(seconds * 2))))
    if request.model.startswith("whisper"):
        usage = {"type": "duration", "seconds": ceil(seconds)}
    else:
        usage = _token_usage(request, seconds, len(spoken.split()))
    if request.form.get("stream") == "true" and not request.model.startswith("whisper"):
        deltas = [{"type": "transcript.text.delta", "delta": word + " "} for word in spoken.split(" ")]
        return events(
            [*deltas, {"type": "transcript.text.done", "text": spoken, "usage": usage}], usage=usage, done=True
        )
    return _transcript(request, spoken, seconds, usage)


def translation(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/audio/translations: only `verbose_json` says how long the sound was."""
    if "file" not in request.files:
        return openai_error(400, "file is missing", code="missing_required_parameter")
    seconds = sound_seconds(request.files["file"][1])
    spoken = "".join(words(["translation", round(seconds)]))
    return _transcript(request, spoken, seconds, None)


def _token_usage(request: Request, seconds: float, output: int) -> dict:
    audio, said = max(1, ceil(seconds * AUDIO_TOKENS_PER_S)), tokens(request.form.get("prompt"))
    return {
        "type": "tokens",
        "input_tokens": audio + said,
        "input_token_details": {"audio_tokens": audio, "text_tokens": said},
        "output_tokens": output,
        "total_tokens": audio + said + output,
    }


def _transcript(request: Request, spoken: str, seconds: float, usage: dict | None) -> Reply:
    form = request.form.get("response_format", "json")
    if form == "text":
        return text(spoken + "\n")
    if form == "srt":
        return text(f"1\n00:00:00,000 --> {_clock(seconds, ',')}\n{spoken}\n\n")
    if form == "vtt":
        return text(f"WEBVTT\n\n00:00:00.000 --> {_clock(seconds, '.')}\n{spoken}\n\n", "text/vtt; charset=utf-8")
    result: dict = {"text": spoken}
    if form == "verbose_json":
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": spoken, "tokens": [1], "temperature": 0.0}
        scores = {"avg_logprob": -0.1, "compression_ratio": 1.1, "no_speech_prob": 0.01}
        result |= {"task": "transcribe", "language": "english", "duration": seconds, "segments": [segment | scores]}
    if usage:
        result["usage"] = usage
    return answer(result)


def _clock(seconds: float, point: str) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{int(seconds % 1 * 1000):03}"


def speech(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/audio/speech: a sound, in pieces."""
    said = str(request.json.get("input") or "")
    if not said:
        return openai_error(400, "input is missing", code="missing_required_parameter")
    sound = wav(max(0.2, len(said) / 15))
    pieces = [sound[n : n + 4096] for n in range(0, len(sound), 4096)]
    if request.json.get("stream_format") == "sse":
        usage = {"input_tokens": tokens(said), "output_tokens": ceil(len(said) / 15 * TOKENS_PER_S_OF_SPEECH)}
        usage["total_tokens"] = sum(usage.values())
        deltas = [{"type": "speech.audio.delta", "audio": base64.b64encode(p).decode()} for p in pieces]
        return events([*deltas, {"type": "speech.audio.done", "usage": usage}], usage=usage)
    kind = {"wav": "audio/wav", "pcm": "audio/pcm", "opus": "audio/opus"}.get(request.json.get("response_format", ""))
    return Reply(content_type=kind or "audio/mpeg", pieces=pieces)


def images(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/images/generations, edits and variations: dall-e reports nothing, the newer models report tokens."""
    fields = request.fields
    count = int(fields.get("n") or 1)
    if request.model.startswith("dall-e") or not request.model:
        data = [{"url": f"https://images.example.com/{shelf.new_id('img')}.png"} for _ in range(count)]
        return answer({"created": int(time.time()), "data": data})
    quality = str(fields.get("quality") or "high").replace("auto", "high")
    size = str(fields.get("size") or "1024x1024").replace("auto", "1024x1024")
    said, seen = tokens(fields.get("prompt")), 323 * len(request.files)
    output = IMAGE_TOKENS.get(quality, 1056) * count
    usage = {
        "input_tokens": said + seen,
        "input_tokens_details": {"text_tokens": said, "image_tokens": seen},
        "output_tokens": output,
        "output_tokens_details": {"image_tokens": output, "text_tokens": 0},
        "total_tokens": said + seen + output,
    }
    picture = {"b64_json": base64.b64encode(TINY_PNG).decode()}
    about = {"background": "opaque", "output_format": "png", "quality": quality, "size": size}
    if str(fields.get("stream")).lower() == "true":
        common = {**about, **picture, "created_at": int(time.time())}
        kind = "image_edit" if request.path.endswith("edits") else "image_generation"
        partial = {**common, "type": f"{kind}.partial_image", "partial_image_index": 0}
        return events([partial, {**common, "type": f"{kind}.completed", "usage": usage}], usage=usage, named=True)
    return answer({"created": int(time.time()), **about, "data": [picture] * count, "usage": usage})


def video_create(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/videos: the film is ready at the second look."""
    fields = request.fields
    made = {
        "id": shelf.new_id("video_"),
        "object": "video",
        "model": request.model or "sora-2",
        "status": "queued",
        "progress": 0,
        "created_at": int(time.time()),
        "completed_at": None,
        "expires_at": None,
        "error": None,
        "prompt": fields.get("prompt"),
        "remixed_from_video_id": None,
        "seconds": str(fields.get("seconds") or "4"),
        "size": str(fields.get("size") or "720x1280"),
    }
    shelf.put(made["id"], made)
    return answer(made)


def video_retrieve(request: Request, shelf: Shelf, video_id: str) -> Reply:
    """GET /v1/videos/{id}"""
    made = shelf.get(video_id)
    if not made:
        return openai_error(404, f"No video {video_id}.", code="not_found")
    later = {"queued": ("in_progress", 50), "in_progress": ("completed", 100), "completed": ("completed", 100)}
    made["status"], made["progress"] = later[made["status"]]
    if made["status"] == "completed":
        made["completed_at"] = made["completed_at"] or int(time.time())
    return answer(made)


def video_content(request: Request, shelf: Shelf, video_id: str) -> Reply:
    """GET /v1/videos/{id}/content"""
    if not shelf.get(video_id):
        return openai_error(404, f"No video {video_id}.", code="not_found")
    return Reply(content_type="video/mp4", pieces=[b"\0" * 1024] * 4)
