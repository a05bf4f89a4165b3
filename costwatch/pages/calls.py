"""The ledger as a list: filters, search by any id, by time or by cost, page by page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from costwatch.pages.asked import FILTERS, Asked
from costwatch.pages.presentation import rows_of
from costwatch.pages.without import without
from tracking import lists
from tracking.api.usage import SERVICES
from tracking.events import STATUSES
from tracking.list_sums import names, sums
from tracking.lists import Found, Where
from tracking.models import PriceStatus
from tracking.queries import top_users
from tracking.unpriced import reasons
from tracking.users import emails_of

PAGE = 50
SORTS = {"time": "Newest first", "cost": "Dearest first"}


@dataclass(frozen=True, slots=True)
class More:
    """What this page is asked for beside what every page knows."""

    search: str = ""  # an id
    tag: str = ""  # name=value
    key: str = ""  # the public id of an API key
    price: str = ""  # a price status
    sort: str = "time"
    before: str = ""  # a cursor

    @classmethod
    def of(cls, request: HttpRequest, problems: list[str]) -> More:
        """Read from the address; what cannot be meant is said in `problems` and left out."""
        given = {name: request.GET.get(name, "").strip("\x00 ")[:300] for name in ("q", "tag", "key", "price", "sort")}
        before = request.GET.get("before", "")[:100]
        if given["tag"] and not given["tag"].partition("=")[0].strip():
            problems.append("A tag is written as name=value, as in team=blue.")
            given["tag"] = ""
        if set('"\\') & set(given["tag"].partition("=")[0]):
            problems.append("Calls cannot be found by tags whose name holds quotes or backslashes.")
            given["tag"] = ""
        if given["price"] and given["price"] not in PriceStatus.values:
            problems.append(f"“{given['price'][:40]}” is no state of a price.")
            given["price"] = ""
        if given["sort"] not in SORTS:
            if given["sort"]:
                problems.append(f"Calls cannot be sorted by “{given['sort'][:40]}”; the newest are shown first.")
            given["sort"] = "time"
        return cls(given["q"], given["tag"], given["key"], given["price"], given["sort"], before)

    @property
    def query(self) -> dict[str, str]:
        """For addresses that keep it; the page that is shown is not part of it."""
        named = {"tag": self.tag, "key": self.key, "price": self.price}
        return {**{n: v for n, v in named.items() if v}, **({"sort": self.sort} if self.sort != "time" else {})}

    def where(self, asked: Asked) -> Where:
        """The calls that are asked for."""
        filters = {name: value for name, value in asked.filters.items() if name != "user"}
        if self.price:
            filters["price_status"] = self.price
        name, _, value = self.tag.partition("=")
        return Where(
            since=asked.period.starts_at,
            until=asked.period.ends_at,
            user_id=asked.user_id,
            filters=filters,
            tags={name.strip(): value.strip()} if self.tag else {},
            api_key=self.key,
        )


@login_required
@require_safe
def calls(request: HttpRequest) -> HttpResponse:
    """The calls of a period that match the filters; or those that an id names."""
    problems: list[str] = []
    more = More.of(request, problems)
    asked = Asked.of(request)
    if asked.filters.get("status") and asked.filters["status"] not in STATUSES:
        problems.append(f"“{asked.filters['status'][:40]}” is no status of a call.")
        asked = _without(asked, "status")
    asked = replace(asked, query={**asked.query, **more.query}, problems=(*asked.problems, *problems))
    if more.search:
        return _named(request, asked, more)
    where = more.where(asked)
    found = _page(where, more)
    if found is None:
        return redirect(asked.link())
    people = top_users(period=asked.period, limit=200) if asked.sees_all else []
    emails = {one.user_id: one.email for one in people}
    if asked.everyone and (others := {call.user_id for call in found.calls} - emails.keys()):
        emails |= emails_of(others)
    rows = rows_of(found.calls, with_users=asked.everyone, emails=emails, link=asked.link)
    return render(
        request,
        "costwatch/calls.html",
        {
            "asked": asked,
            "more": more,
            "found": found,
            "rows": rows,
            **_sums(asked, more, where, request.user),
            "names": names(asked.period, user_id=asked.user_id),
            "people": people,
            "services": SERVICES,
            "statuses": STATUSES,
            "prices": PriceStatus.values,
            "files": _files(asked, more),
            "chips": _chips(asked, more, emails),
            "hidden": {
                name: value for name, value in asked.query.items() if name in ("period", "since", "until", "sort")
            },
            "is_filtered": bool(asked.filters or more.tag or more.key or more.price),
            "sort_links": {"time": asked.link(sort=None), "cost": asked.link(sort="cost")},
            "older": asked.link(before=found.next) if found.next else "",
            "newest": asked.link() if more.before else "",
            "unpriced_link": asked.link(price="unpriced"),
            "most_rows": lists.MOST_ROWS,
            "is_live": not more.before and more.sort == "time",
        },
    )


def _sums(asked: Asked, more: More, where: Where, user: Any) -> dict[str, Any]:
    """What the calls add up to, where that is kept; of those without a price, how many they are and why."""
    if more.price != PriceStatus.UNPRICED:
        return {"sums": sums(where)}
    filters = {name: value for name, value in where.filters.items() if name != "price_status"}
    known = sums(replace(where, filters=filters))
    if known is None or not known.unpriced:
        return {"without_price": known.unpriced if known is not None else None}
    kept = {name: value for name, value in asked.filters.items() if name != "user"}
    found = reasons(since=where.since, until=where.until, user_id=asked.user_id, filters=kept)
    # Which of them a key made is not told by reasons.
    why = None if more.key else without(known.unpriced, found, user)
    return {"without_price": known.unpriced, "without": why}


def _without(asked: Asked, name: str) -> Asked:
    keep = {key: value for key, value in asked.filters.items() if key != name}
    return replace(asked, filters=keep, query={k: v for k, v in asked.query.items() if k != name})


def _page(where: Where, more: More) -> Found | None:
    """The calls to show; None for a cursor that is none."""
    try:
        if more.sort == "cost":
            return lists.dearest(where, limit=PAGE, after=more.before or None)
        return lists.newest(where, limit=PAGE, before=more.before or None)
    except ValueError:
        return None


def _named(request: HttpRequest, asked: Asked, more: More) -> HttpResponse:
    """The call that an id names, or the list of those that it does."""
    calls = lists.named(more.search, user_id=None if asked.sees_all else asked.reader_id)
    if len(calls) == 1:
        return redirect("call", calls[0].id)
    context = {"asked": asked, "more": more, "rows": rows_of(calls, with_users=asked.sees_all)}
    return render(request, "costwatch/calls_named.html", {**context, "everyone": asked.sees_all})


def _files(asked: Asked, more: More) -> dict:
    """What is shown, as files; exports know no tags and no keys."""
    price = f"&{urlencode({'price_status': more.price})}" if more.price else ""
    return {"exports": [] if more.tag or more.key else [(title, link + price) for title, link in asked.exports]}


def _chips(asked: Asked, more: More, people: dict[int | None, str]) -> list[tuple[str, str, str]]:
    """What is filtered by, its value, the address without it; users by their address."""
    titles = {"tag": "Tag", "key": "API key", "price": "Price"}
    given = [(titles[name], value, asked.link(**{name: None})) for name, value in more.query.items() if name in titles]
    shown = []
    for title, value, link in asked.chips:
        if title == FILTERS["user"]:
            shown.append((title, _who(value, people), link))
        else:
            shown.append((title, value, link))
    return shown + given


def _who(value: str, people: dict[int | None, str]) -> str:
    """The address of a user who is filtered by; looked up where the list of people does not have it."""
    number = int(value)
    known = people.get(number) or ("" if value == "0" else emails_of([number]).get(number))
    return "nobody" if value == "0" else known or f"account {value}"


def address_of(**filters: str) -> str:
    """The list with some filters, whatever the page that leads to it shows."""
    return f"{reverse('calls')}?{urlencode(filters)}"
