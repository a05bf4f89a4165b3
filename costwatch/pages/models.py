"""Models: what was paid for which, what has no price, and one model with its prices over time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from costwatch import overview
from costwatch.formatting import change, quantity, usd
from costwatch.pages import home
from costwatch.pages.asked import Asked
from costwatch.pages.charts import MOST_SERIES, Chart, Series
from tracking.api.access import sees_all
from tracking.lists import Where
from tracking.model_spend import ModelSpend, paid_by_meter, used
from tracking.periods import site_zone
from tracking.pricing.listing import rates_of
from tracking.pricing.meters import METERS
from tracking.pricing.past import Known, MeterPast, known_as, past_of

#: Series of the chart of prices.
MOST_METERS = 6


def may_price(user: Any) -> bool:
    """Whether an account may enter prices here: staff who see everybody's calls and may add rates."""
    return sees_all(user) and user.has_perm("tracking.add_rate")


def address_of(route: str, provider: str, model: str) -> str:
    """The page of a model."""
    return f"{reverse(route)}?{urlencode({'provider': provider, 'model': model})}"


@login_required
@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """The models of a period: what was paid, what a unit came to, and which have no price."""
    asked = Asked.of(request)
    keep = {name: value for name, value in asked.filters.items() if name == "user"}
    asked = replace(
        asked, filters=keep, query={n: v for n, v in asked.query.items() if n not in asked.filters or n in keep}
    )
    found = used(period=asked.period, before=asked.previous, user_id=asked.user_id)
    total = sum((line.totals.cost for line in found), Decimal(0))
    lines = [_line(asked, line, total) for line in found]
    unpriced = [line for line in lines if line["spend"].totals.unpriced]
    return render(
        request,
        "costwatch/models.html",
        {
            "asked": asked,
            "lines": lines,
            "unpriced": unpriced,
            "may_price": may_price(request.user),
            "stats": [
                {"title": "Models", "value": quantity(len(found))},
                {"title": "Cost", "value": usd(total), "unpriced": sum(x["spend"].totals.unpriced for x in unpriced)},
            ],
        },
    )


def _line(asked: Asked, line: ModelSpend, total: Decimal) -> dict[str, Any]:
    share = line.totals.cost / total if total > 0 else None
    names = {"provider": line.provider, "model": line.model}
    return {
        "spend": line,
        "link": asked.link_to("model", **names),
        "price_link": address_of("price_model", line.provider, line.model),
        "calls_link": asked.link_to("calls", **names, price="unpriced"),
        "is_known": bool(line.totals.unpriced and line.model and known_as(line.provider, line.model)),
        "share": share,
        "width": float(round(min(max(share or 0, 0), 1) * 100, 2)),
        "change": change(line.totals.cost, line.before),
        "is_new": not line.before,
        "effective": line.effective,
    }


@login_required
@require_safe
def model(request: HttpRequest) -> HttpResponse:
    """One model: what it cost and for what, what each meter was paid, and its prices over time."""
    provider, name = (request.GET.get(key, "").strip("\x00 ")[:200] for key in ("provider", "model"))
    asked = Asked.of(request, by="feature")
    user_id = asked.user_id
    asked = replace(
        asked,
        filters={},
        query={**{n: v for n, v in asked.query.items() if n not in asked.filters}, "provider": provider, "model": name},
    )
    known = known_as(provider, name) if provider and name else Known("", "")
    past = past_of(provider, name, known) if name else []
    spending, by = _spending(asked, provider, name, user_id)
    if not past and not (spending and spending.total.calls):
        raise Http404
    asked = replace(asked, by=by)
    where = Where(
        since=asked.period.starts_at, until=asked.period.ends_at, user_id=user_id,
        filters={"provider": provider, "model": name},
    )  # fmt: skip
    paid = paid_by_meter(where) if spending and spending.total.calls else None
    now = timezone.now()
    return render(
        request,
        "costwatch/model.html",
        {
            "asked": asked,
            "provider": provider,
            "model": name,
            "known": known if known and (known.provider, known.model) != (provider, name) else None,
            "spending": spending,
            "total": home.total_of(asked, spending) if spending else None,
            "chart": home.chart_of(asked, spending, {"model": name}, {}) if spending and spending.total.calls else None,
            "tabs": [(title, asked.link(by=key), key == by) for key, title in _tabs(user_id).items()],
            "effective": _effective(spending, provider, name, asked, user_id),
            "paid": paid,
            "prices": _price_chart(past, now),
            "steps": _steps(past),
            "rates": _rates(provider, name, known, now),
            "may_price": may_price(request.user),
            "price_link": address_of("price_model", provider, name),
            "book_link": f"{reverse('price_book')}?{urlencode({'q': known.model or name})}",
            "calls_link": asked.link_to("calls", provider=provider, model=name, by=None),
        },
    )


