"""The reader's API keys: made and rotated, when their secret is shown this once; and revoked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from budgets.keys import budgets_of
from budgets.models import Period
from costwatch.accounts.keys import create_key, keys_of, problem_of, revoke_key, rotate_key
from costwatch.accounts.models import ApiKey
from costwatch.pages.inputs import add_errors, whole

SCOPES = (
    ("read", "read: see what the account sees"),
    ("ingest", "ingest: send usage"),
    ("call", "call: check budgets and hold money for calls"),
    ("admin", "admin: change limits and channels, as far as the account may"),
)
_MOST = 100
_USED = {
    "provider": "openai", "model": "gpt-4o-mini", "feature": "hello",
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}  # fmt: skip
_ASKED = {"model": "gpt-4o-mini", "max_completion_tokens": 500, "messages": [{"role": "user", "content": "Hello"}]}
#: Of each scope: what the line does, the name of its address, and what it sends; the harmless ones first.
_TRIES = (
    ("read", "See how your budgets stand", "api-budgets", None),
    (
        "call", "Ask whether a call would be admitted, and what it may cost; nothing is set aside", "api-check",
        {"provider": "openai", "endpoint": "/v1/chat/completions", "request": _ASKED},
    ),
    ("admin", "List your keys", "api-keys", None),
    ("ingest", "Record a made-up call of $0.00045 for the feature hello", "api-usage", _USED),
)  # fmt: skip
_NAMES = {"budget.amount": "amount", "budget.period": "period"}


class KeyForm(forms.Form):
    """A new key."""

    name = forms.CharField(
        label="What is it for", max_length=100, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    scopes = forms.MultipleChoiceField(
        label="What it may do", choices=SCOPES, widget=forms.CheckboxSelectMultiple, initial=["ingest", "call"]
    )
    environment = forms.CharField(
        label="Environment", max_length=40, required=False, help_text="production, staging, ...: shown in the list"
    )
    expires_at = forms.DateTimeField(
        label="Expires", required=False, help_text="empty: never",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
    )  # fmt: skip
    amount = forms.DecimalField(
        label="Budget of its own, in USD", required=False, min_value=0, max_digits=19, decimal_places=9,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
        help_text="empty: none; calls that could pass it are refused",
    )  # fmt: skip
    period = forms.ChoiceField(label="Begins anew every", choices=Period.choices, initial=Period.MONTH, required=False)

    @property
    def values(self) -> dict:
        """What `create_key` is told by a valid form."""
        values = {name: self.cleaned_data[name] for name in ("name", "scopes", "environment", "expires_at")}
        amount = self.cleaned_data["amount"]
        budget = {"amount": amount, "period": self.cleaned_data["period"] or Period.MONTH}
        return values if amount is None else {**values, "budget": budget}


@dataclass(frozen=True, slots=True)
class Try:
    """A line that works with a key as it is printed."""

    scope: str
    says: str
    line: str = field(repr=False)  # holds the secret


@sensitive_variables("secret")
def tries_of(scopes: Sequence[str], *, base: str, secret: str) -> list[Try]:
    """For each scope of a key, a line to copy and run; none where the pages are part of a project without the API."""
    found = []
    for scope, says, name, body in _TRIES:
        if scope not in scopes:
            continue
        try:
            address = reverse(name)
        except NoReverseMatch:
            continue
        line = f'curl -s {base}{address} -H "Authorization: Bearer {secret}"'
        if body is not None:
            line += f""" -H "Content-Type: application/json" -d '{json.dumps(body)}'"""
        found.append(Try(scope, says, line))
    return found


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("secret")
def keys(request: HttpRequest) -> HttpResponse:
    """The keys, and a form for a new one."""
    form = KeyForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = create_key(request.user, now=timezone.now(), **form.values)
        except ValidationError as error:
            add_errors(form, error, names=_NAMES)
        else:
            return _page(request, KeyForm(label_suffix=""), made=key, secret=secret)
    return _page(request, form)


@login_required
@never_cache
@require_POST
@sensitive_variables("secret")
def rotate(request: HttpRequest, public_id: str) -> HttpResponse:
    """A second secret for a key; the one before works on until it is revoked."""
    try:
        key, secret = rotate_key(request.user, public_id, now=timezone.now())
    except ApiKey.DoesNotExist:
        raise Http404 from None
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return redirect("keys")
    return _page(request, KeyForm(label_suffix=""), made=key, secret=secret)


@login_required
@require_POST
def revoke(request: HttpRequest, public_id: str) -> HttpResponse:
    """Revoke a key, or one of its two secrets."""
    generation = whole(request.POST.get("generation")) or None
    revoked = revoke_key(request.user, public_id, now=timezone.now(), generation=generation)
    if not revoked:
        raise Http404
    messages.success(request, "Revoked. It is refused from now on.")
    return redirect("keys")


def _page(request: HttpRequest, form: KeyForm, *, made: ApiKey | None = None, secret: str = "") -> HttpResponse:
    now = timezone.now()
    found = keys_of(request.user.pk, limit=_MOST)
    budgets = budgets_of([secrets[0].public_id for secrets in found if secrets], at=now)
    context = {
        "form": form,
        "keys": [_shown(secrets, budgets, now) for secrets in found if secrets],
        "made": made,
        "secret": secret,
        "tries": tries_of(made.scopes, base=f"{request.scheme}://{request.get_host()}", secret=secret) if made else [],
    }
    return render(request, "costwatch/keys.html", context)


def _shown(secrets: list[ApiKey], budgets: dict, now: datetime) -> dict:
    """A key as the list shows it: its live secrets, and why it is not accepted where there is none."""
    live = [one for one in secrets if not problem_of(one, now=now)]
    return {
        "key": secrets[0],
        "live": live,
        "problem": "" if live else problem_of(secrets[0], now=now),
        "last_used_at": max((one.last_used_at for one in secrets if one.last_used_at), default=None),
        "budget": budgets.get(secrets[0].public_id),
    }
