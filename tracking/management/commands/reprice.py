"""manage.py reprice: price the calls whose price has become known."""

from datetime import UTC, datetime

from tracking.commands import DatabaseCommand
from tracking.repricing import reprice


class Command(DatabaseCommand):
    help = "Price unpriced calls that the price book knows by now, each by a correction, as of the call's own time."

    def add_arguments(self, parser):
        parser.add_argument("--dry-run", action="store_true", help="say what would be priced, and change nothing")
        parser.add_argument("--at-most", type=int, default=None, help="look at so many unpriced rows, newest first")

    def handle(self, *, dry_run, at_most, **options):
        done = reprice(now=datetime.now(UTC), dry_run=dry_run, at_most=at_most)
        for model, (calls, cost) in sorted(done.by_model.items()):
            self.stdout.write(f"{model or '(no model)'}: {calls} calls, {cost:f} USD")
        verb = "would be priced" if dry_run else "priced"
        self.stdout.write(f"{done.priced} of {done.looked_at} unpriced calls {verb}: {done.cost:f} USD.")
