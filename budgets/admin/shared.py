"""What the lists of the admin show of budgets."""

from decimal import Decimal

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.html import format_html

from budgets.bars import in_words
from budgets.overview import Overview
from budgets.subjects import names_of

APPROVE = "budgets.approve_increase"


def bar(overview: Overview | None) -> str:
    """Spent and held against the limit, as a bar with its figures."""
    return render_to_string("admin/budgets/bar.html", {"one": overview, **_widths(overview)})


def status_tag(status: str) -> str:
    """A status as a small label."""
    return format_html('<span class="cw-status {}">{}</span>', status.split()[0], in_words(status))


def _widths(overview: Overview | None) -> dict[str, Decimal]:
    """Lengths on the screen, in percent of the limit."""
    if overview is None:
        return {}
    full = max(overview.limit, overview.spent + overview.held) or Decimal(1)
    spent = max(Decimal(0), overview.spent) / full * 100 if overview.limit else Decimal(100)
    held = overview.held / full * 100 if overview.limit else Decimal(0)
    return {"spent_width": round(spent, 2), "held_width": round(held, 2)}


class NamedSubjects:
    """Shows subjects by the names that people know them by: those of a page are looked up at once."""

    def get_changelist_instance(self, request):
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        names = names_of(_subject(row) for row in changelist.result_list)
        for row in changelist.result_list:  # on the rows: the admin's object serves every thread
            row.subject_name = names[_subject(row)]
        return changelist

    @admin.display(description="Of")
    def of(self, row) -> str:
        name = getattr(row, "subject_name", None)
        if name is None:
            name = names_of([_subject(row)])[_subject(row)]
        return name or getattr(row, "window", row).limit.subject_text


def _subject(row) -> str:
    return getattr(row, "window", row).subject
