"""How the admin looks: the settings of its theme, django-unfold. Colours: admin.css and pages/brand.py."""

from django.http import HttpRequest
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
    from costwatch.pages.brand import logo_url  # reads the settings, which read this file

    return logo_url()


UNFOLD = {
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": reverse_lazy("home"),
    "SITE_ICON": _icon,
    "SITE_FAVICONS": [{"rel": "icon", "href": _icon}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "",
                "separator": False,
                "items": [
                    {
                        "title": "Back to the dashboard",
                        "icon": "arrow_back",
                        "link": reverse_lazy("home"),
                        "active": lambda request: False,
                    }
                ],
            },
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
                "title": "Alerts",
                "separator": True,
                "items": [
                    _page("Alerts", "notifications_active", "alerts", "costalert"),
                    _page("Channels", "campaign", "alerts", "channel"),
                    _page("Deliveries", "outgoing_mail", "alerts", "delivery"),
                    _page("Preferences", "tune", "alerts", "alertpreference"),
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
