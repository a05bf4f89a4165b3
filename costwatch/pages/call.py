"""One call: what it did cost and why, how it was tried, what corrected it, and the budgets it counted in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

from budgets.counted import Counted, windows_of_call
from costwatch.formatting import duration, quantity
from costwatch.pages.calls import address_of
from costwatch.pages.flags import in_words
from costwatch.pages.presentation import used_in_words
from costwatch.pages.receipt import receipt_of
from tracking import calls, lists
from tracking.api.access import sees_all
from tracking.calls import Call, CallDetail
from tracking.users import emails_of

#: What each state of a hold says of a call in a window.
HOLD_STATES = {
    "open": "in flight: held until it ends",
    "settled": "counted",
    "void": "let go: nothing was billed",
    "expired": "never heard of again: counted at what was held",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and a value; `link` leads to others like it. `typed`: somebody chose the value."""

    name: str
    value: str
    link: str = ""
    typed: bool = False


@dataclass(frozen=True, slots=True)
class CountedLine:
    """A window that the call counted in."""

    counted: Counted
    whose: str
    state: str
    link: str


@login_required
@require_safe
def call(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """One call. Somebody else's: 404."""
    everything = sees_all(request.user)
    detail = calls.call(call_id, user_id=None if everything else request.user.pk)
    if detail is None:
        raise Http404
    one = detail.call
    email = request.user.email if one.user_id == request.user.pk else emails_of([one.user_id]).get(one.user_id, "")
    raw = next(
        (row.raw_usage for row in (*reversed(detail.corrections), detail.row) if row.raw_usage is not None), None
    )
    tries = lists.tries(detail.row)
    return render(
        request,
        "costwatch/call.html",
        {
            "call": one,
            "facts": _facts(detail, email=email, everything=everything),
            "flags": [(flag, in_words(flag)) for flag in one.flags],
            "receipt": receipt_of(detail.receipt),
            "corrections": [(row, [in_words(flag) for flag in row.flags]) for row in detail.corrections],
            "raw_usage": json.dumps(raw, indent=2, ensure_ascii=False) if raw is not None else "",
            "tries": tries if len(tries) > 1 else [],
            "windows": [_counted(counted, one, email) for counted in windows_of_call(one.id)],
            "may_price": one.cost is None and request.user.has_perm("tracking.add_rate"),
            "price_link": _model_link("price_model", one),
        },
    )


def reverse_or_none(route: str, *args: object) -> str:
    """The address of a route, "" where there is none: the pages may be part of another project."""
    try:
        return reverse(route, args=args)
    except NoReverseMatch:
        return ""


def _model_link(route: str, one: Call) -> str:
    address = reverse_or_none(route)
    return f"{address}?{urlencode({'provider': one.provider, 'model': one.model})}" if address else ""


def _facts(detail: CallDetail, *, email: str, everything: bool) -> list[Fact]:
    """What is known of a call; what is not known is left out."""
    one, row = detail.call, detail.row
    analysis = reverse_or_none("analysis")
    user = reverse_or_none("user", one.user_id) if everything and one.user_id else ""
    who = (email or f"account {one.user_id}") if everything and one.user_id else ""
    facts = [
        Fact("Model", one.model, _model_link("model", one), True),
        Fact("Model asked for", row.model_asked if row.model_asked != one.model else "", "", True),
        Fact("Provider", one.provider, address_of(provider=one.provider), True),
        Fact("Operation", one.operation),
        Fact("Endpoint", one.endpoint, "", True),
        Fact("Tier", one.tier if one.tier != "standard" else ""),
        Fact("Feature", one.feature, address_of(feature=one.feature), True),
        Fact("Analysis", one.analysis_id, f"{analysis}?{urlencode({'id': one.analysis_id})}" if analysis else "", True),
        Fact("User", who, user, True),
        *(
            Fact("API key" if name == "api_key" else f"Tag {name}", value, _tagged(name, value), True)
            for name, value in sorted(one.tags.items())
        ),
        Fact("Took", duration(one.latency_ms)),
        Fact("First answer after", duration(one.ttft_ms)),
        Fact("Streamed", "yes" if one.stream else ""),
        Fact("Try", str(one.attempt) if one.attempt > 1 else ""),
        Fact("Used", used_in_words(one)),
        Fact("Read from the cache", _tokens(one.cache_read_tokens)),
        Fact("Written to the cache", _tokens(one.cache_write_tokens)),
        Fact("Reasoning", _tokens(one.reasoning_tokens)),
        Fact("Error", one.error, "", True),
        Fact("Request id", row.request_id, "", True),
        Fact("Response id", _response_id(detail), "", True),
        Fact("Came by", one.source),
        Fact("Call id", str(one.id)),
    ]
    return [fact for fact in facts if fact.value]


def _tokens(count: int) -> str:
    return f"{quantity(count)} token{'' if count == 1 else 's'}" if count else ""


def _tagged(name: str, value: str) -> str:
    return address_of(key=value) if name == "api_key" else address_of(tag=f"{name}={value}")


def _response_id(detail: CallDetail) -> str:
    return next((row.response_id for row in (detail.row, *detail.corrections) if row.response_id), "")


def _counted(counted: Counted, one: Call, email: str) -> CountedLine:
    whose = counted.whose
    kind, _, key = whose.partition(":")
    if kind == "user":
        whose = email if one.user_id is not None and key == str(one.user_id) else f"account {key}"
    elif kind == "analysis":
        whose = key
    return CountedLine(counted, whose, HOLD_STATES[counted.state], reverse_or_none("budget_detail", counted.limit_id))
