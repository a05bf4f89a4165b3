"""Bring the price book up to date with the installed catalogue and our overrides."""

from typing import Any

from tracking.commands import DatabaseCommand
from tracking.pricing.catalogue import wanted
from tracking.pricing.importer import import_price_list

#: More lines than anyone reads: a first import is told by its sums.
MAX_LINES = 200


class Command(DatabaseCommand):
    help = (
        "Reads the prices of the installed genai-prices package and tracking/pricing/overrides.toml into the price "
        "book. Adds rows for what changed, and prints them; run again, it adds nothing."
    )

    def add_arguments(self, parser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and write nothing")
        parser.add_argument("--provider", action="append", help="only this provider (may be repeated)")

    def handle(self, *args: Any, dry_run: bool, provider: list[str] | None, verbosity: int, **options: Any) -> None:
        prices = wanted(providers=provider)
        done = import_price_list(prices, dry_run=dry_run)
        said = [*done.rules, *map(str, done.changes)]
        shown = said if verbosity > 1 or len(said) <= MAX_LINES else []
        for line in shown:
            self.stdout.write(line)
        if len(said) > len(shown):
            self.stdout.write(f"({len(said)} changes; --verbosity 2 prints them all)")
        if verbosity > 1:
            for line in prices.skipped:
                self.stdout.write(f"! not imported: {line}")
        verb = "would be recorded" if dry_run else "recorded"
        self.stdout.write(
            f"{len(done.changes)} rates {verb}, {done.unchanged} unchanged, {len(done.rules)} match rules changed, "
            f"{len(prices.skipped)} models not imported"
        )
