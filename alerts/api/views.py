"""`/api/v1/alerts`: what an account is told of, what it has read, and what it does not want to hear."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound

from alerts import operations, queries
from alerts.api import shapes
from alerts.audience import sees_all
from alerts.models import AlertMute, AlertPreference
from budgets import reading
from tracking.api.fields import ForUser, offset_of
from tracking.api.views import ApiView, endpoint
from tracking.users import emails_of

_NO_ALERT = "There is no such alert."


class AlertList(ApiView):
    """Alerts."""

    @endpoint("List alerts", query=shapes.AlertsQuery, answer=shapes.AlertsAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Alerts, the newest first. Staff with the permission see those of one account with `user=<id>`, of all with
        `user=all`.
        """
        page = queries.alerts_of(
            request.user,
            **whose_alerts(request.user, query["user"]),
            types=[query["type"]] if "type" in query else (),
            severities=[query["severity"]] if "severity" in query else (),
            unread=query["unread"],
            resolved=query["resolved"],
            limit_id=query.get("limit_id"),
            since=query.get("since"),
            before=offset_of(query["cursor"]),
            most=query["limit"],
        )
        return {"alerts": page.alerts, "unread": queries.unread_count(request.user), "next": page.next}


class AlertDetail(ApiView):
    """One alert."""

    @endpoint("One alert", answer=shapes.AlertDetailAnswer, problems=(404,))
    def get(self, request: Any, query: dict, alert_id: int) -> queries.AlertDetail:
        """An alert, and by which channels it was sent."""
        found = queries.detail_of(request.user, alert_id) if alert_id < 2**63 else None
        if found is None:
            raise NotFound(_NO_ALERT)
        return found


class AlertRead(ApiView):
    """Reading one."""

    scopes = {"POST": "admin"}
    read = True

    @endpoint("Mark an alert as read, or as not read", answer=shapes.UnreadAnswer, problems=(404,))
    def post(self, request: Any, query: dict, alert_id: int) -> dict:
        """For the caller alone; others have their own. An alert that was told to others only stays read."""
        find(request.user, alert_id)
        if self.read:
            operations.mark_read(request.user, [alert_id], at=timezone.now())
        else:
            operations.mark_unread(request.user, [alert_id])
        return {"unread": queries.unread_count(request.user)}


class AlertReadAll(ApiView):
    """Reading everything."""

    scopes = {"POST": "admin"}

    @endpoint("Mark all alerts as read", answer=shapes.UnreadAnswer)
    def post(self, request: Any, query: dict) -> dict:
        """For the caller alone."""
        operations.mark_all_read(request.user, at=timezone.now())
        return {"unread": queries.unread_count(request.user)}


class UnreadCount(ApiView):
    """The bell."""

    @endpoint("Number of alerts that are not read", query=ForUser, answer=shapes.UnreadAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """One query on an index: to be asked often."""
        only_own(request.user, query["user"])
        return {"unread": queries.unread_count(request.user)}


class MuteList(ApiView):
    """What is muted."""

    scopes = {"POST": "admin"}

    @endpoint("List mutes", query=ForUser, answer=shapes.MutesAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What the caller does not want to hear of for now."""
        only_own(request.user, query["user"])
        return {"mutes": queries.mutes_of(request.user, at=timezone.now())}

    @endpoint("Mute", body=shapes.NewMute, answer=shapes.MuteAnswer, code=201, problems=(404,))
    def post(self, request: Any, query: dict, body: dict) -> AlertMute:
        """Hear nothing of a budget or a type until then: no message, nothing at the bell; the list shows it."""
        now, limit_id = timezone.now(), body.get("limit")
        if body["until"] <= now:
            raise serializers.ValidationError({"until": "It would be over already."})
        if limit_id is not None and reading.find_limit(limit_id, user=request.user, at=now) is None:
            raise NotFound("There is no such budget.")
        return operations.mute(request.user, limit_id=limit_id, type_=body.get("type", ""), until=body["until"])


class MuteDetail(ApiView):
    """One mute."""

    scopes = {"DELETE": "admin"}

    @endpoint("Take a mute back", code=204, problems=(404,))
    def delete(self, request: Any, query: dict, mute_id: int) -> None:
        """Hear of it again."""
        if not operations.unmute(request.user, mute_id):
            raise NotFound("There is no such mute.")


class Preferences(ApiView):
    """What an account wants to hear of."""

    scopes = {"PATCH": "admin"}

    @endpoint("Preferences of alerts", query=ForUser, answer=shapes.PreferencesAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> AlertPreference:
        """What the caller wants to hear of, on pages and by every channel of its own."""
        only_own(request.user, query["user"])
        return queries.preferences_of(request.user)

    @endpoint("Change preferences of alerts", body=shapes.PreferencesChange, answer=shapes.PreferencesAnswer)
    def patch(self, request: Any, query: dict, body: dict) -> AlertPreference:
        """Counts for alerts from now on."""
        try:
            return operations.set_preferences(request.user, **body)
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from None


def whose_alerts(user: Any, asked: str) -> dict[str, Any]:
    """`?user=` as arguments of `queries.alerts_of`. Raises `NotFound` for accounts that the caller may not see."""
    if asked == "":
        return {}
    if asked == str(user.pk):
        return {"concerning": user.pk}
    if sees_all(user):
        if asked == "all":
            return {"everyone": True}
        if asked.isascii() and asked.isdigit() and len(asked) < 19 and emails_of([int(asked)]):
            return {"concerning": int(asked)}
    raise NotFound("There is no such account.")


def only_own(user: Any, asked: str) -> None:
    """Raises `NotFound` where another account is asked for: what somebody reads and mutes is his own."""
    if asked not in ("", str(user.pk)):
        raise NotFound("There is no such account.")


def find(user: Any, alert_id: int) -> queries.ShownAlert:
    """The alert. Raises `NotFound` where there is none, or it is another's."""
    shown = queries.find_alert(user, alert_id) if alert_id < 2**63 else None
    if shown is None:
        raise NotFound(_NO_ALERT)
    return shown
