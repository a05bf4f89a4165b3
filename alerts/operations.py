"""What is done with alerts: raised once, resolved, read, muted. Each is right when it runs twice, or twice at once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from alerts.findings import Finding
from alerts.kinds import RANK, Type
from alerts.messages import clean
from alerts.models import AlertMute, AlertPreference, AlertRead, CostAlert
from alerts.planning import plan, plan_raised

logger = logging.getLogger(__name__)

#: The longest line of a text, in characters.
_TEXT_CHARS = 5_000
#: What a finding says of an alert that is there already; who was told and what was sent stays as it is.
_REFRESHED = ("severity", "title", "text", "spent", "limit_amount", "held", "facts", "details", "window_id")


def raise_alerts(findings: Iterable[Finding], *, at: datetime) -> list[CostAlert]:
    """Write an alert with its deliveries for each finding that is new, in one transaction. Returns the new ones.

    One whose key is known is brought up to date and holds (again): nothing is sent a second time. Where it had been
    resolved meanwhile, it is unread again. Where it has become more severe, it is sent to whom it was not sent before.
    """
    by_key = {finding.dedupe_key: finding for finding in findings}
    if not by_key:
        return []
    with transaction.atomic():
        known = {row.dedupe_key: row for row in CostAlert.objects.filter(dedupe_key__in=list(by_key))}
        new = []
        for key in sorted(by_key):  # in the same order everywhere: who waits for another's row is never waited for
            finding = by_key[key]
            alert = known.get(key)
            if alert is None and (alert := _create(finding, at=at)) is not None:
                new.append(alert)
                continue
            _refresh(alert or CostAlert.objects.get(dedupe_key=key), finding, at=at)
    return new


def _create(finding: Finding, *, at: datetime) -> CostAlert | None:
    """The alert with its deliveries; None where another process has just written it."""
    if len(finding.dedupe_key) > 500:
        raise ValueError(f"A dedupe key has at most 500 characters: {finding.dedupe_key[:80]!r}...")
    alert = alert_of(finding, at=at)
    try:
        with transaction.atomic():  # a savepoint: PostgreSQL breaks the transaction off otherwise
            alert.save(force_insert=True)
    except IntegrityError:
        if CostAlert.objects.filter(dedupe_key=finding.dedupe_key).exists():
            return None
        raise
    if not finding.silent:
        plan(alert, at=at)
    return alert


def alert_of(finding: Finding, *, at: datetime) -> CostAlert:
    """What a finding is as an alert, not saved."""
    alert = CostAlert(
        dedupe_key=finding.dedupe_key,
        type=finding.type,
        user_id=finding.user_id,
        limit_id=finding.limit_id,
        window_id=finding.window_id,
        window_start=finding.window_start,
        window_end=finding.window_end,
        subject=finding.subject[:220],
        threshold=finding.threshold,
        count=finding.count,
        occurred_at=finding.at,
        created_at=at,
        updated_at=at,
    )
    _say(alert, finding)
    return alert


def _refresh(alert: CostAlert, finding: Finding, *, at: datetime) -> None:
    before = {name: getattr(alert, name) for name in (*_REFRESHED, "count", "resolved_at")}
    _say(alert, finding)
    alert.count, alert.resolved_at = max(alert.count, finding.count), None
    changed = [name for name, value in before.items() if getattr(alert, name) != value]
    if "resolved_at" in changed:  # those that did not want to hear of it have it as read since it was made
        AlertRead.objects.filter(alert=alert, read_at__gt=alert.created_at).update(read_at=None)
    if changed:
        alert.updated_at = at
        alert.save(update_fields=[*changed, "updated_at"])
    if RANK[alert.severity] > RANK[before["severity"]] and not finding.silent:
        plan_raised(alert, at=at)


def _say(alert: CostAlert, finding: Finding) -> None:
    for name in _REFRESHED:
        setattr(alert, name, getattr(finding, name))
    # As messages do: what shows nothing or turns round what stands beside it is in no name.
    alert.title = clean(finding.title, 300)
    alert.text = "\n".join(clean(line, _TEXT_CHARS) for line in finding.text.splitlines())
    alert.facts = [[clean(label), clean(value)] for label, value in finding.facts]
    alert.details = dict(finding.details)


def resolve(type_: Type, *, still: Collection[str], at: datetime, prefix: str = "") -> int:
    """Mark alerts of this type as no longer holding, but for those whose keys are in `still`. Returns how many.

    With `prefix`, only alerts whose key begins with it are looked at.
    """
    rows = CostAlert.objects.filter(type=type_, resolved_at=None)
    if prefix:
        rows = rows.filter(dedupe_key__startswith=prefix)
    keep = set(still)
    over = [pk for pk, key in rows.values_list("pk", "dedupe_key") if key not in keep]
    return _resolved(over, at=at)


def _resolved(ids: Sequence[int], *, at: datetime) -> int:
    done = 0
    for start in range(0, len(ids), 500):
        rows = CostAlert.objects.filter(pk__in=ids[start : start + 500], resolved_at=None)
        done += rows.update(resolved_at=at, updated_at=at)
    return done


def mark_read(user: Any, ids: Collection[int], *, at: datetime) -> int:
    """Mark alerts as read by this account; returns how many were not. Ids of others' alerts change nothing."""
    return AlertRead.objects.filter(user=user, alert_id__in=list(ids), read_at=None).update(read_at=at)


def mark_unread(user: Any, ids: Collection[int]) -> int:
    """Mark alerts that this account was told of as not read; returns how many were."""
    return AlertRead.objects.filter(user=user, alert_id__in=list(ids), read_at__isnull=False).update(read_at=None)


def mark_all_read(user: Any, *, at: datetime) -> int:
    """Mark everything as read that this account was told of; returns how many were not."""
    return AlertRead.objects.filter(user=user, read_at=None).update(read_at=at)


def mute(user: Any, *, until: datetime, limit_id: int | None = None, type_: str = "") -> AlertMute:
    """Tell this account nothing of a limit, or of a type, until then. Raises `ValidationError`."""
    if limit_id is None and not type_:
        raise ValidationError("Say what to mute: a limit, a type, or both.")
    with transaction.atomic():
        row = AlertMute.objects.filter(user=user, limit_id=limit_id, type=type_).order_by("pk").first()
        row = row or AlertMute(user=user, limit_id=limit_id, type=type_)
        row.until = until
        row.full_clean()
        row.save()
    return row


def unmute(user: Any, mute_id: int) -> bool:
    """Take a mute back. False where there is none of this account."""
    return bool(AlertMute.objects.filter(user=user, pk=mute_id).delete()[0])


def set_preferences(
    user: Any, *, min_severity: str | None = None, types_off: list[str] | None = None, summary: str | None = None
) -> AlertPreference:
    """Change what an account wants to hear of; what is None stays as it is. Raises `ValidationError`."""
    row = AlertPreference.objects.filter(user=user).first() or AlertPreference(user=user)
    if min_severity is not None:
        row.min_severity = min_severity
    if types_off is not None:
        row.types_off = sorted(set(types_off))
    if summary is not None:
        row.summary = summary
    row.full_clean()
    row.save()
    return row
