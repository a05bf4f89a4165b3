"""What the lists of the admin show of budgets."""

from decimal import Decimal

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.html import format_html

from budgets.overview import Overview
from budgets.subjects import names_of

APPROVE = "budgets.approve_increase"


def bar(overview: Overview | None) -> str:
    """Spent and held against the limit, as a bar with its figures."""
    return render_to_string("admin/budgets/bar.html", {"one": overview, **_widths(overview)})


def status_tag(status: str) -> str:
    """A status as a small label."""
    return format_html('<span class="cw-status {}">{}</span>', status.split()[0], status)


def _widths(overview: Overview | None) -> dict[str, Decimal]:
    """Lengths on the screen, in percent of the limit."""
    if overview is None:
        return {}
    full = max(overview.limit, overview.spent + overview.held) or Decimal(1)
    spent = max(Decimal(0), overview.spent) / full * 100 if overview.limit else Decimal(100)
    held = overview.held / full * 100 if overview.limit else Decimal(0)
    return {"spent_width": round(spent, 2), "held_width": round(held, 2)}


class NamedSubjects:
    """Shows subjects by the names that people know them by."""

    @admin.display(description="Of")
    def of(self, row) -> str:
        window = getattr(row, "window", row)
        names = names_of([window.subject])
        return names[window.subject] or window.limit.subject_text
