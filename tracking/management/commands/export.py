"""Write the ledger of a period to a file, or to the standard output."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from tracking.commands import DatabaseCommand
from tracking.exports import FORMATS, Wanted, export
from tracking.periods import last_days, start_of
from tracking.tags import is_name
from tracking.users import ids_of

FILTERS = ("provider", "model", "service", "feature", "analysis", "source", "status", "price_status")


class Command(DatabaseCommand):
    help = "Write the calls of a period as CSV, JSON, NDJSON or in FOCUS columns, one record a call."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "file", nargs="?", help="where to write it; '-': standard output; without: a name of its own"
        )
        parser.add_argument("--format", choices=FORMATS, default="csv")
        parser.add_argument("--days", type=int, default=30, help="so many days, with today (default 30)")
        parser.add_argument("--since", help="from this day or moment on: 2026-11-01 or 2026-11-01T08:00:00+01:00")
        parser.add_argument("--until", help="up to, not including, this day or moment (default: the end of today)")
        parser.add_argument("--user", help="one account's calls: its email address or id")
        parser.add_argument("--api-key", default="", help="calls reported with this key only: its public id")
        parser.add_argument("--tag", action="append", default=[], help="calls with this tag only, as in team=search")
        for name in FILTERS:
            parser.add_argument(f"--{name.replace('_', '-')}", default=None, help=f"calls of this {name} only")

    def handle(self, *args: Any, **options: Any) -> None:
        made = export(wanted_of(options, now=datetime.now(UTC)), format=options["format"])
        name = options["file"] or made.filename
        if name == "-":
            out = getattr(self.stdout._out, "buffer", None)
            for piece in made.pieces:
                out.write(piece) if out is not None else self.stdout._out.write(piece.decode())
            return
        path, size = Path(name), 0
        try:
            with path.open("wb") as file:
                for piece in made.pieces:
                    size += file.write(piece)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        except BaseException:
            path.unlink(missing_ok=True)  # half an export looks like a whole one
            raise
        self.stdout.write(f"{path}: {size:,} bytes.\n")
        sys.stdout.flush()


def wanted_of(options: dict[str, Any], *, now: datetime) -> Wanted:
    """Which calls the options name. Raises `CommandError` for what cannot be meant."""
    if options["days"] < 1:
        raise CommandError("--days must be at least 1.")
    end = _moment(options["until"], "--until") if options["until"] else last_days(now, 1).ends_at
    last = end - timedelta(microseconds=1)
    start = _moment(options["since"], "--since") if options["since"] else last_days(last, options["days"]).starts_at
    if start >= end:
        raise CommandError("The period is empty: --since must lie before --until.")
    user_id = None
    if options["user"]:
        user_id = ids_of([options["user"]]).get(options["user"])
        if user_id is None:
            raise CommandError(f"There is no account {options['user']}.")
    tags = dict(text.partition("=")[::2] for text in options["tag"])
    if wrong := next((text for text in options["tag"] if "=" not in text or not is_name(text.partition("=")[0])), None):
        raise CommandError(f"--tag is {wrong!r}; it must be a name and a value, as in team=search.")
    filters = {name: options[name] for name in FILTERS}
    return Wanted(start=start, end=end, user_id=user_id, tags=tags, api_key=options["api_key"], **filters)


def _moment(text: str, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{name} is {text!r}; it must be a day or a moment, as in 2026-11-01.") from error
    return at if at.tzinfo else start_of(at.date()) if at.time() == at.min.time() else at.replace(tzinfo=UTC)
