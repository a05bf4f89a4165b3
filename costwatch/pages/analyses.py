"""What each piece of work cost, and one of them: by feature, model and time, with its cap and its calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from budgets.counted import Fullest, fullest_of_analyses
from costwatch.formatting import quantity, usd
from costwatch.pages import tables
from costwatch.pages.asked import NONE, Asked
from costwatch.pages.call import reverse_or_none
from costwatch.pages.charts import Chart, Series
from costwatch.pages.charts import Line as Level
from costwatch.pages.inputs import whole
from costwatch.pages.presentation import known_cost, rows_of, width_of
from tracking import analysis_lists, lists
from tracking.analyses import close_analysis, find_analysis
from tracking.analysis_lists import SORTS, Course, Line, Part, Whole
from tracking.api.access import sees_all
from tracking.calls import MAX_LIMIT
from tracking.lists import Where
from tracking.models import Analysis
from tracking.periods import start_of
from tracking.users import emails_of

PAGE, LATEST = 50, 25
_SORT_TITLES = {
    "cost": "Dearest first",
    "calls": "Most calls first",
    "newest": "Newest first",
    "last": "Last used first",
}


@dataclass(frozen=True, slots=True)
class AnalysisRow:
    """A line of the list."""

    line: Line
    who: str
    link: str
    cap: Fullest | None


@login_required
@require_safe
def analyses(request: HttpRequest) -> HttpResponse:
    """The analyses made in a period, with what each cost and its cap."""
    asked, problems = Asked.of(request), []
    search = request.GET.get("q", "").strip("\x00 ")[:200]
    sort = request.GET.get("sort", "cost")
    if sort not in SORTS:
        problems.append(f"Analyses are not sorted by “{sort[:40]}”; the dearest are shown first.")
        sort = "cost"
    state = request.GET.get("state", "")
    if state not in ("", "open", "closed"):
        problems.append(f"An analysis is open or closed, and not “{state[:40]}”.")
        state = ""
    first = whole(request.GET.get("from"), digits=6)
    extra = {"q": search, "state": state, "sort": sort if sort != "cost" else ""}
    query = {**asked.query, **{name: value for name, value in extra.items() if value}}
    asked = replace(asked, query=query, problems=(*asked.problems, *problems))
    wanted = {
        "since": asked.period.starts_at, "until": asked.period.ends_at, "user_id": asked.user_id, "search": search,
        "is_open": {"open": True, "closed": False}.get(state), "sort": sort,
    }  # fmt: skip
    if tables.is_wanted(request):
        return tables.answer(asked, "analyses", _COLUMNS, _cells(wanted, asked))
    found = analysis_lists.compare(**wanted, limit=PAGE, offset=first)
    context = {
        "asked": asked,
        "search": search,
        "state": state,
        "sort": sort,
        "sort_title": _SORT_TITLES[sort],
        "sort_links": {name: asked.link(sort=None if name == "cost" else name) for name in SORTS},
        "found": found,
        "rows": _rows(found.lines, asked),
        "stats": _stats(found),
        "file": tables.link(asked) if found.count else "",
        "hidden": {name: value for name, value in asked.query.items() if name not in ("q", "state")},
        "is_filtered": bool(search or state or asked.filters),
        "newer": asked.link(**{"from": first - PAGE if first > PAGE else None}) if first else "",
        "older": asked.link(**{"from": first + PAGE}) if first + PAGE < found.count else "",
    }
    return render(request, "costwatch/analyses.html", context)


_COLUMNS = (
    *("analysis", "title", "user_id", "user_email", "created_at", "closed_at", "last_call_at", "calls"),
    *("without_price", "cost_usd"),
)


def _cells(wanted: dict[str, Any], asked: Asked) -> Iterator[tuple]:
    """The lines of the whole list, all its pages."""
    offset, count = 0, 1
    while offset < count:
        found = analysis_lists.compare(**wanted, limit=MAX_LIMIT, offset=offset)
        emails = emails_of(line.user_id for line in found.lines) if asked.sees_all else {}
        for one in found.lines:
            times = (at.isoformat() if at else "" for at in (one.created_at, one.closed_at, one.last_call_at))
            who = emails.get(one.user_id, "")
            yield one.id, one.title, one.user_id, who, *times, one.calls, one.unpriced, known_cost(one)
        offset, count = offset + MAX_LIMIT, found.count


def _rows(lines: list[Line], asked: Asked) -> list[AnalysisRow]:
    emails = emails_of(line.user_id for line in lines) if asked.everyone else {}
    caps = fullest_of_analyses({line.id: line.cost for line in lines}, at=asked.now)
    address = reverse_or_none("analysis")
    return [
        AnalysisRow(
            line=line,
            who=(emails.get(line.user_id) or f"account {line.user_id}") if line.user_id else "",
            link=f"{address}?{urlencode({'id': line.id})}",
            cap=caps.get(line.id),
        )
        for line in lines
    ]


def _stats(found: analysis_lists.Compared) -> list[dict]:
    note = "the newest of this time" if found.bounded else ""
    return [
        {"title": "Analyses", "value": quantity(found.count), "note": note},
        {"title": "Cost", "value": usd(found.cost), "note": "of all their calls"},
        {
            "title": "Average per analysis",
            "value": usd(found.average, missing="–"),
            "note": f"of {quantity(found.with_calls)} with calls",
        },
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def analysis(request: HttpRequest) -> HttpResponse:
    """One analysis, and its end where `close` is sent. Somebody else's: 404."""
    everything, name = sees_all(request.user), request.GET.get("id", "")
    own_id = None if everything else request.user.pk
    found = find_analysis(name, user_id=own_id) if name and "\0" not in name else None
    if found is None:
        raise Http404
    now = timezone.now()
    if request.method == "POST":
        return _close(request, found, now)
    whole = analysis_lists.whole(found.pk)
    cap = fullest_of_analyses({found.pk: whole.totals.cost}, at=now).get(found.pk)
    latest = _latest(found.pk, own_id, now)
    email = "" if not everything or found.user_id is None else emails_of([found.user_id]).get(found.user_id, "")
    return render(
        request,
        "costwatch/analysis.html",
        {
            "analysis": found,
            "who": email,
            "user_link": reverse_or_none("user", found.user_id) if everything and found.user_id else "",
            "whole": whole,
            "cap": cap,
            "chart": _chart(found.pk, whole, cap),
            "tables": [
                ("By feature", "Feature", _parts(found.pk, "feature", whole, whole.by_feature)),
                ("By model", "Model", _parts(found.pk, "model", whole, whole.by_model)),
            ],
            "rows": rows_of(latest, with_users=everything, link=partial(_calls_of, found.pk, whole)),
            "everyone": everything,
            "calls_link": _calls_of(found.pk, whole),
            "may_close": found.closed_at is None and _may_close(request.user, found),
        },
    )


