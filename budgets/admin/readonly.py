"""Windows, holds and crossings in the admin: read, never changed."""

from uuid import UUID

from django.contrib import admin
from django.utils import timezone

from budgets.admin.shared import NamedSubjects, bar, status_tag
from budgets.book import Limit
from budgets.calendar import EPOCH
from budgets.formats import usd
from budgets.models import BudgetWindow, Crossing, Hold
from budgets.overview import of_window
from tracking.admin import BoundedPaginator, ReadOnlyAdmin
from tracking.users import emails_of


class OpenFilter(admin.SimpleListFilter):
    """Windows of now, or ended ones."""

    title = "time"
    parameter_name = "time"

    def lookups(self, request, model_admin):
        return [("now", "Now"), ("ended", "Ended")]

    def queryset(self, request, queryset):
        now = timezone.now()
        if self.value() == "now":
            return queryset.exclude(ends_at__lte=now)
        return queryset.filter(ends_at__lte=now) if self.value() == "ended" else queryset


@admin.register(BudgetWindow)
class BudgetWindowAdmin(NamedSubjects, ReadOnlyAdmin):
    list_display = ["limit", "of", "starts", "ends_at", "standing", "status", "closed_at"]
    list_filter = [OpenFilter, "limit__period", "hard"]
    search_fields = ["subject", "limit__name", "limit__target", "limit__user__email"]
    list_select_related = ["limit__user", "limit__group"]
    ordering = ["-starts_at", "-id"]
    paginator = BoundedPaginator
    show_full_result_count = False
    list_fullwidth = True
    list_per_page = 50

    @admin.display(description="Starts at", ordering="starts_at")
    def starts(self, window: BudgetWindow):
        return window.starts_at if window.starts_at > EPOCH else "with the ledger"

    @admin.display(description="Spent and held")
    def standing(self, window: BudgetWindow) -> str:
        return bar(of_window(window, Limit.of(window.limit), at=timezone.now()))

    @admin.display(description="Status")
    def status(self, window: BudgetWindow) -> str:
        now = timezone.now()
        if window.ends_at is not None and window.ends_at <= now:
            return status_tag("over")
        return status_tag(of_window(window, Limit.of(window.limit), at=now).status)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ["call_at", "state", "who", "what", "set_aside", "did_cost", "expires_at"]
    list_filter = ["state", "overrun", "cost_known"]
    search_fields = ["id"]
    search_help_text = "The id of a call."
    ordering = ["-call_at", "-id"]
    paginator = BoundedPaginator
    show_full_result_count = False
    list_fullwidth = True

    def get_changelist_instance(self, request):
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        emails = emails_of(u for hold in changelist.result_list if isinstance(u := hold.call.get("user"), int))
        for hold in changelist.result_list:
            hold.emails = emails
        return changelist

    @admin.display(description="By")
    def who(self, hold: Hold) -> str:
        user = hold.call.get("user")
        if not isinstance(user, int):
            return user or "–"
        emails = hold.emails if hasattr(hold, "emails") else emails_of([user])
        return emails.get(user, f"account {user}")

    @admin.display(description="Set aside", ordering="amount")
    def set_aside(self, hold: Hold) -> str:
        return usd(hold.amount)

    @admin.display(description="Cost", ordering="cost")
    def did_cost(self, hold: Hold) -> str:
        if hold.state == Hold.State.OPEN:
            return "not known yet"
        if hold.overrun:
            return f"{usd(hold.cost)}, {usd(hold.cost - hold.amount)} over"
        return usd(hold.cost) if hold.cost_known else f"{usd(hold.cost)}, estimated"

    @admin.display(description="What")
    def what(self, hold: Hold) -> str:
        return " ".join(filter(None, (hold.call.get("model"), hold.call.get("operation"), hold.call.get("feature"))))

    def get_search_results(self, request, queryset, search_term):
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            self.message_user(request, "Search for the id of a call.", "warning")
            return queryset.none(), False


@admin.register(Crossing)
class CrossingAdmin(NamedSubjects, ReadOnlyAdmin):
    list_display = ["crossed_at", "kind", "limit", "of", "threshold", "spent", "limit_amount", "claimed_at"]
    list_filter = ["kind", "window__limit__period"]
    list_select_related = ["window__limit__user", "window__limit__group"]
    search_fields = ["window__limit__name", "window__subject"]
    ordering = ["-crossed_at", "-id"]
    paginator = BoundedPaginator
    show_full_result_count = False

    @admin.display(description="Limit")
    def limit(self, crossing: Crossing) -> str:
        return str(crossing.window.limit)
