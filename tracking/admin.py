"""The ledger and the price book in the admin: read, and rates of one's own added. Nothing here edits history."""

from datetime import timedelta
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.paginator import Paginator
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from tracking.models import Analysis, ApiUsageLog, PricedModel, Rate
from tracking.pricing.meters import METERS
from tracking.users import emails_of, ids_of


class BoundedPaginator(Paginator):
    """Counts no further than `bound` rows: older ones are reached by searching. A full count reads the whole table."""

    bound = 10_000

    @cached_property
    def count(self) -> int:
        return self.object_list[: self.bound].count()


class ReadOnlyAdmin(ModelAdmin):
    """What can be looked at and not changed."""

    actions = None

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


class WithPeople:
    """Shows accounts by their addresses: those of a page are looked up at once."""

    def get_changelist_instance(self, request):
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        emails = emails_of(row.user_id for row in changelist.result_list)
        for row in changelist.result_list:  # on the rows: the admin's object serves every thread
            row.email = emails.get(row.user_id, "")
        return changelist

    @admin.display(description="User")
    def who(self, row) -> str:
        if row.user_id is None:
            return "–"
        email = row.email if hasattr(row, "email") else emails_of([row.user_id]).get(row.user_id)
        return email or f"account {row.user_id}"


class TimeFilter(admin.SimpleListFilter):
    """By the column that the list is sorted by."""

    title, parameter_name = "time", "days"

    def lookups(self, request, model_admin):
        return [("1", "The last 24 hours"), ("7", "The last 7 days"), ("30", "The last 30 days")]

    def queryset(self, request, queryset):
        if self.value() not in ("1", "7", "30"):
            return queryset
        return queryset.filter(occurred_at__gte=timezone.now() - timedelta(days=int(self.value())))


class PriceFilter(admin.SimpleListFilter):
    """Calls without a price, which have an index of their own."""

    title, parameter_name = "price", "price"

    def lookups(self, request, model_admin):
        return [("unpriced", "Without a price")]

    def queryset(self, request, queryset):
        return queryset.filter(price_status="unpriced") if self.value() == "unpriced" else queryset


@admin.register(ApiUsageLog)
class ApiUsageLogAdmin(WithPeople, ReadOnlyAdmin):
    list_display = [
        "occurred_at",
        "provider",
        "model",
        "operation",
        "feature",
        "who",
        "status",
        "price_status",
        "amount",
    ]
    list_filter = [TimeFilter, PriceFilter]  # only what has an index: the ledger may have millions of rows
    ordering = ["-occurred_at", "-id"]  # as the index has it, and in no other order
    sortable_by = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    search_fields = ["id"]
    search_help_text = "The id of a call, or the address or number of an account."

    def get_search_results(self, request, queryset, search_term):
        """By what has an index, and by nothing else."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.isdecimal() and len(term) < 19:
            return queryset.filter(user_id=int(term)), False
        if "@" in term:
            return queryset.filter(user_id__in=list(ids_of([term]).values())), False
        try:
            return queryset.filter(id=UUID(term)), False
        except ValueError:
            self.message_user(request, "Search for the id of a call, or the address of an account.", "warning")
            return queryset.none(), False

    @admin.display(description="Cost")
    def amount(self, row: ApiUsageLog) -> str:
        return render_to_string("admin/tracking/amount.html", {"amount": row.cost})


class RateForm(forms.ModelForm):
    meter = forms.ChoiceField(
        choices=[(m.name, f"{m.name}: {m.description}") for m in METERS.values()], widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = Rate
        fields = [
            "provider", "model", "meter", "tier", "region", "variant", "above_context_tokens", "amount", "per",
            "valid_from", "valid_to", "source",
        ]  # fmt: skip
        help_texts = {
            "provider": "as in the ledger: openai, anthropic",
            "model": "the exact model, as in the ledger",
            "tier": "standard, batch, flex, priority, ...",
            "amount": "USD per that many units, as in 2.50 per 1,000,000; leave empty to withdraw the price",
            "valid_from": "calls from this moment on; empty: all before too",
            "valid_to": "calls before this moment; empty: until further notice",
            "source": "where the price is from: a contract, an offer, a page",
        }

    def clean_provider(self):
        return self.cleaned_data["provider"].strip().lower()

    def clean_model(self):
        return self.cleaned_data["model"].strip()

    def clean_amount(self):
        amount = self.cleaned_data["amount"]
        if amount is not None and amount < 0:
            raise forms.ValidationError("A price is not negative.")
        return amount

    def clean_per(self):
        if not self.cleaned_data["per"]:
            raise forms.ValidationError("A price is for one unit at least.")
        return self.cleaned_data["per"]

    def clean(self):
        cleaned = super().clean()
        start, end = cleaned.get("valid_from"), cleaned.get("valid_to")
        if start and end and end <= start:
            self.add_error("valid_to", "The price must end after it begins.")
        return cleaned


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin):
    """Rates are added, never edited or deleted: the one recorded last wins, and old receipts go on being right."""

    form = RateForm
    list_display = ["provider", "model", "meter", "tier", "amount", "per", "valid_from", "valid_to", "own", "source"]
    list_filter = ["own", "provider", "tier"]
    search_fields = ["model", "meter"]
    ordering = ["-recorded_at", "-id"]

    def has_add_permission(self, request):
        return request.user.has_perm("tracking.add_rate")

    def save_model(self, request, obj, form, change):
        obj.own = True
        super().save_model(request, obj, form, change)


@admin.register(PricedModel)
class PricedModelAdmin(ReadOnlyAdmin):
    list_display = ["provider", "model", "name", "context_window", "deprecated"]
    list_filter = ["provider", "deprecated"]
    search_fields = ["model", "name"]
    ordering = ["provider", "position"]


@admin.register(Analysis)
class AnalysisAdmin(WithPeople, ReadOnlyAdmin):
    list_display = ["id", "title", "who", "created_at", "closed_at"]
    search_fields = ["id"]
    ordering = ["-created_at"]
    paginator = BoundedPaginator
    show_full_result_count = False