def _tabs(user_id: int | None) -> dict[str, str]:
    """What a model's spending is split by: features where everybody's is shown, for which alone they are kept."""
    return {"feature": "Feature", "service": "Service"} if user_id is None else {"service": "Service"}


def _spending(asked: Asked, provider: str, name: str, user_id: int | None) -> tuple[overview.Spending | None, str]:
    by = asked.by if asked.by in _tabs(user_id) else next(iter(_tabs(user_id)))
    filters = {"model": name} if by == "feature" else {"provider": provider, "model": name}
    if user_id is not None:
        filters["user"] = str(user_id)
    found = overview.spending(
        period=asked.period, before=asked.previous, by=by, dimensions=[by], filters=filters, by_hour=False,
        most=MOST_SERIES,
    )  # fmt: skip
    return found, by


def _effective(
    spending: overview.Spending | None, provider: str, name: str, asked: Asked, user_id: int | None
) -> tuple[Decimal, str] | None:
    if spending is None or not spending.total.calls:
        return None
    lines = used(period=asked.period, before=asked.period, user_id=user_id, of=(provider, name))
    return lines[0].effective if lines else None


def _price_chart(past: list[MeterPast], now: datetime) -> Chart | None:
    """The prices of tokens over time; None where none has changed."""
    meters = [one for one in past if one.is_tokens][:MOST_METERS]
    moments = sorted(
        {step.since for one in meters for step in one.steps if step.since is not None and step.since <= now}
    )
    if not moments:
        return None
    points: list[datetime | None] = [None, *moments] if any(one.at(None) for one in meters) else list(moments)
    zone = site_zone()
    labels = [f"{at.astimezone(zone):%-d %b %Y}" if at else "before" for at in points] + ["today"]
    series = [
        Series(name=one.meter, values=[step.per_million if (step := one.at(at)) else None for at in (*points, now)])
        for one in meters
    ]
    return Chart(
        id="prices", title="USD per 1M tokens", labels=labels, series=series, kind="line", stacked=False, step=True,
        first_column="From", height=240,
    )  # fmt: skip


def _steps(past: list[MeterPast]) -> list[tuple[str, Any]]:
    """Every change of a price, the newest first."""
    changes = [(one.meter, step) for one in past for step in one.steps if step.since is not None]
    return sorted(changes, key=lambda change: (change[1].since, change[0]), reverse=True)[:100]


def _rates(provider: str, name: str, known: Known, now: datetime) -> list[Any]:
    """The rates in force now: one's own, then the catalogue's."""
    names = {(provider, name), (provider, known.model), (known.provider, known.model)} - {("", "")}
    found = rates_of([one for one in names if one[1]], at=now)
    order = {meter: number for number, meter in enumerate(METERS)}
    return sorted(
        (rate for rates in found.values() for rate in rates),
        key=lambda r: (not r.own, r.tier != "standard", r.tier, r.region, order.get(r.meter, 99), r.variant),
    )
