"""The most that an attempt can cost, told from its request before it is sent. Pure: no Django, no I/O.

found = bound(ask)                        # what it can use at most, or why nothing bounds it
worst(found, at=now, rates=book).cost     # in USD
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tracking.bounds import batches, chat, media
from tracking.bounds.cost import Worst, affordable, worst
from tracking.bounds.request import Ask
from tracking.bounds.types import Bound, Output, Quantity
from tracking.wire.requests import PARSE_BYTES

__all__ = ["Ask", "Bound", "Output", "Quantity", "Worst", "affordable", "bound", "worst"]

_BY_ENDPOINT: dict[str, Callable[[Ask], Bound]] = {
    "/v1/chat/completions": chat.openai_chat,
    "/v1/completions": chat.openai_completions,
    "/v1/responses": chat.openai_responses,
    "/v1/responses/compact": chat.openai_responses,
    "/v1/threads/runs": chat.openai_run,
    "/v1/threads/{id}/runs": chat.openai_run,
    "/v1/messages": chat.anthropic_messages,
    "/v1/complete": chat.anthropic_messages,
    "/v1/messages/batches": batches.anthropic,
    "/v1/batches": batches.openai,
    "/v1/realtime": batches.realtime,
    "/v1/live": batches.session_length,
}
_BY_OPERATION: dict[str, Callable[[Ask], Bound]] = {
    "embeddings": media.embeddings,
    "moderation": media.free,
    "token_count": media.free,
    "transcription": media.transcription,
    "translation": media.transcription,
    "speech": media.speech,
    "image_generation": media.images,
    "video_generation": media.videos,
}


def bound(ask: Ask) -> Bound:
    """The most that the request can use, or why nothing bounds it. Raises nothing but bugs."""
    read = _BY_ENDPOINT.get(ask.endpoint) or _BY_OPERATION.get(ask.operation)
    if read is None:
        return ask.bound().without(f"nothing is known of {ask.endpoint}")
    if not ask.sent.fields and ask.sent.upload is None and ask.operation not in ("moderation", "token_count"):
        return ask.bound().without("the request's body cannot be read before it is sent")
    if len(ask.content) > PARSE_BYTES:
        return ask.bound().without("the request's body is too large to look through")
    found = read(ask)
    if not found.model and not found.problem:
        return replace(found, problem="the request names no model")
    return found
