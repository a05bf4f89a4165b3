"""Whether a span is a call that a provider bills, and which: a span -> an item as `tracking.items` takes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tracking.events import SERVICE_BY_OPERATION
from tracking.otlp import conventions as names
from tracking.otlp.providers import provider_of
from tracking.otlp.spans import CLIENT, CONSUMER, PRODUCER, SERVER, Span
from tracking.otlp.tokens import loaded, usage_of, whole
from tracking.rows import MAX_TAG_CHARS, MAX_TAGS

#: Our operation by what spans call it. Operations that are not listed are those of agents, tools, workflows, stores.
OPERATIONS = {
    **{operation: operation for operation in SERVICE_BY_OPERATION if operation != "other"},
    **dict.fromkeys(("responses", "response", "generate_content", "message", "messages", "converse"), "chat"),
    "completion": "text_completion",
    "embedding": "embeddings",
    "generation": "chat",
    "llm": "chat",
}
#: Spans of these hold calls; they are none.
_MANY_CALLS = ("invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "agent", "tool")
#: Ids shorter than this are not random enough to tell two calls apart (some local servers count to 999).
MIN_RESPONSE_ID = 16
_ERROR_CODE = re.compile(r"[\w.:\-]{1,100}", re.ASCII)
_CLASS = re.compile(r"<class '([\w.]+)'>", re.ASCII)
_Names = tuple[str, ...]


@dataclass(slots=True)
class Call:
    """A span that stands for one call of a provider."""

    span: Span
    operation: str
    provider: str
    model: str  # the best name there is
    usage: dict[str, Any] | None
    response_id: str
    about: dict[str, Any]  # attributes that say who and what for: its own, else those of spans around the same call

    def inherit(self, spans: Iterable[Span]) -> None:
        """Take over from other spans of the same call, the nearest first, what this one does not say."""
        for span in spans:
            self.about = {**{name: value for name, value in span.attributes.items() if says_whose(name)}, **self.about}

    @property
    def tells_use(self) -> bool:
        """Whether it says what was used."""
        return self.usage is not None


def says_whose(name: str) -> bool:
    """Whether an attribute says who and what a call was for."""
    return name in names.ABOUT or name.startswith(names.PREFIXES)


def operation_of(span: Span) -> str:
    """The ledger's operation; "" for a span that is no call of a provider."""
    if span.kind in (SERVER, PRODUCER, CONSUMER):
        return ""
    told = span.text(*names.OPERATION) or span.text(*names.OBSERVATION_TYPE)
    told = told or span.text(*names.REQUEST_TYPE) or span.text(*names.SPAN_KIND)
    if told:
        operation = OPERATIONS.get(told.lower(), "")
        if not operation and span.kind == CLIENT and told.lower() not in _MANY_CALLS and _has_usage(span):
            return "other"  # a name of the instrumentation's own
        return operation
    if span.get(*names.AGENT) is not None:
        return ""  # older agents repeat the sum of their calls
    return "chat" if span.text("gen_ai.request.model", "gen_ai.response.model") and _has_usage(span) else ""


def many_calls(span: Span) -> bool:
    """Whether a span stands for an agent's, a tool's or a server's work: what is inside is not the call around it."""
    if span.kind in (SERVER, PRODUCER, CONSUMER):
        return True
    told = (span.text(*names.OPERATION) or span.text(*names.OBSERVATION_TYPE) or span.text(*names.SPAN_KIND)).lower()
    return told in _MANY_CALLS


def _has_usage(span: Span) -> bool:
    return any(whole(span.attributes.get(name)) is not None for name in (*names.INPUT, *names.OUTPUT, *names.TOTAL))


def call_of(span: Span, resolves: Callable[[str, str], bool]) -> Call | None:
    """The call that a span stands for; None for other spans. `resolves(provider, model)`: whether the price book has
    the model.
    """
    operation = operation_of(span)
    if not operation:
        return None
    model = span.text(*names.MODEL) or span.text(*names.MODEL_ASKED)
    provider, model = provider_of(span, model, resolves)
    response_id = _cut(span.text(*names.RESPONSE_ID), 200)
    about = {name: value for name, value in span.attributes.items() if says_whose(name)}
    return Call(span, operation, provider, model, usage_of(span, operation=operation), response_id, about)


def item_of(call: Call, *, id: str, known_email: Callable[[str], bool], priced: bool) -> dict[str, Any]:
    """The item that is recorded. `known_email`: whether calls may be booked for an account; `priced`: whether the
    price book has the model, so that costs that an instrumentation computed are not needed.
    """
    span = call.span
    asked = span.text(*names.MODEL_ASKED)
    item: dict[str, Any] = {
        "id": id,
        "at": Decimal(span.start_ns) / 1_000_000_000,
        "provider": call.provider,
        "model": _cut(call.model, 200) or None,
        "model_asked": _cut(asked, 200) or None,
        "operation": call.operation,
        "facts": {},  # a call without usage is recorded too: it was made, and has no price
        "response_id": call.response_id,
        "request_id": _cut(span.text(*names.REQUEST_ID), 200),
        "stream": _streamed(span),
        "feature": _attributed(call, names.FEATURE, names.FEATURE_ELSE, names.SERVICE),
        "analysis": _attributed(call, names.ANALYSIS, names.ANALYSIS_ELSE),
        "tags": _tags(call),
        **_outcome(span, call.tells_use),
        **_timing(span),
    }
    if call.usage is not None:
        item["usage"] = call.usage
    if tier := span.text(*names.TIER) or span.text(*names.TIER_ASKED):
        item["facts"] = {"service_tier": _cut(tier, 40)}
    _set_user(item, call, known_email)
    if (cost := _cost(span, computed=not priced)) is not None:
        item["cost_usd"] = cost
    return item


