"""manage.py recommend_budgets: which limits would fit."""

import json

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils import timezone
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from budgets.advice import DAYS, Advice, advise, as_json
from budgets.formats import usd
from tracking.commands import DatabaseCommand


class Command(DatabaseCommand):
    help = "Recommend budgets per type of user and per user, and say how often each would have been reached."

    def add_arguments(self, parser):
        parser.add_argument("--days", type=int, default=DAYS, help=f"how many days to look back (default: {DAYS})")
        parser.add_argument("--user", metavar="EMAIL", help="only this account")
        parser.add_argument("--json", action="store_true", help="print one line of JSON instead of tables")

    def handle(self, *, days: int, user: str | None, **options):
        if not 1 <= days <= 3660:
            raise CommandError(f"--days is {days}; it must be from 1 to 3660.")
        advice = advise(at=timezone.now(), days=days, user_ids=_ids(user))
        if options["json"]:
            self.stdout.write(json.dumps(as_json(advice)))
            return
        console = Console(file=self.stdout, no_color=options["no_color"] or None, markup=False, highlight=False)
        if not console.is_terminal:
            console.width = 120
        if not advice.users:
            self.stdout.write(f"Nobody spent anything since {advice.period.start}: there is nothing to go by.")
            return
        console.print(_types(advice, console.is_terminal))
        console.print(_users(advice, console.is_terminal))
        self.stdout.write(_footnote(advice))


def _ids(email: str | None) -> list[int] | None:
    if not email:
        return None
    model = get_user_model()
    try:
        return [model.objects.get_by_natural_key(email.strip()).pk]
    except model.DoesNotExist:
        raise CommandError(f"There is no account with the email address {email!r}.") from None


def _types(advice: Advice, boxed: bool) -> Table:
    table = _table("Budgets by type of user", boxed)
    table.add_column("Type")
    for name in ("Users", "Sessions a month", "Cost a session", "Monthly total", "Recommended a month"):
        table.add_column(name, justify="right")
    for row in advice.types:
        table.add_row(
            row.name, f"{row.users:,}", f"{row.sessions_a_month:,}", usd(row.cost_a_session), usd(row.monthly_total),
            Text(usd(row.recommended), style="bold"),
        )  # fmt: skip
    return table


def _users(advice: Advice, boxed: bool) -> Table:
    table = _table(f"What would have fitted each user since {advice.period.start}", boxed)
    table.add_column("User", overflow="fold", max_width=36)
    table.add_column("Type")
    table.add_column("Recommended a month", justify="right")
    table.add_column("Limit a day: reached on")
    table.add_column("Limit a month: reached in")
    for user in advice.users:
        day, month = (
            "\n".join(f"{usd(one.amount)}: {one.hits} of {one.windows}" for one in row.candidates)
            for row in user.periods
        )
        name = "".join(c if c.isprintable() else "?" for c in user.email) or f"account {user.user_id}"
        table.add_row(Text(name), user.type, Text(usd(user.recommended), style="bold"), day, month)
    return table


def _footnote(advice: Advice) -> str:
    days = advice.period.length
    text = "A session ends with a pause of half an hour. Recommended: the monthly total plus 20 to 25 %, rounded."
    if advice.session_days < days:
        text += f" Sessions were counted over the last {advice.session_days} days only: there are too many calls."
    return text


def _table(title: str, boxed: bool) -> Table:
    return Table(
        title="\n" + title, title_justify="left", title_style="bold", box=box.ROUNDED if boxed else None,
        header_style="dim",
    )  # fmt: skip
