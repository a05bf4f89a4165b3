"""How many requests are taken in a minute: of a key, an account or an address; and how many logins.

Requests that are refused for who sends them (401, 403) are counted by their address: what is tried with many tokens, or
with none, has nothing else in common. A valid token is never turned away for what others send from its address.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

from costwatch.accounts.attempts import MINUTE_S, too_many, too_many_refused

logger = logging.getLogger(__name__)


class MinuteThrottle(BaseThrottle):
    """Counts requests in whole minutes, in the cache. Where the cache does not answer, nobody is turned away."""

    name = ""
    setting = ""

    def who(self, request: Any) -> str:
        """Whose requests are counted together; "" for nobody's."""
        raise NotImplementedError

    def allow_request(self, request: Any, view: Any) -> bool:
        who = self.who(request)
        if not who:
            return True
        minute = int(time.time() // MINUTE_S)
        key = f"throttle:{self.name}:{hashlib.sha256(who.encode()).hexdigest()[:32]}:{minute}"
        try:
            cache.add(key, 0, 2 * MINUTE_S)
            return cache.incr(key) <= getattr(settings, self.setting)
        except Exception as error:
            logger.warning("Requests are not counted: %s", type(error).__name__)
            return True

    def wait(self) -> float:
        return MINUTE_S - time.time() % MINUTE_S


class RequestThrottle(MinuteThrottle):
    """Every request, by its key, account or address."""

    name, setting = "requests", "API_REQUESTS_PER_MINUTE"

    def who(self, request: Any) -> str:
        if request.auth is not None:
            return f"key:{request.auth.public_id or request.auth.pk}"
        return f"user:{request.user.pk}" if request.user and request.user.pk else f"address:{self.get_ident(request)}"

    def refused(self, request: Any) -> bool:
        """Count a request without a valid token, or without the permission; whether it is one too many."""
        return too_many_refused(request)


class LoginThrottle(BaseThrottle):
    """Logins for one account, whoever tries, and from one address, for whatever account. All processes count."""

    def allow_request(self, request: Any, view: Any) -> bool:
        data = request.data if isinstance(request.data, dict) else {}
        email = data.get("email")
        return not too_many(request, email if isinstance(email, str) else "")

    def wait(self) -> float:
        return MINUTE_S - time.time() % MINUTE_S
