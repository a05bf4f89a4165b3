"""What an address or a form says, read with care; and what a form is told of what it said."""

from collections.abc import Mapping

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme


def whole(text: str | None, *, digits: int = 18) -> int:
    """A number of at most so many digits, by default what fits a database's key; 0 for anything else."""
    text = text or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else 0


def way_back(request: HttpRequest, *, default: str) -> str:
    """Where a form says that its reader was, if that is here; else the page of a name."""
    back = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return back if safe else reverse(default)


def add_errors(form: forms.Form, error: ValidationError, *, names: Mapping[str, str] | None = None) -> None:
    """Say at the fields of a form what is wrong; `names`: what it calls a field that is called otherwise below."""
    for field, texts in (error.message_dict if hasattr(error, "error_dict") else {"": error.messages}).items():
        name = (names or {}).get(field, field)
        form.add_error(name if name in form.fields else None, texts)
