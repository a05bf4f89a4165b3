"""Bounds of requests that are answered in text: chat, responses, messages, completions, runs. Pure."""

from __future__ import annotations

from typing import Any

from tracking.bounds import content, tools
from tracking.bounds.content import Content
from tracking.bounds.limits import ANY_IMAGE_TOKENS
from tracking.bounds.media import image_output_tokens
from tracking.bounds.request import Ask, tiers_of
from tracking.bounds.tools import Tools
from tracking.bounds.types import Bound, Output, Quantity

#: what the legacy completions put out where the caller says nothing
COMPLETION_TOKENS = 16
_CACHED = ("cache_write_tokens",)


def openai_chat(ask: Ask) -> Bound:
    """POST /v1/chat/completions."""
    fields, start = ask.fields, ask.bound()
    given = ask.number("max_completion_tokens") or ask.number("max_tokens")
    field = "max_completion_tokens" if ask.provider in ("openai", "azure") else "max_tokens"
    spoken = "audio" in str(fields.get("modalities") or "") or "audio" in fields
    output = _output(ask, given, field, answers=ask.count("n"))
    if output is None:
        return start.without("neither a maximum of output nor the model's own limit is known")
    if spoken:
        output = Output(
            output.tokens, output.answers, output.given, output.field, ("output_tokens", "output_audio_tokens")
        )
    if isinstance(fields.get("prediction"), dict):  # what was predicted and is not used is billed as output
        output = Output(output.tokens + len(ask.content), output.answers, output.given, "", output.meters)
    found = content.read(fields, ask.content)
    quantities: list[Quantity] = []
    if fields.get("web_search_options") is not None or "-search-" in ask.model:
        if not ask.model.startswith("gpt-4o"):
            return start.without("a model that searches the web, as often as it likes")
        found.elsewhere = "pages of the web"
        quantities.append(Quantity(("web_searches",), 1))
    return _finish(ask, found, output, Tools(), quantities)


def openai_completions(ask: Ask) -> Bound:
    """POST /v1/completions."""
    prompts = ask.fields.get("prompt")
    many = isinstance(prompts, list) and bool(prompts) and not isinstance(prompts[0], int)
    answers = max(ask.count("n"), ask.count("best_of")) * (len(prompts) if many else 1)
    given = ask.number("max_tokens")
    if given is None and ask.provider in ("openai", "azure"):
        given = COMPLETION_TOKENS
    output = _output(ask, given, "max_tokens", answers=answers)
    if output is None:
        return ask.bound().without("neither a maximum of output nor the model's own limit is known")
    found = content.read({}, ask.content)
    # The prompt is read once for each of the answers asked for, at most.
    return _finish(ask, found, output, Tools(), [], windows=len(prompts) if many else 1)


def openai_responses(ask: Ask) -> Bound:
    """POST /v1/responses, and its compaction."""
    used = tools.of_openai(ask.fields)
    if used.problem:
        return ask.bound().without(used.problem)
    output = _output(ask, ask.number("max_output_tokens"), "max_output_tokens")
    if output is None:
        return ask.bound().without("neither a maximum of output nor the model's own limit is known")
    if ask.endpoint.endswith("/compact"):
        output = Output(output.tokens, given=output.given)
    elif not output.given:
        output = Output(output.tokens * used.rounds, field=output.field)
    found = content.read(ask.fields, ask.content)
    quantities = [
        Quantity((meter,), amount)
        for meter, amount in (
            ("web_searches", used.web_searches),
            ("file_searches", used.file_searches),
            ("containers", used.containers),
        )
        if amount
    ]
    if ask.fields.get("context_management"):
        used.rounds += 1
        output = Output(output.tokens * 2, given=output.given)
    bound = _finish(ask, found, output, used, quantities)
    return _with_images(ask, bound, used.images) if used.images and not bound.problem else bound


def anthropic_messages(ask: Ask) -> Bound:
    """POST /v1/messages (and the clouds that serve it)."""
    fields = ask.fields
    used = tools.of_anthropic(fields)
    if used.problem:
        return ask.bound().without(used.problem)
    if fields.get("fallback") or fields.get("fallbacks"):
        return ask.bound().without("another model may answer in its place")
    output = _output(ask, ask.number("max_tokens") or ask.number("max_tokens_to_sample"), "max_tokens")
    if output is None:
        return ask.bound().without("neither a maximum of output nor the model's own limit is known")
    thinking = fields.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and budget > output.tokens:  # interleaved with tools it may exceed the maximum
        output = Output(output.tokens + budget, given=output.given)
    if fields.get("context_management"):
        # What was said is summed up first: read once more, and written by the model as long as it can.
        used.rounds += 1
        output = Output(output.tokens + (ask.limits.output or output.tokens), given=output.given)
    if used.rounds > 1:
        output = Output(output.tokens * used.rounds, given=output.given)
    searches = [Quantity(("web_searches",), used.web_searches)] if used.web_searches else []
    bound = _finish(ask, content.read(fields, ask.content), output, used, searches)
    return bound if bound.problem else _with_advisors(ask, bound, used)