def _outcome(span: Span, tells_use: bool) -> dict[str, Any]:
    """How the call ended, as the metered clients say it."""
    code = span.text(*names.ERROR)
    http_status = whole(span.get(*names.HTTP_STATUS))
    http_status = http_status if http_status is not None and 100 <= http_status <= 599 else None
    failed = span.failed or bool(code) or (http_status or 0) >= 400
    if not failed:
        return {"status": "ok", "http_status": http_status}
    if found := _CLASS.fullmatch(code):
        code = found[1]
    short = code.rpartition(".")[2].lower()
    status = "incomplete" if tells_use else "error"
    if not tells_use and http_status is None:
        if "timeout" in short:
            status = "timeout"
        elif "connection" in short or "connect" in short:
            status = "connection_error"
        elif "cancel" in short or short == "generatorexit":
            status = "cancelled"
    return {"status": status, "http_status": http_status, "error": code if _ERROR_CODE.fullmatch(code) else ""}


def _timing(span: Span) -> dict[str, Any]:
    """Milliseconds."""
    timing: dict[str, Any] = {}
    if 0 < span.end_ns - span.start_ns < 2**31 * 1_000_000:
        timing["latency_ms"] = (span.end_ns - span.start_ns) / 1_000_000
    first = span.get(*names.TTFT_S)
    if first.__class__ in (int, float) and 0 <= first < 86_400:
        timing["ttft_ms"] = first * 1000
    elif text := span.text(*names.FIRST_CONTENT_AT):
        try:
            waited_ms = datetime.fromisoformat(text.strip('"')).timestamp() * 1000 - span.start_ns / 1_000_000
        except ValueError:
            return timing
        if 0 <= waited_ms < 86_400_000:
            timing["ttft_ms"] = waited_ms
    return timing


def _streamed(span: Span) -> bool:
    return span.get(*names.STREAM) is True or span.get(*names.TTFT_S, *names.FIRST_CONTENT_AT) is not None


def _cut(text: str, length: int) -> str:
    return text.replace("\0", "")[:length].strip()


def _attributed(call: Call, told: _Names, otherwise: _Names, of_resource: _Names = ()) -> str:
    """The first of: our attribute on the span, on its resource; what others say on the span, on its resource."""
    for holder, of in ((call.about, told), (call.span.resource, told), (call.about, otherwise)):
        for name in of:
            value = holder.get(name)
            if value.__class__ in (str, int) and (text := _cut(str(value), 200)):
                return text
    for name in of_resource:
        value = call.span.resource.get(name)
        if value.__class__ is str and not value.startswith("unknown_service"):
            return _cut(value, 200)
    return ""


def _set_user(item: dict[str, Any], call: Call, known_email: Callable[[str], bool]) -> None:
    """Our own attribute names an account. Others name whom the application serves: an account only where it is the
    email address of one, else a tag.
    """
    told = call.about.get(names.USER[0])
    told = call.span.resource.get(names.USER[0]) if told is None else told
    if told not in (None, ""):
        item["user"] = told
    user = _attributed(call, (), names.USER_ELSE)
    if not user:
        return
    if told in (None, "") and "@" in user and known_email(user):
        item["user"] = user
    elif len(item["tags"]) < MAX_TAGS:
        item["tags"].setdefault("user", user)


def _tags(call: Call) -> dict[str, str]:
    tags = {"trace_id": call.span.trace_id}
    for name, of in (("service", names.SERVICE), ("environment", names.ENVIRONMENT), ("agent", names.AGENT)):
        if value := _attributed(call, (), of, of):
            tags[name] = value
    marks = next((call.about[name] for name in names.TAGS if name in call.about), None)
    if isinstance(marks, list):
        tags["tags"] = ",".join(marks)[:MAX_TAG_CHARS].replace("\0", "")
    for holder in (call.span.resource, call.about):
        for name, value in holder.items():
            if name.startswith(names.PREFIXES):
                _add_tag(tags, name, value)
    return tags


def _add_tag(tags: dict[str, str], name: str, value: Any) -> None:
    prefix = next(one for one in names.PREFIXES if name.startswith(one))
    tag = name[len(prefix) :].replace("\0", "")[:100]
    # One place is kept for the user, one for the key.
    if tag in ("", "api_key") or (len(tags) >= MAX_TAGS - 2 and tag not in tags):
        return
    if value.__class__ in (str, int, bool):
        tags[tag] = _cut(value if value.__class__ is str else str(value).lower(), MAX_TAG_CHARS)


def _cost(span: Span, *, computed: bool) -> str | None:
    """USD as a decimal text, where the cost is told."""
    told = span.get(*names.COST)
    if told is None and computed:
        told = span.get(*names.COMPUTED_COST)
        if told is None and (details := loaded(span.text(*names.COST_DETAILS))):
            told = details.get("total")
    try:
        amount = Decimal(str(told)) if told.__class__ in (str, int, float) else Decimal(0)
    except InvalidOperation:
        return None
    # Instrumentations say 0 where they do not know.
    return format(amount, "f") if amount.is_finite() and 0 < amount <= 1_000_000 else None
