"""`/api/v1/budgets`: limits, their windows, and asking for more."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied

from budgets import book, reading
from budgets.api import shapes
from budgets.asking import ask_for_more, may_ask
from budgets.changes import decide_increase, end_limit
from budgets.models import BudgetIncrease, BudgetLimit, Scope
from budgets.reading import ShownLimit
from tracking.api.access import key_of, whose
from tracking.api.fields import Page, offset_of
from tracking.api.views import ApiView, Conflict, endpoint
from tracking.users import emails_of

APPROVE = "budgets.approve_increase"
_NO_LIMIT = "There is no such budget."


class BudgetList(ApiView):
    """Limits."""

    scopes = {"POST": "admin"}

    @endpoint("List budgets", query=shapes.LimitsQuery, answer=shapes.LimitsAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """The limits that bind the caller, and how they stand. Staff with the permission see all with `user=all`. Those
        that have ended are left out unless `ended` is asked for.
        """
        now, after, most = timezone.now(), offset_of(query["cursor"]), query["limit"]
        ended = query["ended"]
        user_id = _reader(request, query["user"])
        if user_id is None:
            found = reading.all_limits(at=now, limit=most + 1, after=after, ended=ended)
        else:
            found = [one for one in reading.limits_of_user(user_id, at=now) if ended or not one.is_over(now)]
            found = [one for one in found if one.row.pk > after][: most + 1]
        return {"budgets": found[:most], "next": str(found[most - 1].row.pk) if len(found) > most else None}

    @endpoint("Make a budget", body=shapes.NewLimit, answer=shapes.LimitAnswer, code=201)
    def post(self, request: Any, query: dict, body: dict) -> ShownLimit:
        """A new limit; it counts within a second, everywhere. Without the permission, one's own only."""
        now, limit = timezone.now(), BudgetLimit()
        if not _may(request.user, "budgets.add_budgetlimit"):
            if body["scope"] != Scope.USER or body.get("user") not in (None, request.user.pk):
                raise PermissionDenied("An account without the permission makes limits for itself only: scope user.")
            body["user"], limit.owner = request.user.pk, request.user
        _check_names(body)
        return _saved(limit, body, request=request, at=now)


class BudgetDetail(ApiView):
    """One limit."""

    scopes = {"PATCH": "admin", "DELETE": "admin"}

    @endpoint("One budget", answer=shapes.LimitAnswer, problems=(404,))
    def get(self, request: Any, query: dict, limit_id: int) -> ShownLimit:
        """A limit and how it stands."""
        return _find(request, limit_id, timezone.now())

    @endpoint("Change a budget", body=shapes.LimitChange, answer=shapes.LimitAnswer, problems=(404,))
    def patch(self, request: Any, query: dict, body: dict, limit_id: int) -> ShownLimit:
        """Change a limit; a new amount counts at once, also in windows that are open."""
        now = timezone.now()
        return _saved(_changeable(request, limit_id, now), body, request=request, at=now)

    @endpoint("End a budget", code=204, problems=(404,))
    def delete(self, request: Any, query: dict, limit_id: int) -> None:
        """Let a limit end now. Its windows and history stay."""
        now = timezone.now()
        end_limit(_changeable(request, limit_id, now), at=now, by=request.user)
        book.forget()


class WindowList(ApiView):
    """The windows of a limit."""

    @endpoint("Windows of a budget", query=Page, answer=shapes.WindowsAnswer, problems=(404,))
    def get(self, request: Any, query: dict, limit_id: int) -> dict:
        """The periods of a limit, now and in the past: what was allowed and spent in each."""
        limit = _find(request, limit_id, timezone.now()).row
        everything = reading.sees_all_limits(request.user)
        found = reading.windows_of(
            limit.pk,
            subjects=None if everything else ("", f"user:{request.user.pk}"),
            limit=query["limit"] + 1,
            before=offset_of(query["cursor"]),
        )
        return _page("windows", found, query["limit"])


