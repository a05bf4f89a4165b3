"""Limits and how they stand: the reader's, for staff everyone's; each on a page of its own; asking for more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from budgets.asking import ask_for_more, asked_by, may_ask
from budgets.bars import Bar, status_of
from budgets.burn import Point
from budgets.changes import decide_increase
from budgets.detail import Detail, detail
from budgets.forms import AskForm, OwnLimitsForm
from budgets.limits import update_budget_config
from budgets.models import BudgetConfig, BudgetIncrease, Period
from budgets.outlook import with_forecasts
from budgets.queries import Standing, standings_of_user
from budgets.reading import ShownLimit, all_limits, open_increases, sees_all_limits
from costwatch.pages.charts import Chart, Line, Series
from costwatch.pages.inputs import add_errors, whole

#: Limits on a page of the list; open questions on it.
MOST_LIMITS, MOST_ASKED = 50, 50
#: Windows of one limit that stand open; those before them are folded.
WINDOWS_OPEN = 6
APPROVE = "budgets.approve_increase"


@dataclass(frozen=True, slots=True)
class BudgetLine(Bar):
    """A limit as a page shows it. Money in USD."""

    name: str
    whose: str
    status: str
    hard: bool
    limit: Decimal
    spent: Decimal
    held: Decimal
    remaining: Decimal
    resets_at: datetime | None
    limit_id: int
    standing: Standing | None = None
    own: bool = False


def line_of(line: Standing, *, whose: str = "") -> BudgetLine:
    """A standing as a page shows it."""
    return BudgetLine(
        name=line.name, whose=whose or ("" if line.subject else "shared"),
        status=line.status if line.enforced else "not in force", hard=line.hard, limit=line.limit, spent=line.spent,
        held=line.held, remaining=line.remaining, resets_at=line.resets_at, limit_id=line.limit_id, standing=line,
        own=line.own,
    )  # fmt: skip


def lines_of_user(user, *, at: datetime) -> list[BudgetLine]:
    """The limits that bind a user, the one with the least left first."""
    lines = [line for line in standings_of_user(user.pk, at=at) if line.enforced]
    lines.sort(key=lambda line: (-line.percent, line.remaining))
    return [line_of(line) for line in with_forecasts(lines, at=at, remember=True)]


@login_required
@require_safe
def budgets(request: HttpRequest) -> HttpResponse:
    """The limits that bind the reader and what was asked for; for staff, all limits and what is to be decided."""
    now = timezone.now()
    lines = lines_of_user(request.user, at=now)
    sees_all = sees_all_limits(request.user)
    known = {(line.limit_id, line.standing.subject): line.status for line in lines}
    limits, older = _all(request, now, known) if sees_all else ([], "")
    decides = _decides(request)
    context = {
        "budget_lines": lines,
        "for_more": {line.limit_id for line in lines if may_ask(line.standing)},
        "asked_for": asked_by(request.user),
        "sees_all_limits": sees_all,
        "limits": limits,
        "older": older,
        "to_decide": open_increases(limit=MOST_ASKED) if decides else [],
        "decides": decides,
    }
    return render(request, "costwatch/budgets.html", context)


def _decides(request: HttpRequest) -> bool:
    return bool(request.user.is_staff and request.user.has_perm(APPROVE))


def _all(
    request: HttpRequest, now: datetime, known: dict[tuple[int, str], str]
) -> tuple[list[tuple[ShownLimit, BudgetLine | None]], str]:
    """A page of all limits, and the address of the next; with the statuses that are `known` by a forecast."""
    after = whole(request.GET.get("after"))
    found = all_limits(at=now, limit=MOST_LIMITS + 1, after=after)
    page = found[:MOST_LIMITS]
    older = f"{reverse('budgets')}?after={page[-1].row.pk}" if len(found) > MOST_LIMITS else ""
    return [(shown, _line_of_shown(shown, known)) for shown in page], older


def _line_of_shown(shown: ShownLimit, known: dict[tuple[int, str], str]) -> BudgetLine | None:
    now = shown.now
    if now is None:
        return None
    status = known.get((shown.row.pk, now.subject), now.status)
    return BudgetLine(
        name=str(shown.row), whose=now.subject, status=status, hard=shown.row.pause_on_exceed, limit=now.limit,
        spent=now.spent, held=now.held, remaining=now.remaining, resets_at=now.resets_at, limit_id=shown.row.pk,
    )  # fmt: skip


@login_required
@require_safe
def budget_detail(request: HttpRequest, limit_id: int) -> HttpResponse:
    """One limit: how it stands, how it got there, what was refused, and its past."""
    now = timezone.now()
    found = detail(limit_id, user=request.user, subject=request.GET.get("of", "")[:300], at=now)
    if found is None:
        raise Http404
    windows = [(window, _line_of_window(window, found.line)) for window in found.windows]
    context = {
        "found": found,
        "line": line_of(found.line, whose=found.whose) if found.line else None,
        "others": [line_of(line, whose=whose) for line, whose in found.others],
        "chart": _chart_of(found),
        "windows": windows[:WINDOWS_OPEN],
        "earlier": windows[WINDOWS_OPEN:],
        "decides": _decides(request),
    }
    return render(request, "costwatch/budget_detail.html", context)


def _line_of_window(window, now: Standing | None) -> BudgetLine:
    """A window of the list; the present one stands as it does above."""
    status = status_of(spent=window.spent, limit=window.limit_amount, refuses=window.hard)
    if now is not None and window.pk == now.window_id:
        status = now.status
    return BudgetLine(
        name="", whose="", status=status, hard=window.hard,
        limit=window.limit_amount, spent=window.spent, held=window.held, remaining=Decimal(0), resets_at=window.ends_at,
        limit_id=window.limit_id,
    )  # fmt: skip


def _chart_of(found: Detail) -> Chart | None:
    """How the window is used up; where its past is not kept by time, its windows, or else those of others."""
    if found.burn is not None:
        return _burn_chart(found)
    if len(found.windows) > 1:
        form = "%-d %b, %H:%M" if found.row.period == Period.HOUR else "%-d %b %Y"
        rows = list(reversed(found.windows))
        labels = [f"{timezone.localtime(window.starts_at):{form}}" for window in rows]
        return _bars(found, "Spent in each window", "From", labels, [window.spent for window in rows])
    if found.others:
        rows = [(found.whose, found.line), *((whose, line) for line, whose in found.others)]
        return _bars(
            found, "Spent in this period by each", "Whose", [w for w, _ in rows], [one.spent for _, one in rows]
        )
    return None


def _bars(found: Detail, title: str, column: str, labels: list[str], values: list[Decimal]) -> Chart:
    return Chart(
        id="windows", title=title, height=240, labels=labels, series=[Series(name="Spent", values=values)],
        lines=[Line(name="Limit", value=found.line.limit if found.line else found.row.amount)], first_column=column,
        newest_first=column == "From",
    )  # fmt: skip


def _burn_chart(found: Detail) -> Chart:
    """What was spent by each moment of the window, an even pace, and where it is expected to end."""
    line, points = found.line, found.burn.points
    form = "%H:%M" if found.burn.by_hour else "%-d %b"
    moments = [timezone.localtime(point.at) for point in points]
    series = [Series(name="Spent", values=[point.spent for point in points])]
    forecast, band = line.forecast, None
    if forecast is not None and forecast.expected is not None and points[-1].spent is None:
        last = max(place for place, point in enumerate(points) if point.spent is not None)

        def towards(end: Decimal) -> list[Decimal | None]:
            return _between(len(points), (last, points[last].spent), (len(points) - 1, end))

        series.append(Series(name="Forecast", values=towards(forecast.expected), dashed=True, colour=1))
        if forecast.low is not None and forecast.high is not None:
            band = ("Forecast, at least", "Forecast, at most")
            for name, end in zip(band, (forecast.low, forecast.high), strict=True):
                series.append(Series(name=name, values=towards(end), muted=True, dashed=True))
    if line.resets_at is not None and line.limit:
        series.append(Series(name="Even pace", values=_even(line, points), dashed=True, colour=3))
    return Chart(
        id="burn", title="Spent in this window", kind="line", stacked=False, height=260, series=series,
        labels=[f"{at:{form}}" for at in moments], titles=[f"{at:%-d %b %Y, %H:%M}" for at in moments],
        lines=[Line(name="Limit", value=line.limit)], first_column="Until", newest_first=False, band=band,
    )  # fmt: skip


def _even(line: Standing, points: Sequence[Point]) -> list[Decimal | None]:
    """What would be spent by the end of each day or hour if the limit were used up evenly over its window; nothing at
    the present moment, which stands as far from its neighbours as they do from theirs and would bend the line.
    """
    whole = Decimal((line.resets_at - line.window_start).total_seconds())
    parts = [Decimal((point.at - line.window_start).total_seconds()) / whole for point in points]
    now = next((n for n, point in enumerate(points) if point.spent is None), 0) - 1
    return [None if n == now > 0 else round(line.limit * part, 9) for n, part in enumerate(parts)]


def _between(count: int, start: tuple[int, Decimal], end: tuple[int, Decimal]) -> list[Decimal | None]:
    """A straight line from one point to another; nothing outside of it."""
    (first, low), (last, high) = start, end
    step = (high - low) / (last - first) if last > first else Decimal(0)
    return [low + step * (place - first) if first <= place <= last else None for place in range(count)]


@login_required
def ask(request: HttpRequest, limit_id: int) -> HttpResponse:
    """Ask for more of one limit for a while."""
    now = timezone.now()
    line = next((one for one in lines_of_user(request.user, at=now) if one.limit_id == limit_id), None)
    if line is None or not may_ask(line.standing):
        raise Http404
    until = min(filter(None, (line.resets_at, now + timedelta(days=7))))
    form = AskForm(request.POST or None, label_suffix="", initial={"until": timezone.localtime(until)})
    if request.method == "POST" and form.is_valid():
        try:
            ask_for_more(line.standing, by=request.user, at=now, **form.cleaned_data)
        except ValidationError as error:
            add_errors(form, error)
        else:
            messages.success(request, "Asked. It counts once it is approved; you see here what became of it.")
            return redirect("budgets")
    return render(request, "costwatch/budget_ask.html", {"form": form, "line": line})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def own(request: HttpRequest) -> HttpResponse:
    """The limits that the reader sets for himself, under those of staff."""
    config = BudgetConfig.objects.filter(user=request.user).first() or BudgetConfig(user=request.user)
    current = {line.period: line.limit for line in standings_of_user(request.user.pk, at=timezone.now()) if line.own}
    initial = {
        "daily_limit": current.get("day"), "monthly_limit": current.get("month"),
        "alert_percent": config.alert_threshold * 100, "alerts_enabled": config.alerts_enabled,
        "pause_on_exceed": config.pause_on_exceed,
    }  # fmt: skip
    form = OwnLimitsForm(request.POST or None, label_suffix="", initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            update_budget_config(request.user, **form.values)
        except ValidationError as error:
            add_errors(form, error, names={"alert_threshold": "alert_percent"})
        else:
            messages.success(request, "Saved. Your limits count at once.")
            return redirect("budgets")
    return render(request, "costwatch/budget_own.html", {"form": form})


@login_required
@require_POST
def decide(request: HttpRequest, increase_id: int) -> HttpResponse:
    """Approve or refuse what was asked for."""
    increase = BudgetIncrease.objects.filter(pk=increase_id).first() if _decides(request) else None
    if increase is None:
        raise Http404
    approve = request.POST.get("decision") == "approve"
    if not approve and request.POST.get("decision") != "refuse":
        messages.error(request, "Choose: approve or refuse.")
        return redirect("budgets")
    note = request.POST.get("note", "").replace("\x00", "").strip()[:1000]
    try:
        decide_increase(increase, approve=approve, by=request.user, at=timezone.now(), note=note)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, "Approved: it counts at once." if approve else "Refused.")
    return redirect("budgets")
