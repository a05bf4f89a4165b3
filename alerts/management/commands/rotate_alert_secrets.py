"""Encrypt the secrets of alert channels with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from alerts.messages import clean
from alerts.rotation import rotate
from alerts.secrets import SecretsError


class Command(BaseCommand):
    help = "Encrypt the secrets of alert channels with the first of ALERT_SECRET_KEYS; then the old key can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how many were encrypted anew. Fails where some could not be read, and names them."""
        try:
            rotated = rotate()
        except SecretsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{rotated.done} channels' secrets are encrypted with the newest key.")
        if rotated.unreadable:
            raise CommandError(
                f"Not readable with any of ALERT_SECRET_KEYS: channels {clean(', '.join(rotated.unreadable), 1000)}. "
                "Put their key back into ALERT_SECRET_KEYS and run this again, or enter their secrets again."
            )
