"""Increases that users asked for, to approve or refuse."""

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from budgets.admin.shared import APPROVE, NamedSubjects
from budgets.changes import decide_increase
from budgets.formats import usd
from budgets.forms import DecisionForm
from budgets.models import BudgetIncrease

_TONES = {"asked": "warning", "approved": "ok", "refused": "refused"}


@admin.register(BudgetIncrease)
class BudgetIncreaseAdmin(NamedSubjects, ModelAdmin):
    """What users asked for, to approve or refuse."""

    form = DecisionForm
    list_display = ["asked_at", "asked_by", "limit", "of", "more", "until", "why", "state"]
    list_filter = ["status"]
    search_fields = ["asked_by__email", "why", "limit__name"]
    list_select_related = ["asked_by", "limit__user", "limit__group"]
    ordering = ["-asked_at"]
    actions = ["approve", "refuse"]
    fields = [
        "asked_by", "asked_at", "limit", "of", "more", "until", "why", "state", "decided_by", "decided_at",
        "decision", "decision_note",
    ]  # fmt: skip

    @admin.display(description="How much more", ordering="amount")
    def more(self, increase: BudgetIncrease) -> str:
        return usd(increase.amount)

    @admin.display(description="State", ordering="status")
    def state(self, increase: BudgetIncrease) -> str:
        return format_html('<span class="cw-status {}">{}</span>', _TONES[increase.status], increase.status)

    def get_readonly_fields(self, request, obj=None):
        decided = obj is not None and obj.status != BudgetIncrease.Status.ASKED
        return [name for name in self.fields if name not in ("decision", "decision_note") or decided]

    def get_fields(self, request, obj=None):
        decided = obj is None or obj.status != BudgetIncrease.Status.ASKED
        hidden = ("decision",) if decided else ("decided_by", "decided_at")
        return [name for name in self.fields if name not in hidden]

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return request.user.has_perm(APPROVE) and (obj is None or obj.status == BudgetIncrease.Status.ASKED)

    def has_approve_permission(self, request):
        return request.user.has_perm(APPROVE)

    def save_model(self, request, obj, form, change):
        if decision := form.cleaned_data["decision"]:
            note = form.cleaned_data["decision_note"]
            decide_increase(obj, approve=decision == "approve", by=request.user, at=timezone.now(), note=note)

    @admin.action(description="Approve", permissions=["approve"])
    def approve(self, request, queryset):
        self._decide(request, queryset, approve=True)

    @admin.action(description="Refuse", permissions=["approve"])
    def refuse(self, request, queryset):
        self._decide(request, queryset, approve=False)

    def _decide(self, request, queryset, *, approve: bool) -> None:
        done = 0
        for increase in queryset:
            try:
                decide_increase(increase, approve=approve, by=request.user, at=timezone.now())
                done += 1
            except ValidationError as error:
                self.message_user(request, f"{increase}: {' '.join(error.messages)}", messages.WARNING)
        if done:
            self.message_user(request, f"{done} {'approved' if approve else 'refused'}.")
