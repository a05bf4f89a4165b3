"""What a provider's answer says about its own cost: usage, model, ids, and the facts that prices need beside usage."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

MAX_NAME_LENGTH = 200
#: bounds of a usage report: what is beyond is not usage
MAX_COUNT = 10**18  # beyond, no database column and no bill can follow
MAX_DEPTH, MAX_MEMBERS, MAX_TEXT_LENGTH, MAX_LIST = 8, 100, 100, 200

_CODE = re.compile(r"[A-Za-z0-9_.:\-]{1,100}")
#: the end states of things that run in the background
ENDED = frozenset(["completed", "incomplete", "failed", "cancelled", "canceled", "expired", "succeeded", "ended"])


@dataclass(slots=True)
class Answer:
    """What is known of an answer so far. Streams add to it event by event."""

    model: str = ""
    id: str = ""
    tier: str = ""
    usage: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    error: str = ""  # the provider's error code, never its text
    state: str = ""  # "completed", "in_progress", ... where the provider names one
    background: bool = False
    created_s: int | None = None

    def flag(self, name: str) -> None:
        """Remember that something was odd, once."""
        if name not in self.flags:
            self.flags.append(name)


def read(value: dict[str, Any], answer: Answer) -> None:
    """Add what one JSON object (a whole answer, or the data of one stream event) says to `answer`."""
    inner = value
    for name in ("response", "message"):
        candidate = value.get(name)
        if isinstance(candidate, dict) and ("usage" in candidate or "model" in candidate):
            inner = candidate
            break
    read_names(inner, answer)
    _read_facts(inner, answer)
    usage = inner.get("usage")
    if usage is None and inner is not value:
        usage = value.get("usage")
    if usage is not None:
        add_usage(usage, answer)
    if (error := inner.get("error") or value.get("error")) is not None:
        answer.error = error_code(error) or answer.error


def read_names(inner: dict[str, Any], answer: Answer) -> None:
    """Model, id, state and tier of one object."""
    answer.model = _name(inner.get("model")) or answer.model
    answer.id = _name(inner.get("id")) or answer.id
    answer.state = _name(inner.get("status")) or answer.state
    answer.tier = _name(inner.get("service_tier")) or answer.tier
    if inner.get("background") is True:
        answer.background = True
    created = inner.get("created_at", inner.get("created"))
    if isinstance(created, (int, float)) and not isinstance(created, bool) and math.isfinite(created):
        answer.created_s = int(created)


def add_usage(usage: Any, answer: Answer) -> None:
    """Lay a usage report over earlier ones: later ones are cumulative, and leave out what is unchanged."""
    if not isinstance(usage, dict):
        answer.flag("unreadable_usage")
        return
    clean = bounded(usage, answer)
    if answer.usage is None:
        answer.usage = clean
    else:
        answer.usage.update({name: value for name, value in clean.items() if value is not None})


def sum_usage(usage: Any, answer: Answer) -> None:
    """Add a usage report to what was reported before: for streams whose every result has a usage of its own."""
    before, answer.usage = answer.usage, None
    add_usage(usage, answer)
    if before is not None and answer.usage is not None:
        answer.usage = _sum(before, answer.usage)
        answer.flag("summed_usage")
    elif answer.usage is None:
        answer.usage = before


def bounded(value: Any, answer: Answer, depth: int = 0) -> Any:
    """A usage report without what JSON cannot carry and without texts: numbers, and short names."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) <= MAX_COUNT:
            return value
        answer.flag("absurd_usage")
        return f"{'-' if value < 0 else ''}1e{value.bit_length() * 30103 // 100000}"  # not a number any more
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        answer.flag("not_finite")
        return str(value)  # "nan", "inf": the reader flags what is not a number
    if isinstance(value, str):
        return value[:MAX_TEXT_LENGTH]
    if depth >= MAX_DEPTH:
        answer.flag("deep_usage")
        return None
    if isinstance(value, dict):
        if len(value) > MAX_MEMBERS:
            answer.flag("large_usage")
        items = list(value.items())[:MAX_MEMBERS]
        return {str(name)[:MAX_TEXT_LENGTH]: bounded(member, answer, depth + 1) for name, member in items}
    if isinstance(value, list):
        if len(value) > MAX_LIST:
            answer.flag("large_usage")
        return [bounded(member, answer, depth + 1) for member in value[:MAX_LIST]]
    return str(value)[:MAX_TEXT_LENGTH]


