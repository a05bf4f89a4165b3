"""`manage.py demo`: a demo workspace, with real SDK calls to a provider on this machine and sixty days of past."""

import sys
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from costwatch.demo import accounts, limits, live
from costwatch.demo.past import DAYS
from costwatch.demo.provider import local_provider
from costwatch.demo.workspace import fill
from costwatch.formatting import quantity, usd
from costwatch.management.commands.run import address
from tracking import spool
from tracking.models import ApiUsageLog

SHOWN_ROWS = 100
FLUSH_S = 30


class Command(BaseCommand):
    help = (
        "Fill a demo workspace: make its accounts, let the real SDKs call a provider that runs on this machine, add "
        "sixty days of past traffic, and print what landed. Run again, it adds what is new."
    )

    def add_arguments(self, parser):
        parser.add_argument("--force", action="store_true", help="also in production")
        parser.add_argument("--days", type=int, default=DAYS, help="days of past traffic (default %(default)s)")
        parser.add_argument("--no-live", action="store_true", help="leave out the calls that really happen")
        parser.add_argument("--no-past", action="store_true", help="leave out the past traffic")

    def handle(self, *args, force: bool, days: int, no_live: bool, no_past: bool, **options):
        if settings.PRODUCTION and not force:
            raise CommandError(
                "This is production: the demo would mix made-up costs with real ones. --force does it anyway."
            )
        if not 1 <= days <= 366:
            raise CommandError("--days must be between 1 and 366.")
        began = datetime.now(UTC)
        people = accounts.make(password=settings.DEMO_PASSWORD or None)
        if not no_past:
            limits.make(users=people.users, staff=people.staff, since=began - timedelta(days=days), now=began)
            past = fill(users=[user.pk for user in people.users], now=began, days=days)
            self._say(f"Past traffic since {past.first_day}: {past.added:,} calls added, {past.already:,} were there.")
        if not no_live:
            self._live(people, began)
        self._accounts(people)
        self._say(f"Look at it: make run, then {address()}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)

    def _live(self, people: accounts.Accounts, began: datetime) -> None:
        with local_provider() as provider:
            done = live.play(provider, user=people.users[0].pk)
        if not spool.flush(FLUSH_S):
            raise CommandError("The recorder did not finish in time. manage.py doctor says why.")
        self._say(f"Calls made just now by the real SDKs to {provider.base_url}, on this machine:")
        for words in done:
            self._say(f"  {words}")
        rows = ApiUsageLog.objects.filter(analysis_id=live.ANALYSIS, recorded_at__gte=began).order_by(
            "occurred_at", "id"
        )
        self._show(rows[:SHOWN_ROWS])

    def _show(self, rows) -> None:
        table = Table(title="What landed in the ledger", title_justify="left")
        for name in ("operation", "model", "feature", "status"):
            table.add_column(name)
        for name in ("in", "out", "cost"):
            table.add_column(name, justify="right")
        for row in rows:
            sizes = (quantity(row.input_tokens or row.characters), quantity(row.output_tokens))
            table.add_row(row.operation, row.model, row.feature, row.status, *sizes, usd(row.cost))
        console = Console(file=self.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)
        console.print(table)

    def _accounts(self, people: accounts.Accounts) -> None:
        emails = ", ".join(user.email for user in people.users)
        self._say(f"Accounts: {emails}; staff: {people.staff.email}")
        if people.created:
            self._say(f"Their password: {people.password}")
        else:
            self._say("They were there before and keep their password (manage.py changepassword sets another).")
