"""What stands around every page: the menu, the theme, the bell. A context processor; see `settings.TEMPLATES`."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_POST

from alerts.queries import unread_count
from costwatch.pages import brand
from costwatch.pages.asked import BY, FILTERS, Asked, zones
from costwatch.pages.inputs import way_back
from tracking.api.access import sees_all

#: Route, title, icon, routes that belong to it, whether staff alone see it.
_MENU = (
    ("home", "Overview", "layout-dashboard", ("cost_monitoring",), False),
    ("calls", "Calls", "list-details", ("call",), False),
    ("analyses", "Analyses", "folders", ("analysis",), False),
    ("models", "Models", "cpu", ("model",), False),
    ("users", "Users", "users", ("user",), True),
    ("budgets", "Budgets", "wallet", ("budget_detail", "budget_ask"), False),
    (
        "alerts", "Alerts", "bell",
        ("alert", "alert_settings", "alert_channel_new", "alert_channel", "alert_preview"), False,
    ),
    ("optimise", "Optimise", "bulb", (), False),
    ("estimate", "Estimate", "calculator", (), False),
)  # fmt: skip
#: Where the filters in an address are filters, and which of them mean something there. The period means the same on
#: every page.
_FILTERED = {
    "home": tuple(BY),
    "cost_monitoring": tuple(BY),
    "calls": tuple(FILTERS),
    "analyses": ("user",),
    "models": ("user",),
    "optimise": tuple(BY),
}
THEME_COOKIE = "costwatch_theme"
THEMES = ("light", "dark")
_YEAR_S = 31_536_000


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A line of the menu."""

    title: str
    icon: str
    address: str
    is_current: bool


def context(request: HttpRequest) -> dict:
    """What templates know without their view: brand, theme, menu, sees_all, unread, site_zone, reader_zone.

    What costs a query is asked when a template first uses it.
    """
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated
    return {
        **brand.context(request),
        **zones(request),
        "theme": theme_of(request),
        "menu": SimpleLazyObject(lambda: _menu(request) if known else []),
        "sees_all": SimpleLazyObject(lambda: known and sees_all(user)),
        "unread": SimpleLazyObject(lambda: unread_count(user) if known else 0),
    }


def theme_of(request: HttpRequest) -> str:
    """`light` or `dark`, as the reader chose; "" where the system decides."""
    chosen = request.COOKIES.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Choose light or dark, or leave it to the system; back to where the reader was."""
    chosen = request.POST.get("theme", "")
    response = redirect(way_back(request, default="home"))
    if chosen in THEMES:
        # Scripts read it: the admin's theme keeps a copy of its own.
        options = {"max_age": _YEAR_S, "samesite": "Lax", "secure": request.is_secure(), "httponly": False}
        response.set_cookie(THEME_COOKIE, chosen, **options)
    else:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response


def _menu(request: HttpRequest) -> list[MenuItem]:
    """The pages that the reader may see, with the period, and the filters that mean something there."""
    here = getattr(request.resolver_match, "url_name", "")
    asked = Asked.of(request)
    items = []
    for route, title, icon, others, staff_only in _MENU:
        if staff_only and not asked.sees_all:
            continue
        kept = _FILTERED.get(route, ()) if here in _FILTERED else ()
        dropped = dict.fromkeys(name for name in ("by", *FILTERS) if name not in kept)
        try:
            address = asked.link_to(route, **dropped)
        except NoReverseMatch:
            continue
        items.append(MenuItem(title, icon, address, here == route or here in others))
    return items
