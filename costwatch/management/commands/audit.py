"""manage.py audit: does everything add up?"""

from datetime import date

from django.core.management.base import BaseCommand, CommandError

from tracking.audit import audit


class Command(BaseCommand):
    help = "Check that ledger, rollups and analyses add up to the same; exits with 1 and says what differs if not."

    def add_arguments(self, parser):
        parser.add_argument("--since", type=date.fromisoformat, help="compare from this day on only (2026-11-01)")

    def handle(self, *, since, **options):
        report = audit(since=since)
        self.stdout.write(
            f"Ledger: {report.rows} rows, {report.calls} calls, {report.cost:f} USD, {report.unpriced} unpriced; "
            f"{report.days} days compared."
        )
        if report.ok:
            self.stdout.write(self.style.SUCCESS("Everything adds up."))
            return
        for sentence in report.differences:
            self.stdout.write(self.style.ERROR(sentence))
        if report.more:
            self.stdout.write(f"... and {report.more} more.")
        raise CommandError(f"{len(report.differences) + report.more} differences.", returncode=1)
