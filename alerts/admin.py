"""Alerts in the admin: what was noticed, how it was sent, and the channels of staff. No secret is ever shown."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminTimeWidget,
    UnfoldBooleanSwitchWidget,
)

from alerts import channels, managing, operations, outbox, trials
from alerts.forms import TYPES, ChannelForm, channel_form
from alerts.models import AlertPreference, Channel, CostAlert, Delivery
from tracking.admin import BoundedPaginator, ReadOnlyAdmin

#: How states and severities look.
_TONES = {"critical": "refused", "warning": "warning", "sent": "ok", "failed": "refused", "skipped": "warning"}
_WIDGETS = (
    (forms.CheckboxSelectMultiple, UnfoldAdminCheckboxSelectMultipleWidget),
    (forms.CheckboxInput, UnfoldBooleanSwitchWidget),
    (forms.PasswordInput, UnfoldAdminPasswordWidget),
    (forms.Select, UnfoldAdminSelectWidget),
    (forms.TimeInput, UnfoldAdminTimeWidget),
    (forms.TextInput, UnfoldAdminTextInputWidget),
    (forms.NumberInput, UnfoldAdminTextInputWidget),
)


def tag(text: str) -> str:
    """A state or severity as a small label."""
    return format_html('<span class="cw-status {}">{}</span>', _TONES.get(text, ""), text)


def lines(text: str) -> str:
    """Text as it is, broken where it is too long."""
    return format_html('<span class="cw-lines cw-broken">{}</span>', text)


class ResolvedFilter(admin.SimpleListFilter):
    """Alerts that hold, or no longer do."""

    title = "still so"
    parameter_name = "holds"

    def lookups(self, request, model_admin):
        return [("yes", "Yes"), ("no", "No longer")]

    def queryset(self, request, queryset):
        if self.value() in ("yes", "no"):
            return queryset.filter(resolved_at__isnull=self.value() == "yes")
        return queryset


class DeliveryInline(TabularInline):
    """How the alert was sent."""

    model = Delivery
    fk_name = "alert"
    verbose_name_plural = "Deliveries"
    extra = 0
    fields = ["planned_at", "channel", "recipient", "state", "attempts", "answer", "last_error"]
    readonly_fields = fields
    ordering = ["-pk"]
    per_page = 20
    can_delete = False

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("channel")

    def has_add_permission(self, request, obj=None):
        return False

    has_change_permission = has_add_permission


@admin.register(CostAlert)
class CostAlertAdmin(ReadOnlyAdmin):
    list_display = ["occurred_at", "how_bad", "about", "whom", "type", "count", "resolved_at"]
    list_display_links = ["occurred_at", "about"]
    list_filter = ["severity", "type", ResolvedFilter]
    search_fields = ["title", "user__email"]
    list_select_related = ["user"]
    ordering = ["-id"]
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_fullwidth = True
    actions = ["mark_read"]
    inlines = [DeliveryInline]
    fields = [
        "about", "words", "what", "how_bad", "type", "whom", "limit", "subject", "occurred_at", "resolved_at", "count",
        "for_programs", "key",
    ]  # fmt: skip
    readonly_fields = fields

    @admin.display(description="Severity", ordering="severity")
    def how_bad(self, alert: CostAlert) -> str:
        return tag(alert.severity)

    @admin.display(description="Alert")
    def about(self, alert: CostAlert) -> str:
        return format_html('<bdi class="cw-broken cw-column">{}</bdi>', alert.title)

    @admin.display(description="Whom it concerns")
    def whom(self, alert: CostAlert) -> str:
        return str(alert.user) if alert.user_id else "staff"

    @admin.display(description="In words")
    def words(self, alert: CostAlert) -> str:
        return lines(alert.text or "–")

    @admin.display(description="For programs")
    def for_programs(self, alert: CostAlert) -> str:
        return lines(json.dumps(alert.details, indent=2, ensure_ascii=False))

    @admin.display(description="Key")
    def key(self, alert: CostAlert) -> str:
        return lines(alert.dedupe_key)

    @admin.display(description="Facts")
    def what(self, alert: CostAlert) -> str:
        return lines("\n".join(f"{label}: {value}" for label, value in alert.facts) or "–")

    @admin.action(description="Mark as read", permissions=["view"])
    def mark_read(self, request, queryset):
        done = operations.mark_read(request.user, list(queryset.values_list("pk", flat=True)), at=timezone.now())
        self.message_user(request, f"{done} marked as read, for you.")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["planned_at", "about", "channel", "recipient", "how", "attempts", "sent_at", "said"]
    list_filter = ["state", "channel_kind"]
    search_fields = ["=id", "recipient", "alert__title"]
    list_select_related = ["alert", "channel"]
    ordering = ["-id"]
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_fullwidth = True
    actions = ["send_again"]

    @admin.display(description="Alert")
    def about(self, delivery: Delivery) -> str:
        return format_html('<bdi class="cw-broken cw-column">{}</bdi>', delivery.alert.title)

    @admin.display(description="State", ordering="state")
    def how(self, delivery: Delivery) -> str:
        return tag(delivery.state)

    @admin.display(description="What was said")
    def said(self, delivery: Delivery) -> str:
        return format_html('<bdi class="cw-broken cw-column">{}</bdi>', delivery.last_error or delivery.answer or "–")

    def has_send_permission(self, request):
        return request.user.has_perm("alerts.change_delivery")

    @admin.action(description="Send again what was not sent", permissions=["send"])
    def send_again(self, request, queryset):
        done = sum(outbox.send_again(delivery) for delivery in queryset)
        self.message_user(request, f"{done} will be sent again within seconds.")


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):
    list_display = ["title", "kind_label", "whose", "min_severity", "state", "last_sent_at", "last_error"]
    list_filter = ["kind", "is_active", ("owner", admin.EmptyFieldListFilter), "digest"]
    search_fields = ["name", "owner__email"]
    list_select_related = ["owner"]
    ordering = ["-id"]
    list_fullwidth = True
    actions = ["send_test"]
    change_form_outer_before_template = "admin/alerts/channel_now.html"

    # --- who may do what: staff's channels; those of an account are its own affair

    def has_change_permission(self, request, obj=None):
        mine = obj is None or obj.owner_id in (None, request.user.pk)
        return mine and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        mine = obj is None or (obj.owner_id in (None, request.user.pk) and not obj.implied)
        return mine and super().has_delete_permission(request, obj)

    # --- the form of its kind

    def get_form(self, request, obj=None, change=False, **kwargs):
        kind = obj.kind if obj is not None else request.GET.get("kind", "")
        return admin_form(kind)

    def get_fieldsets(self, request, obj=None):
        if not self.has_change_permission(request, obj) and obj is not None:
            return [(None, {"fields": self.get_readonly_fields(request, obj)})]
        instance = obj or Channel(kind=request.GET.get("kind", ""))
        form = self.get_form(request, obj)(instance=instance)
        return [
            (title, {"fields": [field.name for field in fields]})
            for title, fields in (
                ("Where it goes", form.general), ("What it tells", form.what), ("When it tells it", form.when),
            )
        ]  # fmt: skip

    def get_readonly_fields(self, request, obj=None):
        if obj is not None and not self.has_change_permission(request, obj):
            return ["title", "kind_label", "whose", "min_severity", "state", "last_sent_at", "last_error"]
        return []

    def add_view(self, request, form_url="", extra_context=None):
        if request.GET.get("kind") in channels.kinds():
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)  # which refuses
        kinds = [kind for kind in channels.kinds().values() if kind.name != "in_app"]
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Add a channel", "kinds": kinds}
        return TemplateResponse(request, "admin/alerts/choose_kind.html", context)

    def change_view(self, request, object_id, form_url="", extra_context=None):
        channel = self.get_object(request, object_id)
        extra = dict(extra_context or {})
        if channel is not None:
            extra |= {
                "channel": channel,
                "unavailable": channels.unavailable(channel.kind) if channel.kind in channels.kinds() else "",
                "test_url": reverse("admin:alerts_channel_test", args=[channel.pk]),
                "preview_url": f"{reverse('alert_preview')}?kind={channel.kind}",
                "may_test": self.has_change_permission(request, channel),
            }
        return super().change_view(request, object_id, form_url, extra)

    def save_form(self, request, form, change):
        return form.instance  # it is saved whole, with its secrets, in save_model

    def save_model(self, request, obj, form, change):
        if not form.store(at=timezone.now()):
            problems = "; ".join(text for texts in form.errors.values() for text in texts)
            messages.error(request, f"It was not saved: {problems}")

    def save_related(self, request, form, formsets, change):
        """There is nothing beside it."""

    def get_deleted_objects(self, objs, request):
        """Who may delete a channel deletes what it sent with it; by themselves deliveries are not deleted."""
        shown, counts, perms_needed, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(perms_needed) - {Delivery._meta.verbose_name}, protected

    def delete_model(self, request, obj):
        managing.delete_channel(obj, at=timezone.now())

    def delete_queryset(self, request, queryset):
        for channel in queryset:
            managing.delete_channel(channel, at=timezone.now())

    # --- test

    def get_urls(self):
        test = self.admin_site.admin_view(require_POST(self.test_view))
        return [path("<int:pk>/test/", test, name="alerts_channel_test"), *super().get_urls()]

    def test_view(self, request, pk):
        """Send a test, or with `again` let a channel that was switched off send again."""
        channel = get_object_or_404(Channel.objects.select_related("owner"), pk=pk)
        if not self.has_change_permission(request, channel):
            raise Http404
        if "again" in request.POST:
            managing.enable_channel(channel, at=timezone.now())
            self.message_user(request, f"{channel} is on again.")
        else:
            self._test(request, channel)
        return redirect("admin:alerts_channel_change", pk)

    @admin.action(description="Send a test", permissions=["change"])
    def send_test(self, request, queryset):
        for channel in queryset.select_related("owner"):
            if self.has_change_permission(request, channel):
                self._test(request, channel)
            else:
                self.message_user(request, f"{channel} belongs to {channel.owner}.", messages.WARNING)

    def _test(self, request, channel: Channel) -> None:
        try:
            tested = trials.send_test(channel, by=request.user, at=timezone.now())
        except trials.TooManyTests as error:
            self.message_user(request, str(error), messages.ERROR)
            return
        said = f"{channel} {'took' if tested.ok else 'did not take'} the test: {tested.words}"
        self.message_user(request, said, messages.SUCCESS if tested.ok else messages.ERROR)

    # --- the list

    @admin.display(description="Channel", ordering="name")
    def title(self, channel: Channel) -> str:
        return format_html('<bdi class="cw-broken cw-column">{}</bdi>', channel.name or channel.kind)

    @admin.display(description="Kind", ordering="kind")
    def kind_label(self, channel: Channel) -> str:
        return channels.kinds()[channel.kind].label if channel.kind in channels.kinds() else channel.kind

    @admin.display(description="Whose", ordering="owner__email")
    def whose(self, channel: Channel) -> str:
        return str(channel.owner) if channel.owner_id else "staff"

    @admin.display(description="State")
    def state(self, channel: Channel) -> str:
        if channel.disabled_at is not None:
            return tag("failed")
        if not channel.is_active:
            return tag("off")
        muted = channel.muted_until is not None and channel.muted_until > timezone.now()
        return tag("muted" if muted else "failing" if channel.failing_since else "on")


def admin_form(kind: str) -> type[ChannelForm]:
    """The form of a kind of channel with the widgets of the admin's theme."""
    if kind not in channels.kinds():
        raise Http404
    plain = channel_form(kind)

    def dress(self: Any, *args: Any, **kwargs: Any) -> None:
        plain.__init__(self, *args, **kwargs)
        for field in self.fields.values():
            for simple, themed in _WIDGETS:
                if type(field.widget) is simple:
                    dressed = themed()
                    dressed.attrs.update({n: v for n, v in field.widget.attrs.items() if n not in ("class", "type")})
                    dressed.is_required, dressed.is_localized = field.widget.is_required, field.widget.is_localized
                    if hasattr(field.widget, "choices"):
                        dressed.choices = field.widget.choices
                    field.widget = dressed
                    break

    return type("AdminChannelForm", (plain,), {"__init__": dress, "Meta": ChannelForm.Meta})


class PreferenceAdminForm(forms.ModelForm):
    """What an account hears of; staff may set it for somebody."""

    types_off = forms.MultipleChoiceField(
        label="Not told of", choices=TYPES, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = AlertPreference
        fields = ["user", "min_severity", "types_off", "summary"]


@admin.register(AlertPreference)
class AlertPreferenceAdmin(ModelAdmin):
    form = PreferenceAdminForm
    list_display = ["user", "min_severity", "summary", "off"]
    list_filter = ["min_severity", "summary"]
    search_fields = ["user__email"]
    list_select_related = ["user"]
    autocomplete_fields = ["user"]
    ordering = ["user__email"]

    @admin.display(description="Not told of")
    def off(self, preference: AlertPreference) -> str:
        return ", ".join(preference.types_off) or "–"

    def get_readonly_fields(self, request, obj=None):
        return ["user"] if obj is not None else []
