"""What could keep alerts from arriving, for `manage.py doctor`: mail, keys of secrets, dead channels."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from alerts import channels, secrets
from alerts.messages import clean
from alerts.models import Channel, Delivery
from costwatch.diagnosis import Finding

#: A delivery that nobody has tried for so long is late.
LATE = timedelta(minutes=5)


def check_alerts(*, now: datetime) -> Iterator[Finding]:
    """Look at the installation's mail and at every channel that is switched on."""
    if without := channels.unavailable("email"):
        yield Finding(
            "Mail", "note", without, "Set EMAIL_URL to be told of alerts by email: docs/guides/alert-channels.md"
        )
    else:
        yield Finding("Mail", "ok", "A mail server is set.")
    if late := Delivery.objects.filter(
        state__in=("planned", "claimed"), attempts=0, next_at__lte=now - LATE, planned_at__lte=now - LATE
    ).count():
        yield Finding(
            "Alert deliveries", "problem", f"{late} have been due for more than {LATE.seconds // 60} minutes.",
            "Does the worker run (make run)? It sends them as soon as it does.",
        )  # fmt: skip
    used = Channel.objects.filter(is_active=True)
    unreadable = [
        f"{pk} ({name})"
        for pk, name, sealed in used.exclude(secrets="").values_list("pk", "name", "secrets").iterator()
        if not _readable(sealed)
    ]
    if unreadable:
        yield Finding(
            "Alert channels", "problem", f"Secrets that no key of ALERT_SECRET_KEYS opens: {_named(unreadable)}.",
            "Put their key back into ALERT_SECRET_KEYS, or enter their secrets again.",
        )  # fmt: skip
    dead = [f"{pk} ({name})" for pk, name in used.filter(disabled_at__isnull=False).values_list("pk", "name")]
    if dead:
        yield Finding(
            "Alert channels", "problem", f"Disabled because they failed for long: {_named(dead)}.",
            "Look at the error on the page of alert settings, put it right, send a test, and enable them again.",
        )  # fmt: skip
    if not unreadable and not dead:
        yield Finding("Alert channels", "ok", "None is disabled or unreadable.")


def _readable(sealed: str) -> bool:
    try:
        secrets.unseal(sealed)
    except secrets.SecretsError:
        return False
    return True


def _named(names: list[str]) -> str:
    return clean(", ".join(names[:10]) + (", ..." if len(names) > 10 else ""), 500)
