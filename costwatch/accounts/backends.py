"""Logging in by email and password, as often as the settings allow: on our page and in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from costwatch.accounts import attempts


class CountedBackend(ModelBackend):
    """Counts the logins that come with a request (the API, which comes without, counts its own and answers 429)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **more: Any
    ) -> Any:
        if request is not None and password is not None and attempts.too_many(request, username or ""):
            request.too_many_logins = True  # type: ignore[attr-defined]
            raise PermissionDenied
        return super().authenticate(request, username=username, password=password, **more)
