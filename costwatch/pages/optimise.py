"""Where money could be saved, with money on each line."""

from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from costwatch.formatting import percent, quantity, usd
from costwatch.pages.asked import NONE, Asked
from tracking.optimise import Comparison, Findings, Used, compare, findings, models_used
from tracking.pricing import book
from tracking.users import emails_of

#: Shares of what is sent afresh that could be read from a cache.
SHARES = (25, 50, 75, 90)
DEFAULT_SHARE = 50
#: Lines of each list; dearer models of a comparison.
MOST = 10
MOST_DEARER = 15
_COLUMNS = {"analysis": "analysis_id"}


@login_required
@require_safe
def optimise(request: HttpRequest) -> HttpResponse:
    """What is dear, what was for nothing, and what the same would cost otherwise."""
    asked = Asked.of(request)
    share = next((share for share in SHARES if request.GET.get("share") == str(share)), DEFAULT_SHARE)
    rates = book.current()
    filters = {_COLUMNS.get(name, name): value for name, value in asked.filters.items() if name != "user"}
    found = findings(
        period=asked.period, user_id=asked.user_id, filters=filters, share=Decimal(share) / 100, rates=rates,
        at=asked.now,
    )  # fmt: skip
    used = models_used(found.looked_at)
    chosen = _chosen(used, request.GET.get("on", ""))
    emails = emails_of(call.user_id for call in found.calls) if asked.everyone else {}
    context = {
        "asked": asked,
        "found": found,
        "stats": _stats(found, share),
        "share": share,
        "shares": [(one, asked.link(share=one if one != DEFAULT_SHARE else None)) for one in SHARES],
        "features": [
            (line, _part(line.totals.cost, found.total), asked.link_to("calls", feature=line.name))
            for line in found.features
        ],
        "calls": [(*_links(asked, call), emails.get(call.user_id, "")) for call in found.calls],
        "caching": _linked(asked, [line for line in found.caching if line.could_save or line.saved]),
        "waiting": _linked(asked, found.waiting),
        "wasted": _linked(asked, found.wasted),
        "talkative": _linked(asked, found.talkative),
        "used": used[:100],
        "comparison": _cut(compare(found.looked_at, chosen, rates=rates, at=asked.now)) if chosen else None,
    }
    return render(request, "costwatch/optimise.html", context)


def _linked(asked: Asked, lines: list) -> list[tuple]:
    """The first lines, each with the addresses of its feature's calls and of its model's."""
    return [_links(asked, line) for line in lines[:MOST]]


def _links(asked: Asked, line: Any) -> tuple[Any, str, str]:
    keep = {"share": None, "on": None, "by": None}
    feature, model = line.feature or NONE, line.model or NONE
    return (
        line,
        asked.link_to("calls", feature=feature, **keep),
        asked.link_to("calls", feature=feature, provider=line.provider, model=model, **keep),
    )


def _chosen(used: list[Used], name: str) -> Used | None:
    """The model that the address names, else the dearest."""
    return next((one for one in used if f"{one.provider}/{one.model}" == name), next(iter(used), None))


def _cut(comparison: Comparison) -> dict:
    return {
        "all": comparison,
        "cheaper": comparison.cheaper[:MOST],
        "rest": comparison.cheaper[MOST:],
        "dearer": comparison.dearer[:MOST_DEARER],
    }


def _stats(found: Findings, share: int) -> list[dict]:
    """The figures at the top, each leading to its list."""
    return [
        {
            "title": "Could be read from the cache", "value": usd(found.cache_could_save), "link": "#caching",
            "note": f"at {share} % of what was sent afresh; {percent(found.hit_rate)} is read from it now",
        },
        {
            "title": "Could wait: batch or flex", "value": usd(found.waiting_saves), "link": "#waiting",
            "note": "for calls whose answers were not streamed to anybody",
        },
        {
            "title": "Paid for nothing", "value": usd(found.lost), "link": "#wasted",
            "note": f"failed or abandoned, and billed; {quantity(found.retried_calls)} "
            f"repeated attempt{'' if found.retried_calls == 1 else 's'}",
        },
        {
            "title": "Long answers", "value": usd(found.answers_cost), "link": "#answers",
            "note": "what answers cost where they are most of the cost",
        },
    ]  # fmt: skip


def _part(cost: Decimal, total: Decimal) -> Decimal:
    return cost / total if total > 0 else Decimal(0)