def openai_run(ask: Ask) -> Bound:
    """POST /v1/threads/.../runs: bounded only where the caller bounds both sides."""
    read, written = ask.number("max_prompt_tokens"), ask.number("max_completion_tokens")
    if not (ask.model and read and written):
        return ask.bound().without("a run without model, max_prompt_tokens and max_completion_tokens")
    output = Output(written, given=True)
    return ask.bound(ways=((Quantity(("input_tokens", *_CACHED), read),),), output=output, context_tokens=read)


def _output(ask: Ask, given: int | None, field: str, *, answers: int = 1) -> Output | None:
    if given is not None:
        return Output(given, answers, given=True)
    limit = ask.limits.output
    return None if limit is None else Output(limit, answers, field=field)


def _finish(
    ask: Ask, found: Content, output: Output, used: Tools, quantities: list[Quantity], *, windows: int = 1
) -> Bound:
    """The bound of a request whose content, output and tools are known."""
    window = ask.limits.context
    most = ask.limits.image_tokens or ANY_IMAGE_TOKENS
    images = content.image_tokens(found.images, most=most)
    written = ("cache_write_tokens", *(("cache_write_1h_tokens",) if b'"1h"' in ask.content else ()))
    if ask.kind == "anthropic" and b'"cache_control"' not in ask.content:
        written = ()
    elif ask.kind != "anthropic" and b'"prompt_cache' in ask.content:
        written = (*written, "cache_write_12h_tokens")
    plain = ("input_tokens", *written)
    elsewhere = found.elsewhere or ("what its tools find" if used.rounds > 1 else "")
    total = found.text_tokens + images + found.audio_tokens
    if elsewhere:
        if window is None:
            return ask.bound().without(f"{elsewhere}, and the model's context window is not known")
        total = window
    once = total if window is None else min(total, window * windows)
    text = max(0, once - images - found.audio_tokens) if once < total else found.text_tokens
    if elsewhere or once < total:
        # Whatever it is, it fits into the window: all of it counts as what costs most.
        kinds = ("input_audio_tokens",) if found.audio_tokens else ()
        read = [Quantity((*plain, *kinds, "input_image_tokens"), once * used.rounds)]
    else:
        read = [
            Quantity(plain, text * used.rounds),
            Quantity((*plain, "input_image_tokens"), images),
            Quantity(("input_audio_tokens",), found.audio_tokens),
        ]
    rests_on = (
        *(("context_window",) if elsewhere or once < total else ()),
        *(("tool_calls",) if used.rounds > 1 else ()),
    )
    return ask.bound(
        ways=((*(one for one in read if one.amount or one is read[0]), *quantities),),
        output=output,
        context_tokens=once,
        tiers=tiers_of(ask),
        regions=_regions(ask),
        rests_on=rests_on,
    )


def _regions(ask: Ask) -> tuple[str, ...]:
    """Where it may be worked on: where the request does not say, the workspace's default decides."""
    if ask.kind != "anthropic":
        return ("",)
    geo = ask.fields.get("inference_geo")
    if isinstance(geo, str) and geo:
        return ("",) if geo in ("global", "not_available") else (geo.lower()[:20],)
    return ("", "us")


def _with_advisors(ask: Ask, bound: Bound, used: Tools) -> Bound:
    parts = []
    for model, uses in used.advisors:
        limits = ask.limits_of(model)
        if not model or limits.context is None or limits.output is None:
            return bound.without("an advisor whose model is not known")
        parts.append(
            Bound(
                ask.provider,
                model,
                ways=(
                    (Quantity(("input_tokens", "cache_write_tokens", "cache_write_1h_tokens"), limits.context * uses),),
                ),
                output=Output(limits.output * uses),
                context_tokens=limits.context,
                tiers=bound.tiers,
                regions=bound.regions,
            )
        )
    return ask.with_parts(bound, parts)


def _with_images(ask: Ask, bound: Bound, images: int) -> Bound:
    tool: dict[str, Any] = next(
        t for t in ask.fields["tools"] if isinstance(t, dict) and t.get("type") == "image_generation"
    )
    model = str(tool.get("model") or "gpt-image-1.5")
    tokens = image_output_tokens(model, str(tool.get("size") or ""), str(tool.get("quality") or ""))
    return ask.with_parts(
        bound,
        [
            Bound(
                ask.provider,
                model,
                ways=((Quantity(("input_tokens", "input_image_tokens"), bound.context_tokens * images),),),
                output=Output(tokens * images, meters=("output_tokens", "output_image_tokens")),
            )
        ],
    )
