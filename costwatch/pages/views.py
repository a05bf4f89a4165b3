"""The first pages: what is spent, and the receipt of one call."""

import json
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from costwatch.pages import budget, presentation
from tracking import calls, queries
from tracking.periods import last_days, month, site_zone, today, week

DAYS = 30
LATEST = 25


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Today, this week and this month, the last days one by one, and the latest calls."""
    now = timezone.now()
    user_id = _whose(request)
    days = queries.by_day(period=last_days(now, DAYS), user_id=user_id)
    latest = calls.latest_calls(user_id=user_id, limit=LATEST).calls
    sums = [
        (title, queries.totals(period=period, user_id=user_id))
        for title, period in (("Today", today(now)), ("This week", week(now)), ("This month", month(now)))
    ]
    return render(
        request,
        "costwatch/home.html",
        {
            **_frame(request),
            "empty": not latest,
            "everyone": user_id is None,
            "sums": sums,
            "unpriced_calls": sum(day.totals.unpriced for day in days),
            "chart": presentation.chart_of(days),
            "calls": presentation.rows_of(latest, with_users=user_id is None),
            **budget.standing_for(request, at=now),
        },
    )


@login_required
def call(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """One call: its receipt, what corrected it, and the usage as the provider reported it."""
    detail = calls.call(call_id, user_id=_whose(request))
    if detail is None:
        raise Http404
    raw = detail.row.raw_usage
    if raw is None:
        raw = next((row.raw_usage for row in reversed(detail.corrections) if row.raw_usage is not None), None)
    return render(
        request,
        "costwatch/call.html",
        {
            **_frame(request),
            "call": detail.call,
            "facts": presentation.facts_of(detail, with_user=_whose(request) is None),
            "receipt": presentation.receipt_of(detail.receipt),
            "corrections": detail.corrections,
            "raw_usage": json.dumps(raw, indent=2, ensure_ascii=False) if raw is not None else "",
        },
    )


def _whose(request: HttpRequest) -> int | None:
    """Whose calls the reader may see: everybody's for staff, else his own."""
    return None if request.user.is_staff else request.user.pk


def _frame(request: HttpRequest) -> dict:
    return {
        "site_zone": site_zone().key,
        "reader_zone": request.user.time_zone,
        "failed": presentation.FAILED,
    }
