"""Whose a window is, between the form kept in the database ("user:7") and the one that people read and type."""

from collections.abc import Iterable, Mapping

from django.contrib.auth import get_user_model

from budgets.models import BudgetLimit, Scope
from tracking.users import emails_of


def names_of(subjects: Iterable[str], emails: Mapping[int, str] | None = None) -> dict[str, str]:
    """What people call these subjects: an email address, the key of an analysis, or "" for everyone's window.

    The addresses are looked up unless the caller has them.
    """
    subjects = set(subjects)
    emails = emails_of(users_of(subjects)) if emails is None else emails
    found = {}
    for subject in subjects:
        kind, _, key = subject.partition(":")
        found[subject] = emails.get(int(key), f"account {key}") if kind == "user" else key
    return found


def users_of(subjects: Iterable[str]) -> set[int]:
    """The ids of the users among these subjects."""
    return {int(key) for kind, _, key in (subject.partition(":") for subject in subjects) if kind == "user"}


def subject_for(limit: BudgetLimit, name: str) -> str:
    """The subject of an "each" limit that a person means. Raises `ValueError` saying what is wrong."""
    name = name.strip()
    if not name:
        return ""
    if limit.scope == Scope.EACH_ANALYSIS:
        return f"analysis:{name}"
    if limit.scope != Scope.EACH_USER:
        raise ValueError("This limit has one subject only: leave it empty.")
    user = get_user_model().objects.filter(email__iexact=name).first()
    if user is None:
        raise ValueError(f"There is no account with the email address {name!r}.")
    return f"user:{user.pk}"
