"""What a request's body can be at most, in input tokens. Pure.

Text: a tokenizer that works on bytes makes at most one token of each byte, and the JSON of a request is never shorter
than the text in it. So the size of the body bounds its text, tools and schemas; what is not text (images, sounds) is
taken out of that size and counted by the providers' own maxima; what is not in the body at all (earlier responses,
files, pages) is bounded by the model's context window alone.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass, field
from typing import Any

from tracking.wire import audio

#: what surrounds the text of a request: roles, separators
FRAME_TOKENS = 64
#: the instructions that a provider adds for tools, and for output that must have a form
TOOLS_TOKENS = 1024
FORM_TOKENS = 512
#: a tool of the provider's own design (computer, bash, editor) brings a description that the request does not show
OWN_TOOL_TOKENS = 1200
AUDIO_TOKENS_PER_S = 12  # the providers say 10
#: 8 kbit/s: no speech codec in use needs less
LEAST_AUDIO_BYTES_PER_S = 1000
MAX_NODES = 200_000

_NOT_PLAIN = re.compile(
    rb'"(?:image|image_url|input_image|input_audio|input_file|file|file_id|document|container_upload|item_reference'
    rb'|computer_screenshot|image_generation_call|conversation|previous_response_id|file_data|audio)"'
)


@dataclass(slots=True)
class Content:
    """What a body holds."""

    text_tokens: int = 0
    images: list[str] = field(default_factory=list)  # the detail asked for of each, or ""
    audio_seconds: float = 0.0
    elsewhere: str = ""  # what is not in the body, in words: only the context window bounds it

    @property
    def audio_tokens(self) -> int:
        return math.ceil(self.audio_seconds * AUDIO_TOKENS_PER_S) + (16 if self.audio_seconds else 0)


def read(fields: dict[str, Any], content: bytes) -> Content:
    """What the JSON body `content`, parsed as `fields`, holds."""
    found = Content(text_tokens=len(content) + FRAME_TOKENS)
    tools = fields.get("tools") or fields.get("functions")
    if tools or fields.get("mcp_servers"):
        found.text_tokens += TOOLS_TOKENS
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type", "function") not in ("function", "custom"):
            found.text_tokens += OWN_TOOL_TOKENS
    if any(fields.get(name) for name in ("response_format", "output_format", "output_config", "text", "thinking")):
        found.text_tokens += FORM_TOKENS
    for name in ("previous_response_id", "conversation", "prompt_id"):
        if fields.get(name):
            found.elsewhere = name
    if isinstance(fields.get("prompt"), dict):  # a prompt that the provider keeps
        found.elsewhere = "a stored prompt"
    if _NOT_PLAIN.search(content):
        _walk([fields.get(name) for name in ("messages", "input", "system", "prompt", "requests")], found)
    return found


def _walk(start: list[Any], found: Content) -> None:
    stack: list[Any] = start
    for _ in range(MAX_NODES):
        if not stack:
            return
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict) and not _part(value, found):
            stack.extend(member for member in value.values() if isinstance(member, (dict, list)))
    found.elsewhere = found.elsewhere or "a body too large to look through"


def _part(value: dict[str, Any], found: Content) -> bool:
    """Count one part of a message; False where it is none of those that are not text: its members are looked at."""
    kind = value.get("type")
    if kind in ("image_url", "input_image", "computer_screenshot"):
        place = value.get("image_url")
        place = place if isinstance(place, dict) else {"url": place}
        _image(place.get("url"), str(place.get("detail") or value.get("detail") or ""), found)
    elif kind == "image_generation_call":
        _image(value.get("result"), "", found)
    elif kind == "image":
        source = value.get("source")
        _image(source.get("data") if isinstance(source, dict) else None, "", found)
    elif kind == "input_audio":
        _audio(value.get("input_audio"), found)
    elif kind in ("file", "input_file", "container_upload", "item_reference"):
        found.elsewhere = found.elsewhere or f"a {str(kind).replace('_', ' ')}"
    elif kind == "document":
        source = value.get("source")
        inline = isinstance(source, dict) and source.get("type") in ("text", "content")
        if not inline:
            found.elsewhere = found.elsewhere or "a document"
        return not inline
    elif isinstance(value.get("audio"), dict) and "id" in value["audio"] and "role" in value:
        found.elsewhere = found.elsewhere or "an earlier answer's audio"  # a chat that refers to what was spoken
        return False
    else:
        return False
    return True


def _image(data: Any, detail: str, found: Content) -> None:
    found.images.append(detail)
    if isinstance(data, str) and (data.startswith("data:") or len(data) > 4096 and not data.startswith("http")):
        found.text_tokens -= len(data)


def _audio(value: Any, found: Content) -> None:
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, str):
        found.elsewhere = found.elsewhere or "audio"
        return
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        found.audio_seconds += len(data) / LEAST_AUDIO_BYTES_PER_S
        return
    found.text_tokens -= len(data)
    found.audio_seconds += seconds_at_most(raw)


def seconds_at_most(sound: Any, *, name: str = "") -> float:
    """How long a sound (bytes or an open file) is: measured, else the longest that its size allows."""
    try:
        measured = audio.duration_s(sound, name=name)
    except Exception:
        measured = None
    return measured if measured is not None else size_of(sound) / LEAST_AUDIO_BYTES_PER_S


def size_of(file: Any) -> int:
    """The bytes of an upload; those of the largest that providers take where that cannot be told (a pipe)."""
    if isinstance(file, (bytes, bytearray, str)):
        return len(file)
    try:
        position = file.tell()
        end = file.seek(0, 2)
        file.seek(position)
    except (OSError, ValueError, AttributeError):
        return 25 << 20
    return end


def image_tokens(details: list[str], *, most: int) -> int:
    """The tokens of images, each of which costs `most` at most; an image of low detail is small for every model."""
    return sum(min(most, 2833 if most > 40_000 else 700) if detail == "low" else most for detail in details)
