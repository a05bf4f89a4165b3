"""`/api/v1/channels`: the ways by which an account, or staff, are told."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied, Throttled

from alerts import managing, queries
from alerts.api import shapes
from alerts.api.views import only_own
from alerts.channels import kinds
from alerts.models import Channel
from alerts.trials import Tested, TooManyTests, send_test
from tracking.api.fields import ForUser
from tracking.api.views import ApiView, endpoint

_NAMES = {"active": "is_active"}


class ChannelList(ApiView):
    """Channels."""

    scopes = {"POST": "admin"}

    @endpoint("List channels", query=ForUser, answer=shapes.ChannelsAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """The caller's own, with email to its own address from the start; then staff's, with the permission."""
        if query["user"] != "all" or not queries.sees_staff_channels(request.user):
            only_own(request.user, query["user"])
        found = queries.channels_of(request.user)
        if queries.sees_staff_channels(request.user):
            found += queries.staff_channels()
        return {"channels": found}

    @endpoint("Make a channel", body=shapes.NewChannel, answer=shapes.ChannelAnswer, code=201)
    def post(self, request: Any, query: dict, body: dict) -> Channel:
        """A new channel of the caller's own, or of staff with the permission. Try it with a test."""
        for_staff = body.pop("for_staff")
        if for_staff and not (request.user.is_staff and request.user.has_perm("alerts.add_channel")):
            raise PermissionDenied("Channels of staff take the permission to add channels.")
        owner = None if for_staff else request.user
        zone = getattr(request.user, "time_zone", "UTC")
        return _saved(Channel(kind=body.pop("kind"), owner=owner, time_zone=zone), body)


class ChannelDetail(ApiView):
    """One channel."""

    scopes = {"PATCH": "admin", "DELETE": "admin"}

    @endpoint("One channel", answer=shapes.ChannelAnswer, problems=(404,))
    def get(self, request: Any, query: dict, channel_id: int) -> Channel:
        """A channel, without its secrets."""
        return _find(request, channel_id)

    @endpoint("Change a channel", body=shapes.ChannelChange, answer=shapes.ChannelAnswer, problems=(404,))
    def patch(self, request: Any, query: dict, body: dict, channel_id: int) -> Channel:
        """Counts for what is sent from now on, what waits included."""
        return _saved(_find(request, channel_id, change=True), body)

    @endpoint("Delete a channel", code=204, problems=(404,))
    def delete(self, request: Any, query: dict, channel_id: int) -> None:
        """Send nothing by it any more. The one that is there from the start is switched off instead."""
        managing.delete_channel(_find(request, channel_id, change=True), at=timezone.now())


class ChannelTest(ApiView):
    """Trying a channel."""

    scopes = {"POST": "admin"}

    @endpoint("Send a test", answer=shapes.TestAnswer, problems=(404,))
    def post(self, request: Any, query: dict, channel_id: int) -> Tested:
        """Send a test message now, and tell what the receiver said. To the first three recipients, at most ten messages
        a minute, and for at most 15 seconds.
        """
        channel = _find(request, channel_id, change=True)
        try:
            return send_test(channel, by=request.user, at=timezone.now())
        except TooManyTests as error:
            raise Throttled(wait=60, detail=str(error)) from None


class ChannelEnable(ApiView):
    """Bringing one back."""

    scopes = {"POST": "admin"}

    @endpoint("Enable a channel", answer=shapes.ChannelAnswer, problems=(404,))
    def post(self, request: Any, query: dict, channel_id: int) -> Channel:
        """Let a channel that was disabled for failing send again."""
        channel = _find(request, channel_id, change=True)
        managing.enable_channel(channel, at=timezone.now())
        return channel


class KindList(ApiView):
    """Kinds."""

    @endpoint("Kinds of channels", answer=shapes.KindsAnswer)
    def get(self, request: Any, query: dict) -> dict:
        """Which kinds there are, and what each needs."""
        return {"kinds": list(kinds().values())}


def _find(request: Any, channel_id: int, *, change: bool = False) -> Channel:
    found = queries.find_channel(request.user, channel_id, change=change) if channel_id < 2**63 else None
    if found is None:
        raise NotFound("There is no such channel.")
    return found


def _saved(channel: Channel, body: dict) -> Channel:
    values = dict(body)
    secrets = values.pop("secrets", None)
    if channel.implied and values.pop("config", None):
        raise serializers.ValidationError({"config": "It goes to the account's own address. Make another for others."})
    for name, value in values.items():
        setattr(channel, _NAMES.get(name, name), value)
    channel.name = channel.name or channel.kind.capitalize()
    try:
        return managing.save_channel(channel, given_secrets=secrets, at=timezone.now())
    except ValidationError as error:
        told = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        raise serializers.ValidationError(
            {"non_field_errors" if name == "__all__" else name: texts for name, texts in told.items()}
        ) from None