def _may_close(user: Any, found: Analysis) -> bool:
    """Whoever it belongs to; of others', staff who may change analyses."""
    return found.user_id == user.pk or user.has_perm("tracking.change_analysis")


def _close(request: HttpRequest, found: Analysis, now: datetime) -> HttpResponse:
    if not _may_close(request.user, found):
        raise Http404
    if "close" in request.POST:
        close_analysis(found, now=now)
        messages.success(request, "The analysis is closed. Calls that name it still count in it.")
    return redirect(f"{request.path}?{urlencode({'id': found.pk})}")


def _latest(analysis_id: str, own_id: int | None, now) -> list:
    since = start_of(now.date().replace(year=2000, month=1, day=1))
    where = Where(since=since, until=now, user_id=own_id, filters={"analysis": analysis_id})
    return lists.newest(where, limit=LATEST).calls


def _calls_of(analysis_id: str, whole: Whole, **filters: str) -> str:
    """The list of all its calls: of the days between the first and the last."""
    days = {}
    if whole.first_call_at and whole.last_call_at:
        days = {"since": whole.first_call_at.date().isoformat(), "until": whole.last_call_at.date().isoformat()}
    return f"{reverse_or_none('calls')}?{urlencode({'analysis': analysis_id, **filters, **days})}"


def _parts(analysis_id: str, dimension: str, whole: Whole, parts: list[Part]) -> list[dict]:
    total = whole.totals.cost
    lines = []
    for part in parts[:50]:
        share = part.totals.cost / total if total else None
        lines.append(
            {
                "name": part.name,
                "link": _calls_of(analysis_id, whole, **{dimension: part.name or NONE}),
                "totals": part.totals,
                "share": share,
                "width": width_of(share),
                "is_unpriced": known_cost(part.totals) is None,
            }
        )
    return lines


def _form(whole: Whole) -> str:
    """How times between the first and the last call are told apart."""
    return "%H:%M:%S" if whole.last_call_at - whole.first_call_at < timedelta(hours=20) else "%-d %b %H:%M"


def _chart(analysis_id: str, whole: Whole, cap: Fullest | None) -> Chart | None:
    """How its cost grew towards its cap."""
    if whole.first_call_at is None or whole.last_call_at is None or whole.totals.calls < 2:
        return None
    course: Course = analysis_lists.course(
        analysis_id, first=whole.first_call_at, last=whole.last_call_at, total=whole.totals.cost,
        calls=whole.totals.calls,
    )  # fmt: skip
    if len(course.points) < 2:
        return None
    moments = [timezone.localtime(at) for at, _ in course.points]
    forms = {"second": "%H:%M:%S", "minute": "%H:%M", "hour": "%-d %b %H:%M", "day": "%-d %b"}
    form = forms.get(course.step) or _form(whole)
    return Chart(
        id="course",
        title="What it had cost by then",
        labels=[f"{at:{form}}" for at in moments],
        titles=["before the first call", *(f"{at:%-d %b %Y, %H:%M:%S}" for at in moments[1:])],
        series=[Series(name="Cost so far", values=[cost for _, cost in course.points])],
        kind="line",
        stacked=False,
        step=True,
        lines=[Level(name="Cap", value=cap.one.limit)] if cap else [],
        first_column="After" if course.step == "call" else "Until",
        height=220,
    )
