"""`/api/cost-monitoring/alerts`: the first document's alerts. Names in camelCase, money as JSON numbers in USD."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from alerts import operations, queries
from alerts.api.shapes import SEVERITIES, TYPES
from alerts.api.views import find, whose_alerts
from alerts.audience import sees_all
from alerts.queries import ShownAlert
from tracking.api.fields import ForUser, Moment, Page, UsdNumber, offset_of
from tracking.api.views import ApiView, endpoint


class CamelAlert(serializers.Serializer):
    """An alert, as the caller sees it."""

    id = serializers.IntegerField(source="row.pk", help_text="its id")
    type = serializers.ChoiceField(TYPES, source="row.type", help_text="what it is about")
    severity = serializers.ChoiceField(SEVERITIES, source="row.severity", help_text="how much it matters")
    title = serializers.CharField(source="row.title", help_text="the alert in a line of plain text")
    message = serializers.SerializerMethodField(help_text="the alert in words, plain text")
    threshold = UsdNumber(source="row.threshold", allow_null=True, help_text="share of the limit: 0.8 is 80 %")
    spent = UsdNumber(source="row.spent", allow_null=True, help_text="USD spent at that moment; null: of no budget")
    limit = UsdNumber(source="row.limit_amount", allow_null=True, help_text="USD of the limit; null: of no budget")
    windowStart = Moment(source="row.window_start", allow_null=True, help_text="when the budget's window began")
    count = serializers.IntegerField(source="row.count", help_text="how often: refused calls, unpriced calls, ...")
    isRead = serializers.BooleanField(source="is_read", help_text="whether the caller has read it")
    resolvedAt = Moment(source="row.resolved_at", allow_null=True, help_text="since when it holds no longer")
    createdAt = Moment(source="row.created_at", help_text="when it was raised")

    def get_message(self, shown: ShownAlert) -> str:
        return f"{shown.row.title}. {shown.row.text}".strip()


class CamelAlerts(serializers.Serializer):
    """A page of alerts, the newest first."""

    alerts = CamelAlert(many=True, help_text="the alerts")
    unreadCount = serializers.IntegerField(help_text="how many the caller was told of and has not read, up to 1000")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class CamelUnread(serializers.Serializer):
    """How many are left."""

    unreadCount = serializers.IntegerField(help_text="alerts that the caller was told of and has not read, up to 1000")


class CamelAlertsQuery(ForUser, Page):
    """Which alerts."""

    unreadOnly = serializers.BooleanField(required=False, default=False, help_text="only those that are not read")


def alerts_for_dashboard(user: Any, asked: str) -> dict[str, Any]:
    """The latest alerts of the caller, or of whose calls are asked for where he may see those."""
    if asked in ("", str(user.pk)):
        found = queries.latest(user)
    elif sees_all(user):
        found = queries.alerts_of(user, **whose_alerts(user, asked), most=10).alerts
    else:
        found = []
    return {"alerts": found, "unreadCount": queries.unread_count(user)}


class AlertsView(ApiView):
    """Alerts."""

    @endpoint("Alerts", query=CamelAlertsQuery, answer=CamelAlerts, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What the caller was told of, the newest first."""
        page = queries.alerts_of(
            request.user,
            **whose_alerts(request.user, query["user"]),
            unread=True if query["unreadOnly"] else None,
            before=offset_of(query["cursor"]),
            most=query["limit"],
        )
        return {"alerts": page.alerts, "unreadCount": queries.unread_count(request.user), "next": page.next}


class AlertReadView(ApiView):
    """Reading one."""

    scopes = {"POST": "admin"}

    @endpoint("Mark an alert as read", answer=CamelUnread, problems=(404,))
    def post(self, request: Any, query: dict, alert_id: int) -> dict:
        """For the caller alone."""
        find(request.user, alert_id)
        operations.mark_read(request.user, [alert_id], at=timezone.now())
        return {"unreadCount": queries.unread_count(request.user)}


class AlertsReadAllView(ApiView):
    """Reading everything."""

    scopes = {"POST": "admin"}

    @endpoint("Mark all alerts as read", answer=CamelUnread)
    def post(self, request: Any, query: dict) -> dict:
        """For the caller alone."""
        operations.mark_all_read(request.user, at=timezone.now())
        return {"unreadCount": queries.unread_count(request.user)}
