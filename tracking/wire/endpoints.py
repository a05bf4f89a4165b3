"""Which requests are billable, and what they are: path -> endpoint.

Paths are matched from their end, so that prefixes of proxies, gateways and Azure (`/openai/deployments/x/...`) do not
matter. Endpoint names are templates without ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# What to do with an answer.
CALL = "call"  # a billable (or free) attempt: one event
RESPONSE = "response"  # the same; may run in the background
RUN = "run"  # the same; its usage comes with the run's end
RUN_STEP = "run_step"  # goes on with a run that has its event already
VIDEO = "video"  # starts a video
BATCH = "batch"  # starts a batch
GET_RESPONSE = "get_response"
GET_RUN = "get_run"
GET_VIDEO = "get_video"
GET_BATCH = "get_batch"
FILE_CONTENT = "file_content"  # may be the output of a batch
BATCH_RESULTS = "batch_results"  # the results of a message batch, line by line

#: retrievals: no event unless they bring a result to bill
RETRIEVALS = frozenset({GET_RESPONSE, GET_RUN, GET_VIDEO, GET_BATCH, FILE_CONTENT, BATCH_RESULTS, RUN_STEP})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a request is. `name` is its path template, `operation` as in `tracking.events`."""

    name: str
    operation: str
    action: str = CALL
    ids: tuple[str, ...] = ()  # what stood where the template says {id}


_OPENAI_POST = {
    "chat/completions": ("chat", CALL),
    "completions": ("text_completion", CALL),
    "embeddings": ("embeddings", CALL),
    "responses": ("chat", RESPONSE),
    "responses/compact": ("chat", CALL),
    "responses/input_tokens": ("token_count", CALL),
    "responses/{id}/cancel": ("chat", GET_RESPONSE),
    "audio/transcriptions": ("transcription", CALL),
    "audio/translations": ("translation", CALL),
    "audio/speech": ("speech", CALL),
    "images/generations": ("image_generation", CALL),
    "images/edits": ("image_generation", CALL),
    "images/variations": ("image_generation", CALL),
    "moderations": ("moderation", CALL),
    "decisions": ("other", CALL),
    "videos": ("video_generation", VIDEO),
    "videos/edits": ("video_generation", VIDEO),
    "videos/extensions": ("video_generation", VIDEO),
    "videos/{id}/remix": ("video_generation", VIDEO),
    "threads/runs": ("chat", RUN),
    "threads/{id}/runs": ("chat", RUN),
    "threads/{id}/runs/{id}/submit_tool_outputs": ("chat", RUN_STEP),
    "threads/{id}/runs/{id}/cancel": ("chat", GET_RUN),
    "batches": ("other", BATCH),
    "batches/{id}/cancel": ("other", GET_BATCH),
}
_OPENAI_GET = {
    "responses/{id}": ("chat", GET_RESPONSE),
    "threads/{id}/runs": ("chat", GET_RUN),
    "threads/{id}/runs/{id}": ("chat", GET_RUN),
    "videos": ("video_generation", GET_VIDEO),
    "videos/{id}": ("video_generation", GET_VIDEO),
    "batches": ("other", GET_BATCH),
    "batches/{id}": ("other", GET_BATCH),
    "files/{id}/content": ("other", FILE_CONTENT),
}
_ANTHROPIC_POST = {
    "messages": ("chat", CALL),
    "messages/count_tokens": ("token_count", CALL),
    "messages/batches": ("chat", BATCH),
    "complete": ("text_completion", CALL),
}
_ANTHROPIC_GET = {"messages/batches/{id}/results": ("chat", BATCH_RESULTS)}
_TABLES = {
    ("openai", "POST"): _OPENAI_POST,
    ("openai", "GET"): _OPENAI_GET,
    ("anthropic", "POST"): _ANTHROPIC_POST,
    ("anthropic", "GET"): _ANTHROPIC_GET,
}

