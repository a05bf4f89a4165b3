"""An observation of Langfuse -> an item: as its tables, its API and its blob storage write it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tracking.imports.values import amount, count, email, id_of, members, milliseconds, moment, number, tags_of
from tracking.otlp.providers import named
from tracking.otlp.tokens import LANGFUSE_METERS

_GENERATIONS = ("GENERATION", "EMBEDDING")
#: A report in a provider's own words has one of these.
_PROVIDERS_WORDS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")


def columns(names: set[str]) -> bool:
    """Whether rows with these columns are Langfuse's observations."""
    if "startTime" in names:
        return bool(names & {"usageDetails", "providedModelName", "calculatedTotalCost", "totalCost", "traceId"})
    return "start_time" in names and bool(names & {"usage_details", "provided_model_name", "trace_id"})


def items(row: Mapping[str, Any], resolves: Callable[[str, str], bool]) -> Iterator[dict[str, Any]]:
    """The call of a generation. None for other observations, whose calls are generations inside of them."""
    model = _first(row, "model", "providedModelName", "provided_model_name")
    kind = str(row.get("type") or "GENERATION").upper()
    if not model or kind not in _GENERATIONS:
        return
    provider, model = named("", str(model), resolves)
    start, end = _first(row, "startTime", "start_time"), _first(row, "endTime", "end_time")
    costs = members(_first(row, "costDetails", "cost_details"))
    user = _first(row, "userId", "user_id")
    item: dict[str, Any] = {
        "id": id_of("langfuse", row.get("id")),
        "at": moment(start),
        "provider": provider,
        "model": model[:200],
        "feature": str(_first(row, "traceName", "trace_name", "name") or "")[:200],
        "latency_ms": milliseconds(start, end),
        "tags": tags_of(
            {
                "traceId": _first(row, "traceId", "trace_id"),
                "userId": user,
                "sessionId": _first(row, "sessionId", "session_id"),
                "environment": row.get("environment"),
                "promptName": _first(row, "promptName", "prompt_name"),
            }
        ),
        "user": email(user),
        "status": "error" if str(row.get("level")).upper() == "ERROR" else "ok",
        "facts": {},  # a call without usage is recorded too: it was made
        "given_usd": amount(_first(row, "totalCost", "total_cost", "calculatedTotalCost"))
        or amount(costs.get("total")),
    }
    if kind == "EMBEDDING":
        item["operation"] = "embeddings"
    item.update(_usage(row))
    yield item


def _first(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _usage(row: Mapping[str, Any]) -> dict[str, Any]:
    """`meters`, or the provider's own report as `usage`; nothing where it counts what we do not know."""
    details = {name: number(n) for name, n in members(_first(row, "usageDetails", "usage_details")).items()}
    if not any(details.values()):
        old = {"input": ("inputUsage", "inputTokens", "promptTokens"),
               "output": ("outputUsage", "outputTokens", "completionTokens")}  # fmt: skip
        details = {name: found for name, of in old.items() if (found := count(_first(row, *of)))}
    if any(count(details.get(name)) for name in _PROVIDERS_WORDS):
        return {"usage": details}
    meters: dict[str, int] = {}
    for name, value in details.items():
        if name == "total" or not (n := count(value)):
            continue
        if name not in LANGFUSE_METERS:
            return {}
        meters[LANGFUSE_METERS[name]] = meters.get(LANGFUSE_METERS[name], 0) + n
    if not meters:
        return {}
    _take_out_twice(meters, details)
    return {"meters": {"input_tokens": 0, "output_tokens": 0, **meters}}


def _take_out_twice(meters: dict[str, int], details: Mapping[str, Any]) -> None:
    """Langfuse's counts are disjoint. Who sends it the provider's sums with the parts beside them is told by the total:
    it is that of `input` and `output` alone.
    """
    inside, outside, total = (count(details.get(name)) for name in ("input", "output", "total"))
    if total != inside + outside or total == sum(meters.values()):
        return
    parts = {name: count(n) for name, n in details.items() if name not in ("input", "output", "total")}
    of_output = sum(n for name, n in parts.items() if name.startswith("output"))
    of_input = sum(parts.values()) - of_output
    reasoning = sum(n for name, n in parts.items() if name.startswith("output_reasoning"))
    if of_input <= inside and of_output <= outside:
        meters["input_tokens"] = inside - of_input
        meters["output_tokens"] = outside - of_output + reasoning
