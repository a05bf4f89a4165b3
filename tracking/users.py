"""Users as the ledger knows them: by id, with the email address they are shown and found by."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.db.models.functions import Lower


def emails_of(user_ids: Iterable[int | None]) -> dict[int, str]:
    """The email addresses of the users that exist, by id."""
    model = get_user_model()
    wanted = {user_id for user_id in user_ids if user_id and 0 < user_id < 2**63}
    return dict(model.objects.filter(pk__in=wanted).values_list("pk", model.get_email_field_name()))


def ids_of(users: Iterable[object]) -> dict[object, int]:
    """The ids of users given as ids or email addresses, by what was given; those that nobody has are left out."""
    found: dict[object, int] = {}
    emails: dict[str, list[str]] = {}
    for user in users:
        if user.__class__ is int:
            if 0 < user < 2**63:
                found[user] = user
        elif user.isascii() and user.isdigit() and len(user) < 19:
            found[user] = int(user)
        else:
            email = user.replace("\0", "")[:254].encode("utf-8", "replace").decode().lower()
            emails.setdefault(email, []).append(user)
    if emails:
        model = get_user_model()
        known = model.objects.annotate(lowered=Lower(model.get_email_field_name())).filter(lowered__in=sorted(emails))
        for email, user_id in known.values_list("lowered", "pk"):
            found.update(dict.fromkeys(emails[email], user_id))
    return found
