"""Channels that fail: counted, disabled after a while, and their owner told by another way."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, F, Value, When

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import Channel, CostAlert, Delivery
from alerts.operations import raise_alerts
from alerts.sending import Answer

logger = logging.getLogger(__name__)

#: A channel that did nothing but fail for so long, and so often, is disabled.
DEAD_AFTER = timedelta(hours=24)
DEAD_FAILURES = 5
#: Where refusals will not pass by themselves (an address that does not exist, a token that was revoked), so many over
#: so long do.
DEAD_REFUSALS = 3
REFUSED_FOR = timedelta(minutes=30)
#: Staff are told that no mail can be sent when one was tried so often: for some six minutes.
MAIL_TRIES = 5


def note_success(channel_id: int, *, at: datetime, kind: str = "") -> None:
    """A message arrived: what failed before is forgotten."""
    rows = Channel.objects.filter(pk=channel_id)
    rows.update(
        failures=0, failing_since=None, refusals=0, refused_since=None, last_error="", last_sent_at=at
    )  # fmt: skip
    if kind == "email":
        _mail_again(at)


def note_failure(channel_id: int, answer: Answer, *, at: datetime) -> None:
    """A message did not arrive. Disables the channel where it is dead, and tells its owner by the others."""
    rows = Channel.objects.filter(pk=channel_id)
    # In the database, as several workers may do this at once.
    counted: dict[str, Any] = {
        "failures": F("failures") + 1,
        "failing_since": Case(When(failing_since=None, then=Value(at)), default=F("failing_since")),
        "last_error": answer.text,
    }
    if answer.result == "permanent":
        counted["refusals"] = F("refusals") + 1
        counted["refused_since"] = Case(When(refused_since=None, then=Value(at)), default=F("refused_since"))
    rows.update(**counted)
    channel = rows.select_related("owner").get()
    # A mailbox that is not taken for now is no dead one: it is given time for as long as its deliveries are tried.
    for_now = channel.kind == "email" and answer.result == "temporary"
    lasting = channel.failures >= DEAD_FAILURES and at - channel.failing_since >= DEAD_AFTER
    refused = (
        answer.result == "permanent" and channel.refusals >= DEAD_REFUSALS and at - channel.refused_since >= REFUSED_FOR
    )
    if answer.result == "gone" or ((lasting or refused) and not for_now):
        disable(channel, answer.text, at=at)


def note_ours(kind: str, attempts: int, answer: Answer, *, at: datetime) -> None:
    """What this installation sends with failed: no channel's fault. Tells staff where no mail can be sent."""
    if kind != "email" or attempts < MAIL_TRIES:
        return
    if CostAlert.objects.filter(type=Type.MAIL_FAILING, resolved_at=None).exists():
        return
    logger.warning("No mail can be sent: %s", answer.text)
    raise_alerts([say_no_mail(answer.text, at)], at=at)


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
    raise_alerts([say_died(channel, reason, at)], at=at)
    return True


def enable(channel: Channel, *, at: datetime) -> None:
    """Let a channel that was disabled send again."""
    Channel.objects.filter(pk=channel.pk).update(
        disabled_at=None, disabled_reason="", failing_since=None, failures=0, refused_since=None, refusals=0,
        last_error="", updated_at=at,
    )  # fmt: skip


def _mail_again(at: datetime) -> None:
    """Mail is sent: the alert is over, unless a server takes it for some and not for others."""
    failing = CostAlert.objects.filter(type=Type.MAIL_FAILING, resolved_at=None)
    if not failing.exists():
        return
    on_their_way = Delivery.objects.filter(state__in=[Delivery.State.PLANNED, Delivery.State.CLAIMED])
    if not on_their_way.filter(channel_kind="email", attempts__gte=MAIL_TRIES).exists():
        failing.update(resolved_at=at, updated_at=at)


def say_no_mail(said: str, at: datetime) -> Finding:
    """What the mail server said, and what to do."""
    return Finding(
        type=Type.MAIL_FAILING,
        severity=Severity.CRITICAL,
        dedupe_key=f"{Type.MAIL_FAILING}:{at:%Y%m%dT%H}",
        title="Mail cannot be sent",
        text=(
            f"{said} Mail waits and is tried again for hours; no channel is disabled for it. Correct EMAIL_URL or "
            "EMAIL_FROM and restart web server and worker, or put the mail server right."
        ),
        at=at,
        subject="mail",
        facts=(("Noticed", f"{at:%Y-%m-%d %H:%M} UTC"),),
    )


def say_died(channel: Channel, reason: str, at: datetime) -> Finding:
    """What failed, since when, and what to do."""
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
