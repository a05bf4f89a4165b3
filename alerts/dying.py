"""Channels that fail: counted, disabled after a while, and their owner told by another way."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db.models import Case, F, Value, When

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import Channel, Delivery
from alerts.operations import raise_alerts
from alerts.sending import Answer

logger = logging.getLogger(__name__)

#: A channel that did nothing but fail for so long, and so often, is disabled.
DEAD_AFTER = timedelta(hours=24)
DEAD_FAILURES = 5
#: Where a refusal will not change by itself (an address that does not exist, a token that was revoked), so many do.
DEAD_REFUSALS = 3


def note_success(channel_id: int, *, at: datetime) -> None:
    """A message arrived: what failed before is forgotten."""
    rows = Channel.objects.filter(pk=channel_id)
    rows.update(failures=0, failing_since=None, last_error="", last_sent_at=at)


def note_failure(channel_id: int, answer: Answer, *, at: datetime) -> None:
    """A message did not arrive. Disables the channel where it is dead, and tells its owner by the others."""
    rows = Channel.objects.filter(pk=channel_id)
    # In the database, as several workers may do this at once.
    since = Case(When(failing_since=None, then=Value(at)), default=F("failing_since"))
    rows.update(failures=F("failures") + 1, failing_since=since, last_error=answer.text)
    channel = rows.select_related("owner").get()
    # The mail server that does not answer is the installation's: no account's address is at fault.
    ours = channel.kind == "email" and answer.result == "temporary"
    lasting = channel.failures >= DEAD_FAILURES and at - channel.failing_since >= DEAD_AFTER
    refused = answer.result == "permanent" and channel.failures >= DEAD_REFUSALS
    if answer.result == "gone" or ((lasting or refused) and not ours):
        disable(channel, answer.text, at=at)


def disable(channel: Channel, reason: str, *, at: datetime) -> bool:
    """Send nothing by this channel any more, and tell its owner elsewhere. False where it was disabled before."""
    rows = Channel.objects.filter(pk=channel.pk, disabled_at=None)
    if not rows.update(disabled_at=at, disabled_reason=reason[:500], updated_at=at):
        return False
    # Those on their way are skipped when their turn comes; to lock them here could wait for who waits for the channel.
    Delivery.objects.filter(channel=channel, state=Delivery.State.COLLECTED).update(
        state=Delivery.State.SKIPPED, last_error=f"The channel was disabled: {reason}"[:500]
    )
    logger.warning("Channel %s (%s) was disabled: %s", channel.pk, channel.kind, reason)
    raise_alerts([_finding(channel, reason, at)], at=at)
    return True


def enable(channel: Channel, *, at: datetime) -> None:
    """Let a channel that was disabled send again."""
    Channel.objects.filter(pk=channel.pk).update(
        disabled_at=None, disabled_reason="", failing_since=None, failures=0, last_error="", updated_at=at
    )


def _finding(channel: Channel, reason: str, at: datetime) -> Finding:
    since = channel.failing_since or at
    return Finding(
        type=Type.CHANNEL_DIED,
        severity=Severity.WARNING,
        dedupe_key=f"{Type.CHANNEL_DIED}:{channel.pk}:{at:%Y%m%dT%H%M%S.%fZ}",
        title=f"Alerts no longer go to {channel.name or channel.kind}",
        text=(
            f"The channel failed {channel.failures} times in a row and was disabled. The last answer: {reason} "
            "Correct it on the page of alert settings, send a test, and enable it again."
        ),
        at=at,
        user_id=channel.owner_id,
        subject=f"channel:{channel.pk}",
        facts=(
            ("Channel", channel.name or channel.kind),
            ("Kind", channel.kind),
            ("Failing since", f"{since:%Y-%m-%d %H:%M} UTC"),
        ),
        details={"channel": channel.pk, "kind": channel.kind},
    )
