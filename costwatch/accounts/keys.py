"""API keys and login tokens: made, rotated, revoked, checked. Only a hash of a secret is kept."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare

from budgets.keys import end_budget, set_budget
from costwatch.accounts.models import ApiKey, User
from tracking.api.access import SCOPES

logger = logging.getLogger(__name__)

PREFIX = "cw_"
#: How often the last use of a key is written down, at most.
LAST_USED_EVERY = timedelta(minutes=1)
#: Keys that one account may have at a time.
MAX_KEYS = 100
#: Secrets of one key that may be live at a time: the old one and the one that replaces it.
MAX_LIVE = 2


def create_key(
    user: User,
    *,
    name: str,
    scopes: Sequence[str],
    now: datetime,
    environment: str = "",
    expires_at: datetime | None = None,
    budget: Mapping[str, Any] | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which cannot be seen again; with a `budget` (amount, period, hard) of its own if given.

    Raises `ValidationError` saying what is wrong.
    """
    wrong = {}
    if not name.strip():
        wrong["name"] = "Say what the key is for."
    if not scopes or set(scopes) - set(SCOPES):
        wrong["scopes"] = f"Give one or more of: {', '.join(SCOPES)}."
    if expires_at is not None and expires_at <= now:
        wrong["expires_at"] = "The key would have expired already."
    if wrong:
        raise ValidationError(wrong)
    if live_keys(user, now=now).count() >= MAX_KEYS:
        raise ValidationError(f"An account has at most {MAX_KEYS} keys. Revoke one first.")
    with transaction.atomic():
        made = _made(
            user,
            public_id=f"key_{secrets.token_hex(8)}",
            generation=1,
            name=name.strip(),
            scopes=[scope for scope in SCOPES if scope in scopes],
            environment=environment,
            expiry=expires_at,
        )
        if budget is not None:
            _set_budget(made[0], budget, now=now, is_new=True)
    return made


def change_key(
    user: User,
    public_id: str,
    *,
    now: datetime,
    name: str | None = None,
    environment: str | None = None,
    budget: Mapping[str, Any] | None | Literal[False] = False,
) -> None:
    """Change what is given; a `budget` of None ends the one it has.

    Raises `ApiKey.DoesNotExist` without a live secret, `ValidationError` saying what is wrong.
    """
    with transaction.atomic():
        key = live_keys(user, now=now).filter(public_id=public_id).order_by("-generation").first()
        if key is None:
            raise ApiKey.DoesNotExist
        if name is not None and not name.strip():
            raise ValidationError({"name": "Say what the key is for."})
        told = {"name": name and name.strip(), "environment": environment}
        changes = {field: value for field, value in told.items() if value is not None}
        if changes:
            ApiKey.objects.filter(user=user, public_id=public_id, kind=ApiKey.Kind.KEY).update(**changes)
        if budget is None:
            end_budget(public_id, owner=user, by=user, at=now)
        elif budget is not False:
            _set_budget(key, budget, now=now, is_new=False)


def _set_budget(key: ApiKey, budget: Mapping[str, Any], *, now: datetime, is_new: bool) -> None:
    try:
        set_budget(key.public_id, owner=key.user, values=dict(budget), name=key.name, at=now, is_new=is_new)
    except ValidationError as error:
        raise ValidationError({f"budget.{name}": texts for name, texts in error.message_dict.items()}) from None


