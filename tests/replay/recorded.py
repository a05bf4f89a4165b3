"""The recorded traffic: where it is, how it is served again, and what each raw answer says was used.

The usage is read here from the raw bodies with a few plain lines, on purpose without Costwatch's own readers: this is
the second opinion that the rows are compared with.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ.get("RECORDINGS_DIR", Path(__file__).resolve().parents[2] / ".." / "shared" / "recordings"))
MISSING = None if (FOLDER / "replay.py").exists() else f"no recorded provider traffic in {FOLDER}"

#: what manages things and is not billed by itself
MANAGEMENT = re.compile(
    r"/v1/(assistants|threads|threads/[^/]+/messages|files|vector_stores.*|conversations"
    r"|realtime/(client_secrets|calls))"
)
#: billed, and reported by none of its answers until the run is looked at
RUNS = re.compile(r"/v1/threads/[^/]+/runs(/[^/]+/submit_tool_outputs)?")


def replayer() -> ModuleType:
    """The program that comes with the recordings."""
    spec = importlib.util.spec_from_file_location("recorded_replay", FOLDER / "replay.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(slots=True)
class Exchange:
    """One recorded exchange, and the address of the server that answers with exactly this one."""

    raw: dict[str, Any]
    base_url: str

    @property
    def id(self) -> str:
        return self.raw["id"]

    @property
    def path(self) -> str:
        return self.raw["path"].split("?")[0]

    @property
    def beta(self) -> bool:
        return "beta=true" in self.raw["path"]

    @property
    def endpoint(self) -> str:
        """The path without ids."""
        return re.sub(r"/(thread|run|vs)_[^/]+", r"/{\1}", self.path)

    @property
    def is_stream(self) -> bool:
        return "event-stream" in (self.raw["response_type"] or "")


@contextmanager
def served() -> Iterator[list[Exchange]]:
    """Serve every exchange. Equal requests were recorded several times: each further one gets a server of its own."""
    replay = replayer()
    layers: list[list[dict]] = []
    seen: Counter = Counter()
    for raw in replay.load():
        key = replay.key(raw["provider"], raw["path"], raw["request"])
        if seen[key] == len(layers):
            layers.append([])
        layers[seen[key]].append(raw)
        seen[key] += 1
    with ExitStack() as stack:
        exchanges = []
        for layer in layers:
            server = replay.serve(layer, port=0)
            server.daemon_threads = True
            server.block_on_close = False
            server.handle_error = lambda *_: None  # a client that hangs up is no news
            server.RequestHandlerClass.disable_nagle_algorithm = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            url = f"http://127.0.0.1:{server.server_address[1]}"
            exchanges += [Exchange(raw, url) for raw in layer]
        yield exchanges


def sessions() -> list[dict[str, Any]]:
    """The recorded Realtime sessions that hold events."""
    with gzip.open(FOLDER / "realtime.jsonl.gz", "rt") as lines:
        return [session for session in map(json.loads, lines) if session["events"]]


@dataclass(slots=True)
class Used:
    """What a raw answer says was used."""

    model: str = ""
    input: int = 0  # cached tokens included
    cached: int = 0
    written: int = 0  # to the cache
    output: int = 0
    reasoning: int = 0
    searches: int = 0  # of the web, as far as the usage counts them


def used(exchange: Exchange) -> Used | None:
    """The usage in the raw answer, or None where it holds none."""
    if exchange.raw["status"] >= 400:
        return None
    usage: dict[str, Any] = {}
    model = ""
    searches: int | None = None
    for part in _parts(exchange):
        holder = part.get("response") or part.get("message") or part
        if not isinstance(holder, dict):
            continue
        model = holder.get("model") or model
        searches = _searches(holder) if _searches(holder) is not None else searches
        if isinstance(holder.get("usage"), dict):
            usage |= {k: v for k, v in holder["usage"].items() if v is not None}  # later counts replace earlier ones
    if not usage:
        return None
    if exchange.raw["provider"] == "anthropic":
        return _anthropic(usage, model)
    return _openai(usage, model, searches or 0)


def _parts(exchange: Exchange) -> Iterator[dict[str, Any]]:
    body = exchange.raw["body"]
    texts = re.findall(r"^data:\s*(\{.*\})\s*$", body, re.M) if exchange.is_stream else [body]
    for text in texts:
        try:
            part = json.loads(text)
        except ValueError:
            continue
        if isinstance(part, dict):
            yield part


def _searches(answer: dict[str, Any]) -> int | None:
    """How often the web was searched: as reported, else the searches in the output (opening a page is none)."""
    if answer.get("tool_usage"):
        return (answer["tool_usage"].get("web_search") or {}).get("num_requests") or 0
    if re.search(r"-search-(preview|api)", answer.get("model") or ""):
        return 1  # these models search before they answer, once
    items = [item for item in answer.get("output") or [] if item.get("type") == "web_search_call"]
    return sum((item.get("action") or {}).get("type", "search") == "search" for item in items) or None


def _openai(usage: dict[str, Any], model: str, searches: int) -> Used:
    first = "prompt" if "prompt_tokens" in usage else "input"
    second = "completion" if "prompt_tokens" in usage else "output"
    read = usage.get(f"{first}_tokens_details") or {}
    written = usage.get(f"{second}_tokens_details") or {}
    return Used(
        model=model,
        input=usage[f"{first}_tokens"],
        cached=read.get("cached_tokens") or 0,
        written=read.get("cache_write_tokens") or 0,
        output=usage.get(f"{second}_tokens") or 0,
        reasoning=written.get("reasoning_tokens") or 0,
        searches=searches,
    )


def _anthropic(usage: dict[str, Any], model: str) -> Used:
    rounds = [r for r in usage.get("iterations") or [] if "input_tokens" in r] or [usage]
    cached = sum(r.get("cache_read_input_tokens") or 0 for r in rounds)
    written = sum(r.get("cache_creation_input_tokens") or 0 for r in rounds)
    return Used(
        model=model,
        input=sum(r["input_tokens"] for r in rounds) + cached + written,
        cached=cached,
        written=written,
        output=sum(r["output_tokens"] for r in rounds),
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        searches=(usage.get("server_tool_use") or {}).get("web_search_requests") or 0,
    )
