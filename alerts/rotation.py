"""Changing the key that channels' secrets are encrypted with."""

from dataclasses import dataclass

from alerts import secrets
from alerts.models import Channel


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation came to."""

    done: int
    unreadable: tuple[str, ...]  # "12 (Slack of the team)": channels whose key is not among ALERT_SECRET_KEYS


def rotate() -> Rotated:
    """Encrypt every channel's secrets with the first of ALERT_SECRET_KEYS. May be run again, and while others save.

    What cannot be read stays as it is: its key may come back. Raises `secrets.NoKey` where there is no key at all.
    """
    done, unreadable = 0, []
    for pk, name, sealed in Channel.objects.exclude(secrets="").order_by("pk").values_list("pk", "name", "secrets"):
        try:
            renewed = secrets.reseal(sealed)
        except secrets.Unreadable:
            unreadable.append(f"{pk} ({name})")
            continue
        # Only what was read is replaced: who saved other secrets meanwhile did so with the first key already.
        done += Channel.objects.filter(pk=pk, secrets=sealed).update(secrets=renewed)
    return Rotated(done, tuple(unreadable))