def rotate_key(user: User, public_id: str, *, now: datetime) -> tuple[ApiKey, str]:
    """A second secret for a key, under the same public id. The one before goes on working until it is revoked.

    Raises `ApiKey.DoesNotExist` without a live one, `ValidationError` where two are live already.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two rotations at a time: one after the other
        live = list(live_keys(user, now=now).filter(public_id=public_id).order_by("-generation"))
        if not live:
            raise ApiKey.DoesNotExist
        if len(live) >= MAX_LIVE:
            raise ValidationError(
                f"Two secrets of this key are live. Revoke generation {live[-1].generation} once nothing uses it."
            )
        last = live[0]
        return _made(
            user,
            public_id=public_id,
            generation=last.generation + 1,
            name=last.name,
            scopes=last.scopes,
            environment=last.environment,
            expiry=last.expiry,
        )


def revoke_key(
    owner: User, public_id: str, *, now: datetime, generation: int | None = None, by: User | None = None
) -> int:
    """Revoke a key, or one secret of it. Counts at once, everywhere. Returns how many secrets were live until now.

    With its last secret, the budget that the key had of its own ends. `by`: who revokes, where that is not the owner.
    """
    with transaction.atomic():
        unrevoked = ApiKey.objects.filter(user=owner, kind=ApiKey.Kind.KEY, public_id=public_id, revoked_at=None)
        rows = unrevoked if generation is None else unrevoked.filter(generation=generation)
        revoked = rows.update(revoked_at=now)
        if revoked and not unrevoked.exists():
            end_budget(public_id, owner=owner, by=by or owner, at=now)
    return revoked


def log_in(user: User, *, now: datetime, lifetime: timedelta) -> tuple[ApiKey, str]:
    """A login token, with everything that the account may do. Those of the account that are over are forgotten."""
    ApiKey.objects.filter(user=user, kind=ApiKey.Kind.LOGIN, expiry__lte=now).delete()
    return _made(
        user,
        kind=ApiKey.Kind.LOGIN,
        public_id="",
        name="login",
        scopes=list(SCOPES),
        expiry=now + lifetime,
        password_mark=_password_mark(user),
    )


def live_keys(user: User, *, now: datetime) -> QuerySet[ApiKey]:
    """The secrets of an account's keys that are accepted now."""
    return ApiKey.objects.filter(Q(expiry=None) | Q(expiry__gt=now), user=user, kind=ApiKey.Kind.KEY, revoked_at=None)


def keys_of(user_id: int | None, *, public_id: str = "", limit: int = MAX_KEYS, offset: int = 0) -> list[list[ApiKey]]:
    """The keys of an account (None: of all), the newest first; of each its secrets, the newest first."""
    first = ApiKey.objects.filter(kind=ApiKey.Kind.KEY, generation=1)
    if user_id is not None:
        first = first.filter(user_id=user_id)
    if public_id:
        first = first.filter(public_id=public_id)
    names = list(first.order_by("-created", "pk").values_list("public_id", flat=True)[offset : offset + limit])
    found: dict[str, list[ApiKey]] = {name: [] for name in names}
    for row in ApiKey.objects.filter(public_id__in=names, kind=ApiKey.Kind.KEY).order_by("-generation"):
        found[row.public_id].append(row)
    return list(found.values())


def problem_of(token: ApiKey, *, now: datetime) -> str:
    """Why a token is not accepted; "" where it is."""
    if token.revoked_at is not None:
        return "This key has been revoked."
    if token.expiry is not None and token.expiry <= now:
        return "This key or login has expired."
    if not token.user.is_active:
        return "This account has been closed."
    if token.kind == ApiKey.Kind.LOGIN and not constant_time_compare(token.password_mark, _password_mark(token.user)):
        return "The password has been changed since this login."
    return ""


def note_use(token: ApiKey, *, now: datetime) -> None:
    """Write down that a token is in use, at most once a minute."""
    if token.last_used_at is not None and now - token.last_used_at < LAST_USED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_EVERY)
    try:
        with transaction.atomic():
            ApiKey.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    except DatabaseError as error:  # busy: the request matters more
        logger.warning("The last use of a key was not written down: %s", type(error).__name__)


def _made(user: User, **fields: object) -> tuple[ApiKey, str]:
    return ApiKey.objects.create(user, prefix=PREFIX, **{"expiry": None, **fields})


def _password_mark(user: User) -> str:
    return user.get_session_auth_hash()[:32]
