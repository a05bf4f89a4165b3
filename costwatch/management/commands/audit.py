"""manage.py audit: does everything add up?"""

from datetime import date

from django.core.management.base import CommandError
from django.utils import timezone

from budgets.audit import Audit, Difference, audit_budgets
from tracking.audit import Report, audit
from tracking.commands import DatabaseCommand


class Command(DatabaseCommand):
    help = (
        "Check that ledger, rollups and analyses add up to the same, and with --budgets that the windows of limits do; "
        "exits with 1 and says what differs if not."
    )

    def add_arguments(self, parser):
        parser.add_argument("--since", type=date.fromisoformat, help="compare from this day on only (2026-11-01)")
        parser.add_argument("--budgets", action="store_true", help="compare holds and windows with the ledger too")
        parser.add_argument("--fix", action="store_true", help="with --budgets: repair windows, and say what changed")

    def handle(self, *, since, budgets, fix, **options):
        if fix and not budgets:
            raise CommandError("--fix repairs windows of limits: use it with --budgets. The ledger is never changed.")
        wrong = self._ledger(audit(since=since))
        if budgets:
            wrong += self._budgets(fix=fix)
        if wrong:
            raise CommandError(f"{wrong} difference{'s' if wrong > 1 else ''}.", returncode=1)
        self.stdout.write(self.style.SUCCESS("Everything adds up."))

    def _ledger(self, report: Report) -> int:
        self.stdout.write(
            f"Ledger: {report.rows} rows, {report.calls} calls, {report.cost:f} USD, {report.unpriced} unpriced; "
            f"{report.days} days compared."
        )
        for sentence in report.differences:
            self.stdout.write(self.style.ERROR(sentence))
        if report.more:
            self.stdout.write(f"... and {report.more} more.")
        return len(report.differences) + report.more

    def _budgets(self, *, fix: bool) -> int:
        found = audit_budgets(at=timezone.now(), fix=fix)
        for difference in found.differences:
            self._tell(difference)
        if fix and found.differences:
            found = audit_budgets(at=timezone.now())
            for difference in found.differences:
                self._tell(difference, still=True)
        self._sum_up(found)
        return len(found.differences)

    def _tell(self, one: Difference, *, still: bool = False) -> None:
        style = self.style.WARNING if one.fixed else self.style.ERROR
        end = f"it was {one.found:f}, and is set right" if one.fixed else f"it is {one.found:f}"
        start = "Still wrong: " if still else ""
        self.stdout.write(style(f"{start}{one.what}: {one.of} should have {one.expected:f} USD {one.field}; {end}."))

    def _sum_up(self, found: Audit) -> None:
        parts = [f"Budgets: {found.windows} windows, {found.holds} holds"]
        if found.waiting:
            parts.append(f"{found.waiting} settled holds wait for their row of the ledger")
        if found.unknown:
            parts.append(f"{found.unknown} stand at an estimate")
        self.stdout.write("; ".join(parts) + ".")
