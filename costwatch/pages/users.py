"""Who spends: for staff who may see everybody's calls, and for nobody else."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from budgets.counted import Fullest, fullest_of_users, windows_of_user
from costwatch import overview
from costwatch.accounts.models import ApiKey
from costwatch.formatting import change, quantity, usd
from costwatch.pages import home, tables
from costwatch.pages.asked import Asked
from costwatch.pages.charts import MOST_SERIES
from costwatch.pages.inputs import whole
from costwatch.pages.presentation import known_cost, rows_of, width_of
from tracking import calls
from tracking.api.access import sees_all
from tracking.people import SORTS, Person, people

PAGE, LATEST, MOST_KEYS = 50, 10, 20
_SORT_TITLES = {"cost": "Top spenders", "calls": "Most calls first", "last": "Last seen first"}
#: What the page of one user splits his spending by.
BY = {"model": "Model", "feature": "Feature", "service": "Service"}


def _for_staff(request: HttpRequest) -> None:
    """To others these pages are not there."""
    if not sees_all(request.user):
        raise Http404


@login_required
@require_safe
def users(request: HttpRequest) -> HttpResponse:
    """The users of a period: what each spent, the share, the change, and how full his budget is."""
    _for_staff(request)
    asked, problems = Asked.of(request), []
    asked = replace(asked, filters={}, query={n: v for n, v in asked.query.items() if n not in asked.filters})
    search, sort = request.GET.get("q", "").strip("\x00 ")[:254], request.GET.get("sort", "cost")
    if sort not in SORTS:
        problems.append(f"Users are not sorted by “{sort[:40]}”; those who spent most are shown first.")
        sort = "cost"
    extra = {"q": search, "sort": sort if sort != "cost" else ""}
    query = {**asked.query, **{name: value for name, value in extra.items() if value}}
    asked = replace(asked, query=query, problems=(*asked.problems, *problems))
    found = people(period=asked.period, before=asked.previous, search=search, sort=sort)
    if tables.is_wanted(request):
        return tables.answer(asked, "users", _COLUMNS, (_cells(line) for line in found.people))
    first = whole(request.GET.get("from"), digits=6)
    shown = found.people[first : first + PAGE]
    standing = fullest_of_users([line.user_id for line in shown if line.user_id], at=asked.now)
    return render(
        request,
        "costwatch/users.html",
        {
            "asked": asked,
            "search": search,
            "sort": sort,
            "sort_title": _SORT_TITLES[sort],
            "sort_links": {name: asked.link(sort=None if name == "cost" else name) for name in SORTS},
            "found": found,
            "file": tables.link(asked) if found.people else "",
            "hidden": {name: value for name, value in asked.query.items() if name != "q"},
            "rows": [_row(asked, line, found.cost, standing.get(line.user_id)) for line in shown],
            "stats": [
                {"title": "Users", "value": quantity(len(found.people)) + ("+" if found.bounded else "")},
                {"title": "Everyone's cost", "value": usd(found.cost), "note": f"{quantity(found.calls)} calls"},
            ],
            "newer": asked.link(**{"from": first - PAGE if first > PAGE else None}) if first else "",
            "older": asked.link(**{"from": first + PAGE}) if first + PAGE < len(found.people) else "",
        },
    )


_COLUMNS = (
    *("user_id", "user_email", "last_call_day", "calls", "failed", "without_price", "cost_before_usd", "cost_usd"),
)


def _cells(line: Person) -> tuple:
    return (
        line.user_id or None, line.email, line.last_day.isoformat(), line.calls, line.errors, line.unpriced,
        line.before, known_cost(line),
    )  # fmt: skip


def _row(asked: Asked, line: Person, total: Decimal, standing: Fullest | None) -> dict:
    share = line.cost / total if total > 0 else None
    name = line.email or (f"account {line.user_id}" if line.user_id else "")
    page = reverse("user", args=[line.user_id]) if line.user_id else ""
    keep = {"q": None, "sort": None, "from": None}
    return {
        "line": line,
        "name": name,
        "link": asked.link_to(page, **keep) if page else asked.link_to("calls", user="0", **keep),
        "share": share,
        "width": width_of(share),
        "change": change(line.cost, line.before),
        "is_new": not line.before,
        "standing": standing,
    }


@login_required
@require_safe
def user(request: HttpRequest, user_id: int) -> HttpResponse:
    """One user: his spending over time, on what, his limits, his keys and his latest calls."""
    _for_staff(request)
    person = get_user_model().objects.filter(pk=user_id).first() if user_id < 2**63 else None
    if person is None:
        raise Http404
    asked = Asked.of(request)
    filters = {
        name: value for name, value in asked.filters.items() if name in ("model", "feature", "service", "provider")
    }
    query = {name: value for name, value in asked.query.items() if name not in asked.filters or name in filters}
    asked = replace(asked, filters=filters, query=query, by=asked.by if asked.by in BY else "model")
    of_user = {**filters, "user": str(person.pk)}
    spending = overview.spending(
        period=asked.period,
        before=asked.previous,
        by=asked.by,
        dimensions=list(dict.fromkeys(["model", "feature", asked.by])),
        filters=of_user,
        by_hour=asked.is_hourly,
        most=MOST_SERIES,
    )
    latest = calls.latest_calls(user_id=person.pk, limit=LATEST).calls
    keys = ApiKey.objects.filter(user=person, kind=ApiKey.Kind.KEY).order_by("-created")[:MOST_KEYS]
    return render(
        request,
        "costwatch/user.html",
        {
            "asked": asked,
            "person": person,
            "spending": spending,
            "chart": home.chart_of(asked, spending, of_user, {}) if spending else None,
            "shares": home.shares_of(asked, spending, {}) if spending else [],
            "total": home.total_of(asked, spending) if spending else None,
            "without": home.without_of(asked, spending, of_user, request.user) if spending else None,
            "tabs": [(title, asked.link(by=name), name == asked.by) for name, title in BY.items()],
            "windows": windows_of_user(person.pk, at=asked.now),
            "keys": keys,
            "rows": rows_of(latest, with_users=False, link=partial(asked.link_to, "calls", user=person.pk, by=None)),
            "calls_link": asked.link_to("calls", user=person.pk, by=None),
            "unpriced_link": asked.link_to("calls", user=person.pk, by=None, price="unpriced"),
        },
    )
