"""The price book: what was in force on any day."""

from __future__ import annotations

from datetime import date, datetime, time
from itertools import groupby
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from costwatch.pages.inputs import whole
from costwatch.pages.models import address_of
from costwatch.pages.without import may_price
from tracking.models import Rate
from tracking.periods import day_of, site_zone
from tracking.pricing.listing import listed_models, listed_providers, rates_of
from tracking.pricing.meters import METERS

PAGE = 15
_STANDARD = ("standard", "", "", 0, 1_000_000)


@login_required
@require_safe
def price_book(request: HttpRequest) -> HttpResponse:
    """Models and their rates as of a day, by provider and name."""
    now, problems = timezone.now(), []
    search = request.GET.get("q", "").strip("\x00 ")[:200]
    provider = request.GET.get("provider", "").strip("\x00 ")[:40]
    at, day = _moment(request.GET.get("at", ""), now, problems)
    first = whole(request.GET.get("from"), digits=6)
    found = listed_models(search=search, provider=provider, limit=PAGE + 1, offset=first)
    shown = found[:PAGE]
    rates = rates_of(shown, at=at)
    lines = [
        {
            "provider": one,
            "model": name,
            "link": address_of("model", one, name),
            "tiers": _tiers(rates[one, name]),
            "short": _short(rates[one, name]),
        }
        for one, name in shown
    ]
    query = {"q": search, "provider": provider, "at": day.isoformat() if day != day_of(now) else ""}
    kept = {name: value for name, value in query.items() if value}
    return render(
        request,
        "costwatch/price_book.html",
        {
            "search": search,
            "provider": provider,
            "providers": listed_providers(),
            "day": day,
            "is_today": day == day_of(now),
            "problems": problems,
            "lines": lines,
            "may_price": may_price(request.user),
            "newer": _page(kept, first - PAGE) if first else "",
            "older": _page(kept, first + PAGE) if len(found) > PAGE else "",
        },
    )


def _short(rates: list[Rate]) -> list[Rate]:
    """What most ask for: the standard price of a million tokens in and out, one's own where there is one."""
    plain = [r for r in rates if (r.tier, r.region, r.variant, r.above_context_tokens, r.per) == _STANDARD]
    found = {r.meter: r for r in sorted(plain, key=lambda r: r.own)}
    return [found[meter] for meter in ("input_tokens", "output_tokens") if meter in found]


def _tiers(rates: list[Rate]) -> list[tuple[str, list[Rate]]]:
    """The rates of each tier, the standard one first."""
    order = list(METERS)
    place = {meter: number for number, meter in enumerate(order)}
    ranked = sorted(
        rates,
        key=lambda r: (
            r.tier != "standard",
            r.tier,
            r.region,
            place.get(r.meter, 99),
            r.variant,
            r.above_context_tokens,
        ),
    )
    return [(tier, list(some)) for tier, some in groupby(ranked, key=lambda rate: rate.tier)]


def _page(kept: dict[str, str], first: int) -> str:
    query = {**kept, **({"from": first} if first > 0 else {})}
    return f"{reverse('price_book')}?{urlencode(query)}"


def _moment(text: str, now: datetime, problems: list[str]) -> tuple[datetime, date]:
    """The end of a day that is over, so that its own changes count; the moment itself of today."""
    today = day_of(now)
    if not text:
        return now, today
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        problems.append("A day is written as 2026-05-31; shown are today's prices.")
        return now, today
    if not 2000 <= day.year <= 2200:
        problems.append("Days lie between the years 2000 and 2200; shown are today's prices.")
        return now, today
    return (now, day) if day == today else (datetime.combine(day, time(23, 59, 59), tzinfo=site_zone()), day)
