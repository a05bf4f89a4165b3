"""Bounds of what is answered later or over and over: batches, and the responses of a realtime session. Pure."""

from __future__ import annotations

import json
from dataclasses import replace

from tracking.bounds import chat
from tracking.bounds.request import Ask
from tracking.bounds.types import Bound, Output, Quantity
from tracking.wire.requests import Sent

#: sessions billed by their length are recorded, and held for, this often
SESSION_STEP_S = 60


def anthropic(ask: Ask) -> Bound:
    """POST /v1/messages/batches: the sum of its requests."""
    listed = ask.fields.get("requests")
    if not isinstance(listed, list) or not listed:
        return ask.bound().without("a batch without requests")
    parts = []
    for one in listed:
        params = one.get("params") if isinstance(one, dict) else None
        if not isinstance(params, dict):
            return ask.bound().without("a batch with a request that cannot be read")
        body = json.dumps(params, ensure_ascii=False).encode("utf-8", "surrogatepass")
        sent = Sent(fields=params, content=body, model=str(params.get("model") or ""))
        part = chat.anthropic_messages(replace(ask, sent=sent, endpoint="/v1/messages"))
        if part.problem:
            return ask.bound().without(f"a request of the batch has no bound: {part.problem}")
        parts.append(replace(part, tiers=("batch",)))
    return replace(parts[0], parts=(*parts[0].parts, *_flat(parts[1:])))


def _flat(parts: list[Bound]) -> list[Bound]:
    return [one for part in parts for one in (replace(part, parts=()), *part.parts)]


def openai(ask: Ask) -> Bound:
    """POST /v1/batches: its requests are in a file that the provider has."""
    return ask.bound().without("a batch whose requests are in a file of the provider's")


def session_length(ask: Ask) -> Bound:
    """What a session billed by its length uses until it is asked about again, and once more as long."""
    return ask.bound(ways=((Quantity(("session_seconds",), 2 * SESSION_STEP_S),),))


def realtime(ask: Ask) -> Bound:
    """The next response of a session: what fits into the window, and the longest answer, both spoken."""
    limits = ask.limits
    written = ask.number("max_output_tokens") or limits.output
    if limits.context is None or written is None:
        return ask.bound().without("a session with a model whose context window is not known")
    read = Quantity(("input_tokens", "input_audio_tokens", "input_image_tokens"), limits.context)
    output = Output(written, given=True, meters=("output_tokens", "output_audio_tokens"))
    return ask.bound(ways=((read,),), output=output, context_tokens=limits.context, rests_on=("context_window",))
