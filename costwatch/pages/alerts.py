"""The reader's alerts: listed, marked as read, muted."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from alerts import operations, queries
from alerts.audience import sees_all
from alerts.kinds import ABOUT_ALERTS, Severity, Type
from alerts.models import CostAlert
from costwatch.pages.inputs import way_back, whole
from costwatch.pages.without import may_price, price_address

MOST = 30
#: What the list can show -> how it reads.
SHOWN = {"unread": "Unread", "open": "Still true", "all": "All"}
#: For how long alerts can be muted -> how it reads.
MUTES = {"1": "a day", "7": "a week", "30": "30 days"}
TYPES = [(name, label) for name, label in Type.choices if name not in ABOUT_ALERTS]


@login_required
@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """The alerts of the reader, the newest first; staff may look at everyone's."""
    now = timezone.now()
    asked = _asked(request)
    shown = asked["show"]
    page = queries.alerts_of(
        request.user,
        types=[asked["type"]] if asked["type"] else (),
        severities=[asked["severity"]] if asked["severity"] else (),
        unread=True if shown == "unread" else None,
        resolved=False if shown == "open" else None,
        everyone=bool(asked["everyone"]),
        before=whole(request.GET.get("before")),
        most=MOST,
    )
    context = {
        "alerts": [(one, _link(one.row, request.user)) for one in page.alerts],
        "older": _address({**asked, "before": page.next}) if page.next else "",
        "tabs": [(title, _address({**asked, "show": name}), name == shown) for name, title in SHOWN.items()],
        "shown": asked,
        "types": TYPES,
        "severities": Severity.choices,
        "can_see_all": sees_all(request.user),
        "mutes": queries.mutes_of(request.user, at=now),
        "mute_times": MUTES.items(),
        "here": request.get_full_path(),
    }
    return render(request, "costwatch/alerts.html", context)


@login_required
@require_safe
def alert(request: HttpRequest, alert_id: int) -> HttpResponse:
    """One alert, however old and whether it was read or not, and how it was sent: where messages lead to."""
    found = queries.detail_of(request.user, alert_id)
    if found is None:
        raise Http404
    context = {
        "one": found,
        "link": _link(found.row, request.user),
        "deliveries": found.deliveries,
        "mute_times": MUTES.items(),
        "here": request.get_full_path(),
    }
    return render(request, "costwatch/alert.html", context)


@login_required
@require_POST
def mark(request: HttpRequest) -> HttpResponse:
    """Mark one alert as read or unread, or all as read."""
    now, what = timezone.now(), request.POST.get("what", "")
    if what == "all":
        operations.mark_all_read(request.user, at=now)
    elif (alert_id := whole(request.POST.get("id"))) and what == "read":
        operations.mark_read(request.user, [alert_id], at=now)
    elif alert_id and what == "unread":
        operations.mark_unread(request.user, [alert_id])
    return redirect(way_back(request, default="alerts"))


@login_required
@require_POST
def mute(request: HttpRequest) -> HttpResponse:
    """Tell the reader nothing of an alert's limit, or of its type, for a while; or take that back."""
    if gone := whole(request.POST.get("unmute")):
        operations.unmute(request.user, gone)
        return redirect(way_back(request, default="alerts"))
    found = queries.find_alert(request.user, whole(request.POST.get("id")))
    days = request.POST.get("days", "")
    if found is None or days not in MUTES:
        raise Http404
    of_limit = request.POST.get("what") == "limit" and found.row.limit_id is not None
    try:
        operations.mute(
            request.user,
            until=_until(days),
            limit_id=found.row.limit_id if of_limit else None,
            type_="" if of_limit else found.row.type,
        )
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, f"Muted for {MUTES[days]}. The alerts still stand in this list.")
    return redirect(way_back(request, default="alerts"))


def _until(days: str) -> datetime:
    return timezone.now() + timedelta(days=int(days))


def _asked(request: HttpRequest) -> dict[str, str]:
    """What the list shows; what cannot be meant is left out."""
    show = request.GET.get("show", "")
    return {
        "show": show if show in SHOWN else "unread" if not request.GET else "all",
        "type": next((name for name, _ in TYPES if name == request.GET.get("type")), ""),
        "severity": next((name for name in Severity.values if name == request.GET.get("severity")), ""),
        "everyone": "1" if request.GET.get("everyone") == "1" and sees_all(request.user) else "",
    }


def _address(asked: dict[str, str]) -> str:
    return f"{reverse('alerts')}?{urlencode({name: value for name, value in asked.items() if value})}"


def _link(alert: CostAlert, user) -> tuple[str, str]:
    """Where to look further, and how that reads."""
    if alert.limit_id is not None and alert.limit is not None:
        subject = f"?{urlencode({'of': alert.subject})}" if alert.subject else ""
        return reverse("budget_detail", args=[alert.limit_id]) + subject, "The limit"
    if alert.type == Type.UNPRICED:
        provider, model = (str(alert.details.get(name, "")) for name in ("provider", "model"))
        if provider and model and alert.details.get("lacks") == "usage":
            asked = {"provider": provider, "model": model, "price": "unpriced"}
            return f"{reverse('calls')}?{urlencode(asked)}", "The calls"
        if provider and model and may_price(user):
            return price_address(provider, model), "Price this model"
        return reverse("models"), "Models without a price"
    if alert.type == Type.RATE_CHANGED:
        return reverse("models"), "The price book"
    if alert.type == Type.UNUSUAL_SPEND:
        name, value = alert.details.get("dimension", ""), str(alert.details.get("name", ""))
        asked = {name: value}
        if name == "model":
            provider, _, model = value.partition("/")
            asked = {"provider": provider, "model": model}
        if name in ("feature", "model", "user") and value and (name != "user" or sees_all(user)):
            return f"{reverse('calls')}?{urlencode({'period': '7d', **asked})}", "Its calls"
        return reverse("calls"), "The calls"
    return "", ""
