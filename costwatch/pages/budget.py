"""Where a user's budget stands, and asking for more of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from budgets.asking import ask_for_more, asked_by, may_ask
from budgets.forms import AskForm
from budgets.outlook import with_forecasts
from budgets.overview import fullest_limits
from budgets.queries import Standing, standings_of_user

#: Budgets on the first page of somebody who sees everyone's.
FULLEST = 5


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A limit as a page shows it. Money in USD; `held_end` is where the bar of held money ends, in percent."""

    name: str
    whose: str
    status: str
    hard: bool
    limit: Decimal
    spent: Decimal
    held: Decimal
    remaining: Decimal
    resets_at: datetime | None
    standing: Standing | None = None
    own: bool = False

    @property
    def spent_width(self) -> Decimal:
        """The length of the bar of what is spent, in percent."""
        return self._percent(self.spent)

    @property
    def held_width(self) -> Decimal:
        """The length of the bar of what is held, in percent."""
        return min(self._percent(self.held), 100 - self.spent_width)

    def _percent(self, amount: Decimal) -> Decimal:
        if not self.limit:
            return Decimal(100) if amount is self.spent else Decimal(0)
        return round(min(max(amount, Decimal(0)) / self.limit, Decimal(1)) * 100, 2)


def lines_of_user(user, *, at: datetime, forecasts: bool = True) -> list[BudgetLine]:
    """The limits that bind a user, the one with the least left first."""
    lines = [line for line in standings_of_user(user.pk, at=at) if line.enforced]
    lines.sort(key=lambda line: (-line.percent, line.remaining))
    if forecasts:
        lines = with_forecasts(lines, at=at)
    return [
        BudgetLine(
            name=line.name, whose="" if line.subject else "shared", status=line.status, hard=line.hard,
            limit=line.limit, spent=line.spent, held=line.held, remaining=line.remaining, resets_at=line.resets_at,
            standing=line, own=line.own,
        )
        for line in lines
    ]  # fmt: skip


def fullest_lines(*, at: datetime) -> list[BudgetLine]:
    """The budgets of everyone that are fullest, each with its fullest window."""
    return [
        BudgetLine(
            name=str(limit), whose=name, status=one.status, hard=one.hard, limit=one.limit, spent=one.spent,
            held=one.held, remaining=max(Decimal(0), one.limit - one.spent - one.held), resets_at=one.resets_at,
        )
        for limit, name, one in fullest_limits(at=at, most=FULLEST)
    ]  # fmt: skip


def standing_for(request: HttpRequest, *, at: datetime) -> dict:
    """What the first page shows of budgets."""
    if request.user.is_staff:
        return {"budget_lines": fullest_lines(at=at), "budgets_of_everyone": True}
    return {"budget_lines": lines_of_user(request.user, at=at), "budgets_of_everyone": False}


@login_required
def budget(request: HttpRequest) -> HttpResponse:
    """The limits that bind the reader, and what he asked for."""
    now = timezone.now()
    lines = lines_of_user(request.user, at=now)
    for_more = {line.standing.limit_id for line in lines if may_ask(line.standing)}
    context = {"budget_lines": lines, "for_more": for_more, "asked": asked_by(request.user), "now": now}
    return render(request, "costwatch/budget.html", context)


@login_required
def ask(request: HttpRequest, limit_id: int) -> HttpResponse:
    """Ask for more of one limit for a while."""
    now = timezone.now()
    line = next((one for one in lines_of_user(request.user, at=now) if one.standing.limit_id == limit_id), None)
    if line is None or not may_ask(line.standing):
        raise Http404
    until = min(filter(None, (line.resets_at, now + timedelta(days=7))))
    form = AskForm(request.POST or None, initial={"until": timezone.localtime(until)})
    if request.method == "POST" and form.is_valid():
        try:
            ask_for_more(line.standing, by=request.user, at=now, **form.cleaned_data)
        except ValidationError as error:
            _add_errors(form, error)
        else:
            messages.success(request, "Asked. It counts once it is approved; you see here what became of it.")
            return redirect("budget")
    return render(request, "costwatch/ask.html", {"form": form, "line": line})


def _add_errors(form: AskForm, error: ValidationError) -> None:
    for field, texts in (error.message_dict if hasattr(error, "error_dict") else {None: error.messages}).items():
        form.add_error(field if field in form.fields else None, texts)
