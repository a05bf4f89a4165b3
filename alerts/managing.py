"""Channels are made, changed and deleted here: the same for pages, admin and API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError

from alerts import bundles, channels, dying, outbox, secrets, sending
from alerts.channels.errors import InvalidChannel
from alerts.models import Channel, Digest

#: Of one account, and of staff together.
MOST_CHANNELS = 50


def validated(
    channel: Channel, *, config: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`config` and secrets as this channel may have them. Raises `InvalidChannel`, per field."""
    read, opened = channels.validate(channel.kind, config=config, secrets=given, inside=sending.goes_inside(channel))
    if sending.strangers(channel, read):
        domains = ", ".join(settings.ALERT_EMAIL_DOMAINS)
        also = f", or addresses of {domains}" if domains else ""
        raise InvalidChannel({"to": f"You can use your own address{also}. Staff can write to others."})
    return read, opened


def save_channel(channel: Channel, *, given_secrets: Mapping[str, Any] | None = None, at: datetime) -> Channel:
    """Save a channel after checking everything. Secrets that are given replace those of their names; None removes one,
    and what is left out stays.

    Raises `ValidationError` saying per field what is wrong, and changes nothing then.
    """
    was = Channel.objects.filter(pk=channel.pk).first() if channel.pk else None
    wanted = secrets.merged(channel.secrets, given_secrets or {})
    try:
        channel.config, opened = validated(channel, config=channel.config or {}, given=wanted)
    except InvalidChannel as error:
        raise ValidationError({name: [text] for name, text in error.errors.items()}) from None
    try:
        channel.secrets = secrets.seal(opened)
    except secrets.SecretsError as error:
        raise ValidationError({"secrets": str(error)}) from None
    channel.created_at = channel.created_at or at
    channel.updated_at = at
    channel.full_clean(exclude=["owner"])
    if was is None and Channel.objects.filter(owner=channel.owner).count() >= MOST_CHANNELS:
        raise ValidationError(f"At most {MOST_CHANNELS} channels: delete one that is not needed any more.")
    channel.save(at=at)
    if was is not None:
        _for_what_waits(was, channel)
    return channel


def _for_what_waits(was: Channel, channel: Channel) -> None:
    """Let a change count for what waits already."""
    if was.is_active and not channel.is_active:
        bundles.let_go(channel, reason="The channel is switched off.")
    elif was.digest != Digest.OFF and channel.digest == Digest.OFF:
        bundles.release(channel)
    times = ("quiet_from", "quiet_until", "quiet_critical", "time_zone")
    if any(getattr(was, name) != getattr(channel, name) for name in times):
        outbox.look_again(channel)


def delete_channel(channel: Channel, *, at: datetime) -> None:
    """Delete a channel with its deliveries. The one that an account has from the start is switched off instead."""
    if channel.implied:
        Channel.objects.filter(pk=channel.pk).update(is_active=False, updated_at=at)
        bundles.let_go(channel, reason="The channel is switched off.")
        return
    channel.delete()


def enable_channel(channel: Channel, *, at: datetime) -> None:
    """Let a channel that was disabled for failing send again."""
    dying.enable(channel, at=at)
    channel.refresh_from_db()


def mute_channel(channel: Channel, *, until: datetime | None, at: datetime) -> None:
    """Send nothing by a channel until then; None: send again."""
    Channel.objects.filter(pk=channel.pk).update(muted_until=until, updated_at=at)
    channel.muted_until = until
