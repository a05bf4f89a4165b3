"""The people of the demo workspace."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.db import transaction

NAMES = ("alice", "bob", "charlie", "erin")
STAFF = "dora"
DOMAIN = "example.com"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts that are there now."""

    users: list  # those who make calls, in a fixed order
    staff: object
    password: str | None  # of the accounts that were made just now; None where none was
    created: list[str]  # their email addresses


def make(*, password: str | None = None) -> Accounts:
    """Make the demo's accounts that are missing; those that are there stay as they are.

    Their password is `password`, else a generated one.
    """
    chosen = password or secrets.token_urlsafe(9)
    model = get_user_model()
    created: list[str] = []

    def account(name: str, **extra: bool):
        email = f"{name}@{DOMAIN}"
        found = model.objects.filter(email__iexact=email).first()
        if found is None:
            found = model.objects.create_user(email, chosen, first_name=name.capitalize(), **extra)
            created.append(email)
        return found

    with transaction.atomic():
        users = [account(name) for name in NAMES]
        staff = account(STAFF, is_staff=True, is_superuser=True)
    return Accounts(users=users, staff=staff, password=chosen if created else None, created=created)
