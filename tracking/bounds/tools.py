"""How often a provider works on by itself inside one request: hosted tools, servers of tools, advisors. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: tools that the caller runs: the provider stops and waits for their result
_CALLERS_OWN = frozenset(
    {
        *("function", "custom", "namespace", "computer", "computer_use_preview", "local_shell", "apply_patch", ""),
        *("mcp_toolset", "memory"),
    }
)
#: Anthropic's tools that the caller runs, by the beginning of their dated type
_ANTHROPIC_OWN = ("custom", "function", "bash_", "text_editor_", "computer_", "memory_")
#: Anthropic's tools that only choose among the tools of the request
_ANTHROPIC_CHOOSERS = ("tool_search_tool_",)


@dataclass(slots=True)
class Tools:
    """The rounds that a request may take, and what each tool may add to the bill."""

    rounds: int = 1  # how often the model is asked, at most
    web_searches: int = 0
    file_searches: int = 0
    containers: int = 0
    images: int = 0
    advisors: list[tuple[str, int]] = field(default_factory=list)  # (model, uses)
    problem: str = ""  # why nothing bounds it


def of_openai(fields: dict[str, Any]) -> Tools:
    """The tools of a Responses request."""
    found = Tools()
    hosted = [tool for tool in _listed(fields.get("tools")) if not _is_callers(tool)]
    if not hosted:
        return found
    calls = fields.get("max_tool_calls")
    if not isinstance(calls, int) or isinstance(calls, bool) or calls < 0:
        names = ", ".join(sorted({_kind(tool) for tool in hosted}))
        found.problem = f"tools that the provider runs ({names}) and no max_tool_calls"
        return found
    found.rounds = calls + 1
    for tool in hosted:
        kind = _kind(tool)
        if kind.startswith("web_search"):
            found.web_searches = calls
        elif kind == "file_search":
            found.file_searches = calls
        elif kind in ("code_interpreter", "shell"):
            found.containers = max(1, calls)
        elif kind == "image_generation":
            found.images = calls
    return found


def of_anthropic(fields: dict[str, Any]) -> Tools:
    """The tools of a Messages request."""
    found = Tools()
    if fields.get("mcp_servers"):
        found.problem = "tools of an MCP server, whose calls nothing limits"
        return found
    for tool in _listed(fields.get("tools")):
        kind = _kind(tool)
        if not kind or kind.startswith(_ANTHROPIC_OWN):
            continue
        uses = tool.get("max_uses")
        if not isinstance(uses, int) or isinstance(uses, bool) or uses < 0:
            found.problem = f"a tool that the provider runs ({kind}) and no max_uses"
            return found
        found.rounds += uses
        if kind.startswith("web_search"):
            found.web_searches += uses
        elif kind.startswith("advisor_"):
            found.advisors.append((str(tool.get("model") or ""), uses))
        elif not kind.startswith(("web_fetch", "code_execution", *_ANTHROPIC_CHOOSERS)):
            found.problem = f"a tool of an unknown kind ({kind})"
            return found
    return found


def _listed(tools: Any) -> list[dict[str, Any]]:
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _kind(tool: dict[str, Any]) -> str:
    kind = tool.get("type")
    return kind[:60] if isinstance(kind, str) else ""


def _is_callers(tool: dict[str, Any]) -> bool:
    kind = _kind(tool)
    return kind in _CALLERS_OWN or (kind == "tool_search" and tool.get("execution") == "client")
