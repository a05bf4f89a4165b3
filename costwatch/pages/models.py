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
from costwatch.formatting import quantity, usd
from costwatch.pages import home, tables
from costwatch.pages.asked import Asked
from costwatch.pages.charts import MOST_SERIES, Chart, Series
from costwatch.pages.presentation import known_cost, width_of
from costwatch.pages.without import Without, compared, may_price
from tracking.lists import Where
from tracking.model_spend import ModelSpend, paid_by_meter, unit_price, used
from tracking.periods import site_zone
from tracking.pricing.listing import rates_of
from tracking.pricing.meters import METERS
from tracking.pricing.past import Known, MeterPast, known_as, past_of
from tracking.unpriced import NOTHING, Reasons, Why, reasons
from tracking.versions import Family, families

#: Costs are rounded to a billionth of a dollar, a call each; the lines of receipts are not.
_ROUNDED = Decimal("0.000001")
#: Series of the chart of prices.
MOST_METERS = 6


def address_of(route: str, provider: str, model: str) -> str:
    """The page of a model."""
    return f"{reverse(route)}?{urlencode({'provider': provider, 'model': model})}"


@login_required
@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """The models of a period: what was paid, what a unit came to, and which have no price. Or that as a file."""
    asked = Asked.of(request)
    keep = {name: value for name, value in asked.filters.items() if name == "user"}
    asked = replace(
        asked, filters=keep, query={n: v for n, v in asked.query.items() if n not in asked.filters or n in keep}
    )
    found = used(period=asked.period, before=asked.previous, user_id=asked.user_id)
    total = sum((line.totals.cost for line in found), Decimal(0))
    unpriced = sum(line.totals.unpriced for line in found)
    why = _why(asked) if unpriced else NOTHING
    lines = [_family(asked, family, total, why) for family in families(found, why)]
    if tables.is_wanted(request):
        return tables.answer(asked, "models", _COLUMNS, (_cells(line) for family in lines for line in family["lines"]))
    single = [line for family in lines for line in family["lines"]]
    return render(
        request,
        "costwatch/models.html",
        {
            "asked": asked,
            "lines": lines,
            "lacking": [line for line in single if line["without"] and line["without"].priceable],
            "unknown": [line for line in single if line["without"] and line["without"].unknown],
            "complete": why.complete,
            "may_price": may_price(request.user),
            "file": tables.link(asked) if lines else "",
            "stats": [
                {"title": "Models", "value": quantity(len(lines))},
                {"title": "Cost", "value": usd(total), "unpriced": unpriced},
            ],
        },
    )


def _why(asked: Asked) -> Reasons:
    return reasons(since=asked.period.starts_at, until=asked.period.ends_at, user_id=asked.user_id)


def _family(asked: Asked, family: Family, total: Decimal, why: Reasons) -> dict[str, Any]:
    """A model with the names that it was asked for and answered under: itself alone where there is one."""
    lines = [_line(asked, line, total, why) | {"priced_as": family.model} for line in family.versions]
    if len(lines) == 1:
        return lines[0] | {"lines": lines, "versions": []}
    link = asked.link_to("model", provider=family.provider, model=family.model)
    return _figures(family, total, family.why, why.complete) | {"link": link, "lines": lines, "versions": lines}


def _counts(unpriced: int, why: Why, complete: bool) -> Without | None:
    if not unpriced:
        return None
    unknown = min(why.unknown, unpriced)
    return Without(unpriced - unknown, unknown, complete, why.reason, (), 0)


def _figures(one: ModelSpend | Family, total: Decimal, why: Why, complete: bool) -> dict[str, Any]:
    """What a line tells of the sums of a model, or of one of its names."""
    share = one.totals.cost / total if total > 0 else None
    moved, no_change = compared(
        one.totals, one.before, calls_before=one.calls_before, unpriced_before=one.unpriced_before
    )
    return {
        "spend": one,
        "share": share,
        "width": width_of(share),
        "change": moved,
        "no_change": no_change,
        "effective": unit_price(one.totals, why),
        "without": _counts(one.totals.unpriced, why, complete),
    }


def _line(asked: Asked, line: ModelSpend, total: Decimal, why: Reasons) -> dict[str, Any]:
    names = {"provider": line.provider, "model": line.model}
    return _figures(line, total, why.of(line.provider, line.model), why.complete) | {
        "link": asked.link_to("model", **names),
        "price_link": address_of("price_model", line.provider, line.model) if line.model else "",
        "calls_link": asked.link_to("calls", **names, price="unpriced"),
    }


_COLUMNS = (
    *("provider", "model", "priced_as", "calls", "failed", "without_price", "usage_unknown", "input_tokens"),
    *("output_tokens", "audio_seconds", "characters", "paid_per_unit_usd", "unit", "cost_before_usd", "cost_usd"),
)


def _cells(line: dict[str, Any]) -> tuple:
    one, sums = line["spend"], line["spend"].totals
    effective, without = line["effective"], line["without"]
    return (
        one.provider, one.model, line["priced_as"], sums.calls, sums.errors, without.priceable if without else 0,
        without.unknown if without else 0, sums.input_tokens, sums.output_tokens, Decimal(sums.audio_ms) / 1000,
        sums.characters, effective[0] if effective else None, effective[1] if effective else "", one.before,
        known_cost(sums),
    )  # fmt: skip


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
    paid = paid_by_meter(where) if spending and spending.total.cost else None
    unpriced = spending.total.unpriced if spending else 0
    found = reasons(since=where.since, until=where.until, user_id=user_id) if unpriced else NOTHING
    why = found.of(provider, name)
    mine, others = _names(asked, provider, name, user_id, known)
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
            "effective": unit_price(mine.totals, why) if mine else None,
            "others": others,
            "without": _counts(unpriced, why, found.complete),
            "paid": paid,
            "paid_total": paid.amount if paid else None,
            "paid_whole": bool(paid and spending and abs(paid.amount - spending.total.cost) < _ROUNDED),
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


def _names(
    asked: Asked, provider: str, name: str, user_id: int | None, known: Known
) -> tuple[ModelSpend | None, list[dict[str, Any]]]:
    """What was used under this name, and under the others that are priced as the same model."""
    found = used(period=asked.period, before=asked.period, user_id=user_id) if name else []
    mine = next((line for line in found if (line.provider, line.model) == (provider, name)), None)
    same = [line for line in found if line.provider == provider and line.model not in ("", name)]
    others = [line for line in same if known and known_as(line.provider, line.model) == known]
    return mine, [
        {"spend": line, "link": asked.link_to("model", provider=line.provider, model=line.model, by=None)}
        for line in others
    ]


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
