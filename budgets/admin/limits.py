"""Limits in the admin: the list with where they stand, one limit with its increases and history, many at once."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, TabularInline

from budgets.admin.shared import APPROVE, bar, status_tag
from budgets.book import Limit
from budgets.changes import end_limit, give_increase
from budgets.formats import usd
from budgets.forms import ChangeAmountsForm, IncreaseForm, IncreaseFormSet, LimitForm
from budgets.history import changes_in_words
from budgets.models import BudgetIncrease, BudgetLimit, LimitChange
from budgets.outlook import with_forecasts
from budgets.overview import overviews
from budgets.preview import preview
from budgets.queries import standings_of_limit
from budgets.subjects import names_of


class NowFilter(admin.SimpleListFilter):
    """Limits in force, to come, or over."""

    title = "in force"
    parameter_name = "now"

    def lookups(self, request, model_admin):
        return [("yes", "Yes"), ("over", "Over"), ("later", "Later")]

    def queryset(self, request, queryset):
        now = timezone.now()
        match self.value():
            case "yes":
                return queryset.exclude(active_until__lte=now).exclude(active_from__gt=now)
            case "over":
                return queryset.filter(active_until__lte=now)
            case "later":
                return queryset.filter(active_from__gt=now)
        return queryset


class WhoseFilter(admin.SimpleListFilter):
    """Set by staff, by users for themselves, or by a setting."""

    title = "set by"
    parameter_name = "by"

    def lookups(self, request, model_admin):
        return [("staff", "Staff"), ("users", "Users, for themselves"), ("settings", "Settings")]

    def queryset(self, request, queryset):
        match self.value():
            case "staff":
                return queryset.filter(owner=None, setting=None)
            case "users":
                return queryset.exclude(owner=None)
            case "settings":
                return queryset.exclude(setting=None)
        return queryset


class IncreaseInline(TabularInline):
    """Temporary increases: given here, never edited."""

    model = BudgetIncrease
    form, formset = IncreaseForm, IncreaseFormSet
    verbose_name, verbose_name_plural = "increase", "Temporary increases"
    extra = 0
    tab = hide_title = True
    fields = ["for_whom", "amount", "until", "why", "state"]
    readonly_fields = ["state"]
    ordering = ["-asked_at"]
    can_delete = False
    per_page = 20

    @admin.display(description="For whom")
    def for_whom(self, increase: BudgetIncrease) -> str:
        """Of those that were given; in a new one it is a field of the form."""
        return names_of([increase.subject])[increase.subject] or "all that it counts"

    @admin.display(description="State")
    def state(self, increase: BudgetIncrease) -> str:
        if increase.pk is None:
            return "given when you save"
        if increase.status == increase.Status.APPROVED and increase.until <= timezone.now():
            return "over"
        return increase.get_status_display().lower()

    def has_add_permission(self, request, obj=None):
        return request.user.has_perm(APPROVE) and (obj is None or obj.owner_id is None)

    def has_view_permission(self, request, obj=None):
        return request.user.has_perm("budgets.view_budgetlimit") or request.user.has_perm("budgets.change_budgetlimit")

    def has_change_permission(self, request, obj=None):
        return False


class ChangeInline(TabularInline):
    """The history: who, when, from what, to what."""

    model = LimitChange
    verbose_name_plural = "History"
    tab = hide_title = True
    extra = 0
    fields = ["at", "by", "what", "from_to", "why"]
    readonly_fields = fields
    ordering = ["-at", "-id"]
    per_page = 20

    @admin.display(description="From and to")
    def from_to(self, change: LimitChange) -> str:
        return format_html('<span class="cw-lines">{}</span>', "\n".join(changes_in_words(change.changes)) or "–")

    def has_view_permission(self, request, obj=None):
        return request.user.has_perm("budgets.view_budgetlimit") or request.user.has_perm("budgets.change_budgetlimit")

    def has_add_permission(self, request, obj=None):
        return False

    has_change_permission = has_delete_permission = has_add_permission


@admin.register(BudgetLimit)
class BudgetLimitAdmin(ModelAdmin):
    form = LimitForm
    list_display = ["title", "whose", "period", "standing", "status", "resets", "kind"]
    list_filter = [NowFilter, "scope", "period", "pause_on_exceed", WhoseFilter]
    search_fields = ["name", "target", "note", "user__email", "group__name"]
    search_help_text = "A name, an email address, a group, or what a limit names (a feature, a model, ...)."
    list_select_related = ["user", "group", "owner"]
    ordering = ["-id"]
    list_per_page = 25
    list_fullwidth = True
    actions = ["change_amounts", "end_now"]
    autocomplete_fields = ["user", "group"]
    inlines = [IncreaseInline, ChangeInline]
    change_form_outer_before_template = "admin/budgets/limit_now.html"
    change_form_after_template = "admin/budgets/limit_preview.html"
    conditional_fields = {
        "user": "scope == 'user'",
        "group": "scope == 'group'",
        "target": "['analysis', 'feature', 'provider', 'model', 'api_key', 'tag'].includes(scope)",
        "week_start": "period == 'week'",
        "month_start": "['month', 'quarter', 'year'].includes(period)",
    }
    fieldsets = [
        ("Limit", {"fields": [
            "name", "scope", "user", "group", "target", "period", "amount", "pause_on_exceed",
        ]}),
        ("Alerts", {"fields": ["alerts_enabled", "thresholds"]}),
        ("Details", {"fields": [
            "no_maximum", "time_zone", "week_start", "month_start", "active_from", "active_until", "note",
        ]}),
        ("Reason", {"fields": ["why"]}),
    ]  # fmt: skip

    # --- who may do what

    def has_delete_permission(self, request, obj=None):
        """A limit is ended, not deleted: its windows and history go on telling what it did."""
        return False

    def get_readonly_fields(self, request, obj=None):
        if obj is not None and (obj.setting or obj.owner_id):
            return [name for _, options in self.fieldsets for name in options["fields"] if name != "why"]
        return []

    def get_fieldsets(self, request, obj=None):
        fixed = obj is not None and (obj.setting or obj.owner_id)
        if fixed or not self.has_change_permission(request, obj):
            return self.fieldsets[:-1]
        return self.fieldsets

    def get_inlines(self, request, obj):
        return self.inlines if obj is not None else []

    # --- the list

    def get_changelist_instance(self, request):
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        found = overviews(changelist.result_list, at=timezone.now())
        names = names_of(one.subject for one in found.values())
        for limit in changelist.result_list:  # on the rows: this object serves every thread
            limit.overview = found.get(limit.pk)
            limit.fullest = names[limit.overview.subject] if limit.overview else ""
        return changelist

    @admin.display(description="Limit", ordering="name")
    def title(self, limit: BudgetLimit) -> str:
        return str(limit)

    @admin.display(description="Counts")
    def whose(self, limit: BudgetLimit) -> str:
        if limit.user_id or not limit.fullest:
            return limit.subject_text
        return format_html(
            '{}<br><span class="cw-soft">fullest of {}: {}</span>',
            limit.subject_text, limit.overview.subjects, limit.fullest,
        )  # fmt: skip

    @admin.display(description="Spent and held")
    def standing(self, limit: BudgetLimit) -> str:
        return bar(limit.overview) if limit.overview else usd(limit.amount)

    @admin.display(description="Status")
    def status(self, limit: BudgetLimit) -> str:
        if limit.overview is not None:
            return status_tag(limit.overview.status)
        return status_tag("ok" if Limit.of(limit).is_active(timezone.now()) else "not in force")

    @admin.display(description="Resets")
    def resets(self, limit: BudgetLimit) -> str:
        return render_to_string("admin/budgets/resets.html", {"one": limit.overview})

    @admin.display(description="Kind", ordering="pause_on_exceed")
    def kind(self, limit: BudgetLimit) -> str:
        return "hard" if limit.pause_on_exceed else "soft"

    # --- one limit

    def change_view(self, request, object_id, form_url="", extra_context=None):
        limit = self.get_object(request, object_id)
        extra = dict(extra_context or {})
        if limit is not None and self.has_view_permission(request, limit):
            now = timezone.now()
            lines = standings_of_limit(limit.pk, at=now, most=5)
            names = names_of(line.subject for line in lines)
            extra |= {"lines": [(names[line.subject], line) for line in with_forecasts(lines, at=now)], "limit": limit}
        return super().change_view(request, object_id, form_url, extra)

    def changeform_view(self, request, object_id=None, form_url="", extra_context=None):
        extra = {"preview_url": reverse("admin:budgets_budgetlimit_preview"), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, extra)

    def history_view(self, request, object_id, extra_context=None):
        """The limit's own history, which knows changes from elsewhere too, is a tab of its page."""
        return redirect(reverse("admin:budgets_budgetlimit_change", args=[object_id]) + "#changes")

    def save_model(self, request, obj, form, change):
        if change and (obj.setting or obj.owner_id):
            return  # only its increases are given here
        obj.save(by=request.user, why=form.cleaned_data.get("why", ""))

    def save_formset(self, request, form, formset, change):
        if formset.model is not BudgetIncrease:
            return super().save_formset(request, form, formset, change)
        formset.save(commit=False)
        now = timezone.now()
        for one in formset.extra_forms:
            if one.has_changed():
                data = one.cleaned_data
                give_increase(
                    form.instance, amount=data["amount"], until=data["until"], why=data["why"], by=request.user,
                    at=now, subject=data["for_whom"],
                )  # fmt: skip
        return None

    def get_urls(self):
        return [
            path("preview/", self.admin_site.admin_view(require_POST(self.preview_view)),
                 name="budgets_budgetlimit_preview"),
            *super().get_urls(),
        ]  # fmt: skip

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What the limit in the form would have done last month. Saves nothing."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        form = self.get_form(request)(request.POST)
        context = {"errors": form.errors, "labels": {name: field.label for name, field in form.fields.items()}}
        if form.is_valid():
            context["preview"] = preview(form.save(commit=False), at=timezone.now())
        return TemplateResponse(request, "admin/budgets/preview.html", context)

    # --- many limits

    @admin.action(description="Raise or lower the amounts", permissions=["change"])
    def change_amounts(self, request, queryset):
        """Ask by how much, show what comes of it, and do it."""
        limits = [one for one in queryset.select_related("user", "group") if not one.setting and not one.owner_id]
        left_out = queryset.count() - len(limits)
        form = ChangeAmountsForm(request.POST if "apply" in request.POST or "show" in request.POST else None)
        if form.is_bound and form.is_valid():
            form.check(limits)
        if form.is_bound and form.is_valid():
            if "apply" in request.POST:
                return self._apply_amounts(request, limits, form)
            rows = [(limit, form.amount_for(limit)) for limit in limits]
        else:
            rows = [(limit, None) for limit in limits]
        context = {
            **self.admin_site.each_context(request),
            "title": "Raise or lower the amounts", "opts": self.opts, "form": form, "rows": rows,
            "left_out": left_out, "shown": form.is_bound and form.is_valid(), "action": "change_amounts",
        }  # fmt: skip
        return TemplateResponse(request, "admin/budgets/change_amounts.html", context)

    def _apply_amounts(self, request, limits, form) -> HttpResponse:
        with transaction.atomic():
            for limit in limits:
                limit.amount = form.amount_for(limit)
                limit.save(by=request.user, why=form.cleaned_data["why"])
                self.log_change(request, limit, f"Amount set to {usd(limit.amount)}.")
        self.message_user(request, f"{len(limits)} limit{'s' if len(limits) != 1 else ''} changed.")
        return redirect("admin:budgets_budgetlimit_changelist")

    @admin.action(description="End now", permissions=["change"])
    def end_now(self, request, queryset):
        limits = [one for one in queryset if not one.setting and not one.owner_id]
        for limit in limits:
            end_limit(limit, at=timezone.now(), by=request.user, why="ended in the list of limits")
        left_out = queryset.count() - len(limits)
        self.message_user(request, f"{len(limits)} limit{'s' if len(limits) != 1 else ''} ended.")
        if left_out:
            self.message_user(
                request, f"{left_out} left as it was: settings and users end their own limits.", messages.WARNING
            )