#: first segments whose requests manage things and bill nothing by themselves
_MANAGEMENT = {
    "openai": frozenset(
        """
        admin assistants audio/voice_consents audio/voices chatkit containers conversations files live/sessions models
        organization projects realtime/calls realtime/client_secrets realtime/sessions realtime/transcription_sessions
        realtime/translations skills threads uploads vaults vector_stores videos/characters webhook_endpoints
        """.split()  # noqa: SIM905
    ),
    "anthropic": frozenset(
        """
        agents environments files memory_stores messages/batches models oauth organizations skills tunnels
        user_profiles vaults webhooks
        """.split()  # noqa: SIM905
    ),
}
#: sub-paths of billable things that only manage them
_MANAGING_ENDS = frozenset(["cancel", "pause", "resume", "archive", "unpause", "validate"])

_CLOUD_MODEL = re.compile(
    r"/(?:models?|publishers/anthropic/models)/([^/]+?)(?::|/)(?:stream)?(?:rawPredict|invoke(?:-with-response-stream)?)$",
    re.I,
)
_COUNT_TOKENS = re.compile(r"count-tokens(?:@\d+)?:rawPredict$")
_VERSION = re.compile(r"v\d+(?:beta\d*|alpha\d*)?|openai|anthropic|api")
_ID = re.compile(r".*\d.*|.{33,}|[^a-z_]+")


@lru_cache(maxsize=2048)
def find(*, kind: str, method: str, path: str) -> Endpoint | None:
    """The endpoint of a request of an SDK of `kind` ("openai" or "anthropic"); None for what needs no event."""
    table = _TABLES.get((kind, method))
    if table is None:
        return None
    segments = [segment for segment in path.split("/") if segment]
    if kind == "anthropic" and (found := _cloud(path)) is not None:
        return found if method == "POST" else None
    for length in range(min(len(segments), 5), 0, -1):
        found = _match(table, segments[-length:])
        if found is not None:
            return found
    return _unknown(kind, segments) if method == "POST" else None


def cloud_model(path: str) -> str:
    """The model that a Bedrock or Vertex path names, or ""."""
    found = _CLOUD_MODEL.search(path)
    return found.group(1) if found else ""


def _match(table: dict[str, tuple[str, str]], segments: list[str]) -> Endpoint | None:
    exact = "/".join(segments)
    if exact in table:
        return Endpoint(f"/v1/{exact}", *table[exact])
    for template, meaning in table.items():
        parts = template.split("/")
        if len(parts) != len(segments) or "{id}" not in parts:
            continue
        if all(part == "{id}" or part == segment for part, segment in zip(parts, segments, strict=True)):
            ids = tuple(segment for part, segment in zip(parts, segments, strict=True) if part == "{id}")
            return Endpoint(f"/v1/{template}", *meaning, ids)
    return None


def _cloud(path: str) -> Endpoint | None:
    if _COUNT_TOKENS.search(path):
        return Endpoint("/v1/messages/count_tokens", "token_count")
    return Endpoint("/v1/messages", "chat") if _CLOUD_MODEL.search(path) else None


def _unknown(kind: str, segments: list[str]) -> Endpoint | None:
    """A POST that nobody told us about: it may cost money, so it leaves an event, unless it is known to manage only."""
    rest = segments
    for index, segment in enumerate(segments):
        if _VERSION.fullmatch(segment):
            rest = segments[index + 1 :]
    if len(rest) > 2 and rest[0] == "deployments":  # Azure names the deployment before the operation
        rest = rest[2:]
    if not rest or rest[0] in _MANAGEMENT[kind] or "/".join(rest[:2]) in _MANAGEMENT[kind]:
        return None
    if rest[-1] in _MANAGING_ENDS:
        return None
    name = "/".join("{id}" if _ID.fullmatch(segment) else segment for segment in rest[:6])
    if any(name in (known, f"{known}/{{id}}") for known in ("evals", "fine_tuning/alpha/graders/validate")):
        return None
    if name == "chat/completions/{id}":  # changes the metadata of a stored completion
        return None
    if name == "sessions" or name.startswith(("sessions/{id}/resources", "deployments")) and kind == "anthropic":
        return None
    return Endpoint(f"/v1/{name}"[:200], "other")
