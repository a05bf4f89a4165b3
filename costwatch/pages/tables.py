"""The table of a page as a file: what is shown, as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse

from costwatch.pages.asked import Asked
from tracking.exports import csv_pieces, plain

#: In the address of a page: its table as a file.
FILE = "file"


def is_wanted(request: HttpRequest) -> bool:
    """Whether the table is asked for as a file."""
    return request.GET.get(FILE) == "csv"


def link(asked: Asked) -> str:
    """The address of the file: the page's own, with its period, filters and order."""
    return asked.link(**{FILE: "csv", "from": None})


def answer(asked: Asked, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """The file. Amounts are decimal strings in USD, "" where they are not known."""
    written = [tuple(_cell(value) for value in row) for row in rows]
    # The byte order mark: Excel takes a file without one for text in the code page of its country.
    content = b"".join(csv_pieces(("\ufeff" + header[0], *header[1:]), iter([written])))
    days = f"{asked.period.start.isoformat()}-{asked.last_day.isoformat()}"
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="costwatch-{name}-{days}.csv"'},
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return plain(value) if isinstance(value, str) else value
