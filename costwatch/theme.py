"""How the admin looks: the settings of its theme, django-unfold. Colours stand in static/costwatch/admin.css."""

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(permission: str):
    def allowed(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return allowed


def _page(title: str, icon: str, app: str, model: str) -> dict:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{model}_changelist"),
        "permission": _may_view(f"{app}.view_{model}"),
    }


def _icon(request: HttpRequest) -> str:
    return static("costwatch/icon.svg")


UNFOLD = {
    "SITE_TITLE": "Costwatch",
    "SITE_HEADER": "Costwatch",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_ICON": _icon,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Budgets",
                "separator": False,
                "items": [
                    _page("Limits", "savings", "budgets", "budgetlimit"),
                    _page("Asked increases", "pending_actions", "budgets", "budgetincrease"),
                    _page("Windows", "calendar_month", "budgets", "budgetwindow"),
                    _page("Holds", "lock_clock", "budgets", "hold"),
                    _page("Crossings", "notifications", "budgets", "crossing"),
                ],
            },
            {
                "title": "Ledger",
                "separator": True,
                "items": [
                    _page("Calls", "receipt_long", "tracking", "apiusagelog"),
                    _page("Analyses", "folder_open", "tracking", "analysis"),
                    _page("Rates", "sell", "tracking", "rate"),
                    _page("Models", "smart_toy", "tracking", "pricedmodel"),
                ],
            },
            {
                "title": "People",
                "separator": True,
                "items": [
                    _page("Accounts", "person", "accounts", "user"),
                    _page("Groups", "group", "auth", "group"),
                ],
            },
        ],
    },
}
