"""`/api/v1/rates`: the price book."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from tracking.api.fields import Choice, Moment, Page, Text, UsdText, When, offset_of
from tracking.api.names import Provider
from tracking.api.views import ApiView, endpoint
from tracking.pricing.listing import page_of_rates
from tracking.pricing.meters import METERS


class RatesQuery(Page):
    """Which rates, as of when."""

    provider = Provider(help_text="of this provider only")
    model = Text(default="", help_text="of this model only, by its name in the price book")
    meter = Choice(tuple(METERS), default="", help_text="of this meter only")
    at = When(default=None, help_text="in force on this day or at this moment; without it: now")
    known_at = When(default=None, help_text="as the price book stood then; without it: as it stands now")


class RateAnswer(serializers.Serializer):
    """The price of one meter of one model."""

    id = serializers.IntegerField(source="pk", help_text="as receipts name it")
    provider = serializers.CharField(help_text="whose price it is")
    model = serializers.CharField(help_text="the model, by its name in the price book")
    meter = serializers.CharField(help_text="what is billed")
    tier = serializers.CharField(help_text="standard, batch, flex, priority, ...")
    region = serializers.CharField(help_text="where it holds; empty: everywhere")
    variant = serializers.CharField(help_text="which kind of it, such as the size of an image")
    above_context_tokens = serializers.IntegerField(help_text="tokens in the context above which it holds")
    amount = UsdText(help_text="USD for `per` units of the meter")
    per = serializers.IntegerField(help_text="units of the meter that the amount is for")
    valid_from = Moment(allow_null=True, help_text="in force from then on; null: since ever")
    valid_to = Moment(allow_null=True, help_text="in force until then; null: until further notice")
    recorded_at = Moment(help_text="when Costwatch learned of it")
    source = serializers.CharField(help_text="where it is from")
    own = serializers.BooleanField(help_text="entered by an admin: wins over the catalogue")


class RatesAnswer(serializers.Serializer):
    """A page of rates, by provider, model and meter."""

    at = Moment(help_text="when they are in force")
    rates = RateAnswer(many=True, help_text="the rates")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class RateList(ApiView):
    """The price book."""

    @endpoint("The price book", query=RatesQuery, answer=RatesAnswer)
    def get(self, request: Any, query: dict) -> dict:
        """The rates in force at a moment, as they were known at another."""
        at = query["at"] or timezone.now()
        names = ("provider", "model", "meter", "known_at")
        try:
            found, more = page_of_rates(
                at=at, **{name: query[name] for name in names}, after=offset_of(query["cursor"]), limit=query["limit"]
            )
        except LookupError:
            raise serializers.ValidationError({"cursor": "This is not a cursor of this list."}) from None
        return {"at": at, "rates": found, "next": str(found[-1].pk) if more else None}
