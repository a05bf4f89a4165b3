"""The first hour: a key for the first call, made where it is needed."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from costwatch.accounts.keys import create_key
from costwatch.pages.live import mark_of
from tracking.api.access import sees_all
from tracking.calls import latest_calls


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("secret")
def first_call(request: HttpRequest) -> HttpResponse:
    """How to send a call; by POST with a new key in the line to copy, shown this once."""
    secret = ""
    if request.method == "POST":
        try:
            _, secret = create_key(request.user, name="First call", scopes=["ingest"], now=timezone.now())
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return redirect("keys")
    user_id = None if sees_all(request.user) else request.user.pk
    context = {"secret": secret, "has_calls": bool(latest_calls(user_id=user_id, limit=1).calls)}
    if not context["has_calls"]:
        context["mark"] = mark_of(request)
    return render(request, "costwatch/first_call.html", context)
