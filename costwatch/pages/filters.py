"""How templates write amounts, quantities, shares, times and icons."""

from datetime import date, datetime
from decimal import Decimal

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from costwatch import formatting
from costwatch.pages.presentation import METER_NAMES
from costwatch.pages.told import told

register = template.Library()
register.filter("usd", formatting.usd)
register.filter("usd_column", formatting.usd_column)
register.filter("usd_exact", formatting.usd_exact)
register.filter("quantity", formatting.quantity)
register.filter("duration", formatting.duration)
register.filter("percent", formatting.percent)
register.filter("tied", formatting.tied)
register.filter("compact", formatting.compact)
register.filter("told", told)


@register.simple_tag
def icon(name: str, title: str = "") -> SafeString:
    """An icon of the sprite: `{% icon "bell" %}`. Decoration unless it has a title, which is then read out."""
    address = f"{static('vendor/icons.svg')}#{name}"
    if title:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><title>{}</title><use href="{}"/></svg>',
            title,
            title,
            address,
        )
    return format_html('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}"/></svg>', address)


@register.filter
def moment(at: datetime | None, form: str = "j M H:i") -> SafeString:
    """A moment in the reader's zone, with the zone in its title: `{{ call.occurred_at|moment:"j M H:i:s" }}`."""
    if at is None:
        return SafeString("–")
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{_written(local, 'j M Y, H:i:s')} {timezone.get_current_timezone_name()}",
        _written(local, form),
    )


@register.filter
def cells(values: list[str]) -> SafeString:
    """Cells of numbers: a year of days has thousands, and a loop of the template takes five times as long."""
    return format_html_join("", '<td class="cw-number">{}</td>', ((value,) for value in values))


@register.filter
def time_left(until: datetime) -> str:
    """How long it is until then, in one unit that says enough: "8 days", "31 hours", "12 minutes"."""
    return formatting.span(until - timezone.now())


@register.filter
def name(value: str, missing: str = "–") -> SafeString:
    """A name that somebody typed: apart from the text around it, cut where it is too long, whole in its title."""
    if not value:
        return format_html('<span class="cw-soft">{}</span>', missing)
    return format_html('<bdi class="cw-name" title="{}">{}</bdi>', value, value)


@register.filter
def meter(name: str) -> SafeString:
    """A meter as people call it, its own name in the title."""
    return format_html('<span title="{}">{}</span>', name, METER_NAMES.get(name, name))


@register.filter
def words(value: str) -> str:
    """A name of the code's as people read it: input_tokens becomes "input tokens"."""
    return value.replace("_", " ")


@register.filter
def change(now: Decimal, before: Decimal | None) -> dict | None:
    """How an amount stands to the one before, for `components/delta.html`; None where there is nothing to compare."""
    return formatting.change(now, before)


@register.simple_tag(takes_context=True)
def current(context: dict, *names: str) -> SafeString:
    """`aria-current="page"` where the page is the one of these routes."""
    match = getattr(context.get("request"), "resolver_match", None)
    return SafeString('aria-current="page"' if match is not None and match.url_name in names else "")


def _written(at: datetime | date, form: str) -> str:
    return template.defaultfilters.date(at, form)