class IncreaseOfBudget(ApiView):
    """Asking for more of a limit."""

    scopes = {"POST": "admin"}

    @endpoint("Ask for more", body=shapes.IncreaseAsk, answer=shapes.IncreaseAnswer, code=201, problems=(404,))
    def post(self, request: Any, query: dict, body: dict, limit_id: int) -> BudgetIncrease:
        """Ask for more of a limit that staff set, for a while. It counts once staff approve it."""
        now = timezone.now()
        line = reading.line_of(limit_id, user_id=request.user.pk, at=now)
        if line is None:
            raise NotFound(_NO_LIMIT)
        if not may_ask(line):
            raise serializers.ValidationError("Nothing to ask for: this limit is your own, or does not count now.")
        reason = body.pop("reason")
        try:
            return ask_for_more(line, **body, why=reason, by=request.user, at=now)
        except ValidationError as error:
            raise serializers.ValidationError(_told(error, {"why": "reason"})) from None


class IncreaseList(ApiView):
    """What was asked for."""

    @endpoint("List increases", query=shapes.BudgetsQuery, answer=shapes.IncreasesAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """What the caller asked for, and what became of it. Staff with the permission see all with `user=all`."""
        user_id = _reader(request, query["user"])
        found = reading.increases(asked_by=user_id, limit=query["limit"] + 1, before=offset_of(query["cursor"]))
        return _page("increases", found, query["limit"])


class IncreaseDecision(ApiView):
    """Approving or refusing."""

    scopes = {"POST": "admin"}
    approve = True

    @endpoint("Decide", body=shapes.Decision, answer=shapes.IncreaseAnswer, problems=(404, 409))
    def post(self, request: Any, query: dict, body: dict, increase_id: int) -> BudgetIncrease:
        """Approve (it counts at once) or refuse what was asked for; for staff with the permission."""
        found = BudgetIncrease.objects.filter(pk=increase_id).first() if _may(request.user, APPROVE) else None
        if found is None:
            raise NotFound("There is no such increase, or it is not yours to decide.")
        try:
            return decide_increase(found, approve=self.approve, by=request.user, at=timezone.now(), note=body["note"])
        except ValidationError as error:
            raise Conflict(" ".join(error.messages)) from None


def _may(user: Any, permission: str) -> bool:
    return bool(user.is_staff and user.has_perm(permission))


def _reader(request: Any, user: str) -> int | None:
    """Whose limits are asked for; who may see all calls may not see all limits for that."""
    user_id = whose(request, user)
    if user_id != request.user.pk and not reading.sees_all_limits(request.user):
        raise NotFound("There is no such account.")
    return user_id


def _find(request: Any, limit_id: int, at: datetime) -> ShownLimit:
    found = reading.find_limit(limit_id, user=request.user, at=at)
    if found is None:
        raise NotFound(_NO_LIMIT)
    return found


def _changeable(request: Any, limit_id: int, at: datetime) -> BudgetLimit:
    limit = _find(request, limit_id, at).row
    if limit.scope == Scope.API_KEY and limit.target == key_of(request):
        raise PermissionDenied("A key cannot change the limit that it is under.")
    if limit.owner_id != request.user.pk and not _may(request.user, "budgets.change_budgetlimit"):
        raise PermissionDenied("This limit is set by staff. Ask for more with POST /api/v1/budgets/<id>/increase.")
    return limit


def _check_names(body: dict) -> None:
    if body.get("user") and not emails_of([body["user"]]):
        raise serializers.ValidationError({"user": "There is no such account."})
    if body.get("group") and not Group.objects.filter(pk=body["group"]).exists():
        raise serializers.ValidationError({"group": "There is no such group."})


def _saved(limit: BudgetLimit, body: dict, *, request: Any, at: datetime) -> ShownLimit:
    values = dict(body)
    why = values.pop("why", "")
    for name, value in values.items():
        setattr(limit, shapes.MODEL_NAMES.get(name, name), value)
    try:
        limit.full_clean()
    except ValidationError as error:
        ours = {theirs: name for name, theirs in shapes.MODEL_NAMES.items()}
        raise serializers.ValidationError(_told(error, ours)) from None
    limit.save(by=request.user, why=why, at=at)
    book.forget()  # so that this process tells it at once
    return reading.find_limit(limit.pk, user=request.user, at=at) or ShownLimit(limit, None)


def _told(error: ValidationError, names: dict[str, str]) -> dict[str, list[str]]:
    """What is wrong, by the names of the API."""
    told = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
    names = {"__all__": "non_field_errors", **names}
    return {names.get(name, name): texts for name, texts in told.items()}


def _page(name: str, found: list, most: int) -> dict[str, Any]:
    return {name: found[:most], "next": str(found[most - 1].pk) if len(found) > most else None}
