"""How templates write amounts and quantities."""

from django import template

from costwatch import formatting

register = template.Library()
register.filter("usd", formatting.usd)
register.filter("usd_exact", formatting.usd_exact)
register.filter("quantity", formatting.quantity)
register.filter("duration", formatting.duration)
