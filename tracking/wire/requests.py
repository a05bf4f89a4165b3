"""What a request says: model, whether it streams, what its price depends on. Read once, and never stored."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tracking.wire import audio
from tracking.wire.answers import MAX_NAME_LENGTH
from tracking.wire.bodies import parse_json
from tracking.wire.endpoints import Endpoint, cloud_model

#: JSON bodies above this size are not parsed: only their model is looked for, in bytes
PARSE_BYTES = 64 << 20
CHARACTERS_PER_TOKEN = 4
#: texts of a request that are prompt, by the key they stand under
_PROMPT_KEYS = ("messages", "input", "prompt", "instructions", "system", "tools", "functions", "additional_messages")
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


@dataclass(slots=True)
class Sent:
    """A request as metering sees it."""

    fields: dict[str, Any]  # top-level members of the JSON body, or the fields of the form
    content: bytes = b""  # the JSON body
    upload: Any = None  # the form's audio file
    model: str = ""
    stream: bool = False

    def text(self, name: str) -> str:
        """A field's text, or ""; bounded, for names of sizes and formats."""
        value = self.fields.get(name)
        return value[:MAX_NAME_LENGTH] if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        """A field's whole number, or None."""
        value = self.fields.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def headers_of(message: Any) -> dict[str, str]:
    """The headers of a request or response of httpx2, by lower-case name: its own mapping searches a list each time."""
    return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in message.headers.raw}


def read(request: Any, endpoint: Endpoint, content_type: str) -> Sent:
    """Read a request (of httpx2) without consuming it. Never raises for what the body holds."""
    if content_type.startswith("application/json"):
        return _read_json(request, endpoint)
    if content_type.startswith("multipart/form-data"):
        return _read_form(getattr(request.stream, "fields", None) or ())
    return Sent(fields={}, model=cloud_model(request.url.path))


def _read_json(request: Any, endpoint: Endpoint) -> Sent:
    try:
        content = request.content
    except Exception:
        # A body that is streamed is not in memory: reading it would be the caller's loss. One that was redirected is.
        content = getattr(request.stream, "_stream", None)
        if not isinstance(content, bytes):
            return Sent(fields={})
    fields: Any = {}
    if len(content) <= PARSE_BYTES:
        try:
            fields = parse_json(content)
        except ValueError:
            fields = {}
    elif found := _MODEL.search(content[:65536]) or _MODEL.search(content[-65536:]):
        fields = {"model": found.group(1).decode("utf-8", "replace")}
    if not isinstance(fields, dict):
        fields = {}
    model = fields.get("model")
    if not isinstance(model, str):
        model = cloud_model(request.url.path)
    stream = fields.get("stream") is True or request.url.path.endswith(("streamRawPredict", "response-stream"))
    return Sent(fields=fields, content=content, model=model[:MAX_NAME_LENGTH].replace("\x00", ""), stream=stream)


def _read_form(parts: Any) -> Sent:
    fields: dict[str, Any] = {}
    upload = None
    for part in parts:
        name = getattr(part, "name", "")
        if hasattr(part, "file"):
            if name == "file":
                upload = part
        else:
            value = getattr(part, "value", "")
            fields[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    model = fields.get("model", "")
    return Sent(fields=fields, upload=upload, model=model[:MAX_NAME_LENGTH], stream=fields.get("stream") == "true")


def ask_for_usage(sent: Sent) -> bytes | None:
    """The body of an OpenAI stream request, with usage asked for; None when the caller asked himself."""
    options = sent.fields.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        return None
    if "stream_options" not in sent.fields and sent.fields:
        body = sent.content.rstrip()
        if body.endswith(b"}"):
            # Appended, not written anew: the rest of the body stays as it is, byte for byte.
            return body[:-1] + b',"stream_options":{"include_usage":true}}'
    wanted = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps({**sent.fields, "stream_options": wanted}, ensure_ascii=False, separators=(",", ":")).encode()


def facts(sent: Sent, operation: str) -> dict[str, Any]:
    """What the price depends on and only the request says."""
    found: dict[str, Any] = {}
    if tier := sent.text("service_tier"):
        found["service_tier_asked"] = tier
    if speed := sent.text("speed"):
        found["speed"] = speed
    if geo := sent.text("inference_geo"):
        found["inference_geo"] = geo
    if operation == "speech":
        text = sent.fields.get("input")
        if isinstance(text, str):
            found["characters"] = len(text)
    elif operation == "image_generation":
        found["images"] = _image_facts(sent)
    elif operation == "video_generation" and (seconds := sent.number("seconds")) is not None:
        found["video"] = {"seconds": seconds, "size": sent.text("size")}
    return found


def _image_facts(sent: Sent) -> dict[str, Any]:
    size = sent.text("size") or "1024x1024"
    quality = sent.text("quality") or "standard"
    return {"n": max(1, min(sent.number("n") or 1, 100)), "size": size, "quality": quality}


def audio_seconds(sent: Sent) -> float | None:
    """How long the uploaded sound is, measured, in seconds; None when it cannot be measured."""
    if sent.upload is None:
        return None
    return audio.duration_s(sent.upload.file, name=str(getattr(sent.upload, "filename", "") or ""))


def prompt_tokens(sent: Sent) -> int | None:
    """About how many tokens the texts of this request are; None when it has none that we know of."""
    characters = sum(_characters(sent.fields[key], 0) for key in _PROMPT_KEYS if key in sent.fields)
    return -(-characters // CHARACTERS_PER_TOKEN) if characters else None


def _characters(value: Any, depth: int) -> int:
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if depth > 12:
        return 0
    if isinstance(value, dict):
        return sum(
            _characters(member, depth + 1)
            for name, member in value.items()
            if name not in ("type", "role", "data", "image_url", "file_data", "id", "media_type", "cache_control")
        )
    if isinstance(value, list):
        return sum(_characters(member, depth + 1) for member in value)
    return 0
