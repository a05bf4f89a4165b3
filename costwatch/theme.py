"""How the admin looks: the settings of its theme, django-unfold. Colours: admin.css and pages/brand.py."""

from django.apps import apps
from django.http import HttpRequest
from django.urls import reverse_lazy


def _may_view(permission: str):
    def allowed(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return allowed


#: What the administration calls a thing, wherever it is named: in the menu, in headings, in links.
NAMES = {
    "budgets.budgetlimit": ("limit", "limits"),
    "budgets.budgetincrease": ("asked increase", "asked increases"),
    "budgets.budgetwindow": ("window", "windows"),
    "budgets.hold": ("hold", "holds"),
    "budgets.crossing": ("crossing", "crossings"),
    "alerts.costalert": ("alert", "alerts"),
    "alerts.channel": ("channel", "channels"),
    "alerts.delivery": ("delivery", "deliveries"),
    "alerts.alertpreference": ("preference", "preferences"),
    "tracking.apiusagelog": ("call", "calls"),
    "tracking.analysis": ("analysis", "analyses"),
    "tracking.rate": ("rate", "rates"),
    "tracking.pricedmodel": ("model", "models"),
    "accounts.user": ("account", "accounts"),
    "accounts.apikey": ("API key", "API keys"),
    "auth.group": ("group", "groups"),
}


#: And what it calls the groups of things.
GROUPS = {"tracking": "Ledger", "accounts": "People", "auth": "Groups of people"}


def give_names() -> None:
    """Let the models be called so. (Here and not in their `Meta`: it is the administration that speaks of them.)"""
    for label, (one, many) in NAMES.items():
        meta = apps.get_model(label)._meta
        meta.verbose_name, meta.verbose_name_plural = one, many
    for label, name in GROUPS.items():
        apps.get_app_config(label).verbose_name = name


def _page(icon: str, app: str, model: str) -> dict:
    title = NAMES[f"{app}.{model}"][1]
    return {
        "title": title[0].upper() + title[1:],
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
                    _page("savings", "budgets", "budgetlimit"),
                    _page("pending_actions", "budgets", "budgetincrease"),
                    _page("calendar_month", "budgets", "budgetwindow"),
                    _page("lock_clock", "budgets", "hold"),
                    _page("notifications", "budgets", "crossing"),
                ],
            },
            {
                "title": "Alerts",
                "separator": True,
                "items": [
                    _page("notifications_active", "alerts", "costalert"),
                    _page("campaign", "alerts", "channel"),
                    _page("outgoing_mail", "alerts", "delivery"),
                    _page("tune", "alerts", "alertpreference"),
                ],
            },
            {
                "title": "Ledger",
                "separator": True,
                "items": [
                    _page("receipt_long", "tracking", "apiusagelog"),
                    _page("folder_open", "tracking", "analysis"),
                    _page("sell", "tracking", "rate"),
                    _page("smart_toy", "tracking", "pricedmodel"),
                ],
            },
            {
                "title": "People",
                "separator": True,
                "items": [
                    _page("person", "accounts", "user"),
                    _page("key", "accounts", "apikey"),
                    _page("group", "auth", "group"),
                ],
            },
        ],
    },
}
