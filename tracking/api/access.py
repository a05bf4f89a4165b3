"""Who may ask, and whose calls the answer is about.

`request.auth` is the API key or login token of the request; None for a browser session. Keys are told by what they
have (`scopes`, `public_id`), so that this package need not know the model, which lives above it.
"""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import BasePermission

#: What a key may be allowed to do, and how it reads in documentation.
SCOPES = {
    "read": "read calls, sums, budgets and prices",
    "ingest": "send usage",
    "call": "check, reserve and settle for calls, and estimate",
    "admin": "change budgets, keys, alerts and channels",
}
SEE_ALL = "tracking.view_apiusagelog"


class HasScope(BasePermission):
    """The key has the scope that the view names for the method (`scopes = {"PUT": "admin"}`; else `read`)."""

    def has_permission(self, request: Any, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        scope = scope_of(view, request.method)
        if request.auth is not None and scope not in request.auth.scopes:
            raise PermissionDenied(
                f"This key lacks the scope '{scope}'. It has: {', '.join(request.auth.scopes) or 'none'}. "
                "Use one that has it: keys are made at /account/keys/, or with POST /api/v1/keys."
            )
        return True


def scope_of(view: Any, method: str) -> str:
    """The scope that a key needs for this method of a view."""
    return getattr(view, "scopes", {}).get(method, "read")


def sees_all(user: Any) -> bool:
    """Whether an account may see everybody's calls: staff with the permission to view usage logs."""
    return bool(user.is_staff and user.has_perm(SEE_ALL))


def whose(request: Any, user: str = "") -> int | None:
    """The id of the account whose calls are asked for (`?user=`); None for everybody's.

    Raises `NotFound` for accounts that the caller may not see, whether they exist or not.
    """
    own = request.user.pk
    if user in ("", str(own)):
        return own
    if not sees_all(request.user):
        raise NotFound("There is no such account.")
    if user == "all":
        return None
    from tracking.users import emails_of

    if not user.isascii() or not user.isdigit() or not emails_of([int(user)] if len(user) < 19 else []):
        raise NotFound("There is no such account.")
    return int(user)


def key_of(request: Any) -> str:
    """The public id of the API key of a request; "" for logins and sessions. Calls carry it as the tag `api_key`."""
    return getattr(request.auth, "public_id", "") or ""