def error_code(error: Any) -> str:
    """The code (else the type) of an error object, if it looks like one: never its message."""
    if isinstance(error, dict):
        nested = error.get("error")
        if isinstance(nested, dict):
            error = nested
        for name in ("code", "type"):
            text = error.get(name)
            if isinstance(text, int) and not isinstance(text, bool):
                text = str(text)
            if isinstance(text, str) and _CODE.fullmatch(text):
                return text
    return ""


def _read_facts(inner: dict[str, Any], answer: Answer) -> None:
    tools = inner.get("tool_usage")
    if isinstance(tools, dict) and tools:
        answer.facts["tool_usage"] = bounded(tools, answer)
        if isinstance(model := _image_model(inner.get("tools")), str):
            answer.facts["image_model"] = model
    drawings = inner.get("svg_usage")
    if isinstance(drawings, dict):
        answer.facts["svg_usage"] = bounded(drawings, answer)
    output = inner.get("output")
    if isinstance(output, list):
        read_items(output, answer)
    duration = inner.get("duration")
    if isinstance(duration, (int, float, str)) and not isinstance(duration, bool) and "usage" not in inner:
        seconds = _seconds(duration)
        if seconds is not None:
            answer.facts["audio_seconds"] = seconds
    data = inner.get("data")
    if isinstance(data, list) and "usage" not in inner:
        answer.facts["data_count"] = len(data)


def read_items(items: list[Any], answer: Answer) -> None:
    """Count the tools that are billed by their use among output items of a response."""
    searches = files = 0
    containers: set[str] = set()
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "file_search_call":
            files += 1
        elif kind == "web_search_call":
            action = item.get("action")
            # Opening a page and finding in it are part of the search that led there.
            if not isinstance(action, dict) or action.get("type", "search") == "search":
                searches += 1
        elif kind == "code_interpreter_call" and isinstance(item.get("container_id"), str):
            containers.add(item["container_id"])
        elif kind == "image_generation_call" and isinstance(item.get("svg_usage"), dict):
            drawn = bounded(item["svg_usage"], answer)
            before = answer.facts.get("svg_usage")
            answer.facts["svg_usage"] = drawn if before is None else _sum(before, drawn)
    if files:
        answer.facts["file_searches"] = files
    if containers:
        answer.facts["containers"] = len(containers)
    if searches and "tool_usage" not in answer.facts:
        answer.facts["web_searches"] = searches


def _image_model(tools: Any) -> str | None:
    """The model that a response's image tool draws with, where the response names it."""
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and tool.get("type") == "image_generation":
            return _name(tool.get("model")) or None
    return None


def video_facts(value: dict[str, Any]) -> dict[str, Any]:
    """Seconds and size of a video object."""
    seconds, size = _seconds(value.get("seconds")), _name(value.get("size"))
    return {"video": {"seconds": seconds, "size": size}} if seconds is not None else {}


def _seconds(value: Any) -> int | float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(seconds) or seconds < 0 or seconds > 1e9:
        return None
    return int(seconds) if seconds.is_integer() else round(seconds, 3)


def _name(value: Any) -> str:
    return value[:MAX_NAME_LENGTH].replace("\x00", "") if isinstance(value, str) else ""


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    total = dict(one)
    for name, value in other.items():
        before = total.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            total[name] = _sum(before, value)
        elif isinstance(value, int) and isinstance(before, int) and not isinstance(value, bool):
            total[name] = before + value
        elif before is None:
            total[name] = value
    return total
