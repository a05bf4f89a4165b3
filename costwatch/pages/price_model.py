"""Give a model a price, see what that makes of its unpriced calls, and price them."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from costwatch.formatting import quantity, usd
from costwatch.pages.models import address_of
from costwatch.pages.without import may_price
from tracking.own_rates import USUAL, NewRates, Unpriced, Wanted, enter, preview, unpriced_of
from tracking.periods import start_of
from tracking.pricing.meters import METERS
from tracking.repricing import Repriced
from tracking.tasks import reprice_unpriced


class PriceForm(forms.Form):
    """A price for each meter that the model's calls used, and when it holds."""

    source = forms.CharField(
        max_length=300, label="Where the price is from", help_text="a contract, an offer, the address of a page"
    )
    valid_from = forms.DateField(
        required=False,
        label="In force from",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Calls of that day and later. Empty: from the beginning on.",
    )
    valid_to = forms.DateField(
        required=False,
        label="In force until",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day included. Empty: until further notice.",
    )

    def __init__(self, *args: Any, wanted: list[Wanted], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rates = {self.name_of(one): one for one in wanted}
        later = {name: self.fields.pop(name) for name in ("source", "valid_from", "valid_to")}
        for name, one in self.rates.items():
            meter = METERS[one.meter]
            tier = "" if one.tier == "standard" else f", {one.tier} tier"
            kind = f" ({one.variant})" if one.variant else ""
            self.fields[name] = forms.DecimalField(
                required=False,
                min_value=Decimal(0),
                max_digits=18,
                decimal_places=10,
                label=f"{one.meter}{kind}{tier}, USD per {quantity(one.per)} {meter.unit}{'s' if one.per > 1 else ''}",
                help_text=meter.description[0].upper() + meter.description[1:] + ".",
                widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
            )
        self.fields |= later

    @staticmethod
    def name_of(one: Wanted) -> str:
        """The field of a rate."""
        return f"rate|{one.meter}|{one.variant}|{one.tier}"

    def clean(self) -> dict[str, Any]:
        """One price at least, and an end after the beginning."""
        found = super().clean()
        if not self.errors and not any(found.get(name) is not None for name in self.rates):
            raise forms.ValidationError("Enter one price at least. A price of 0 says that it is free.")
        start, end = found.get("valid_from"), found.get("valid_to")
        for name, day in (("valid_from", start), ("valid_to", end)):
            if day and not 2000 <= day.year <= 2200:
                self.add_error(name, "Days lie between the years 2000 and 2200.")
        if start and end and end < start:
            self.add_error("valid_to", "The price must end after it begins.")
        return found

    def rates_for(self, provider: str, model: str) -> NewRates:
        """What was entered."""
        given = self.cleaned_data
        return NewRates(
            provider=provider,
            model=model,
            amounts=[(one, given[name]) for name, one in self.rates.items() if given[name] is not None],
            source=given["source"],
            valid_from=_start(given["valid_from"]),
            valid_to=_start(given["valid_to"], days=1),
        )


def _start(day: date | None, *, days: int = 0) -> datetime | None:
    return start_of(day + timedelta(days=days)) if day else None


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def price_model(request: HttpRequest) -> HttpResponse:
    """The form; `preview` says what the unpriced calls would come to, `save` enters the prices and prices them."""
    if not may_price(request.user):
        raise Http404
    provider, model = (request.GET.get(name, "").strip("\x00 ")[:200] for name in ("provider", "model"))
    provider = provider.lower()[:40]
    if not provider or not model:
        raise Http404
    unpriced = unpriced_of(provider, model)
    form = PriceForm(request.POST or None, wanted=_wanted(unpriced))
    shown: Repriced | None = None
    if request.method == "POST" and form.is_valid():
        new, now = form.rates_for(provider, model), timezone.now()
        if "save" in request.POST:
            done = enter(new, by=request.user, now=now)
            _say(request, model, unpriced, done)
            return redirect(address_of("model", provider, model))
        shown = preview(new, now=now)
    context = {"form": form, "provider": provider, "model": model, "unpriced": unpriced, "preview": shown}
    context["link"] = address_of("model", provider, model)
    if shown is not None:
        context["left"] = max(0, unpriced.calls - shown.looked_at)
        context["still"] = shown.looked_at - shown.priced
    return render(request, "costwatch/price_model.html", context)


def _wanted(unpriced: Unpriced) -> list[Wanted]:
    """What the calls need; of a model without such calls, what most models are billed for."""
    return list(unpriced.wanted) or [Wanted(meter) for meter in USUAL]


def _say(request: HttpRequest, model: str, unpriced: Unpriced, done: Repriced) -> None:
    calls = f"{quantity(done.priced)} call{'' if done.priced == 1 else 's'}"
    messages.success(request, f"The price of {model} is entered. {calls} priced: {usd(done.cost)}.")
    if unpriced.calls > done.looked_at:
        with contextlib.suppress(Exception):  # the scheduled run finds them too
            reprice_unpriced.delay()
        messages.info(request, f"The other {quantity(unpriced.calls - done.looked_at)} are priced in the background.")
    elif done.looked_at > done.priced:
        left = done.looked_at - done.priced
        have = "call still has" if left == 1 else "calls still have"
        messages.warning(
            request,
            f"{quantity(left)} {have} no price: the page below says why.",
        )
