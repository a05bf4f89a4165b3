"""`manage.py monitor_ai_costs`: what is spent, on the command line."""

import json
import time
from collections.abc import Sequence
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.core.management import CommandError
from django.utils import timezone
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from costwatch.formatting import one_line, quantity, usd
from costwatch.report import BudgetLine, Report, as_json, make_report
from tracking.commands import DatabaseCommand
from tracking.periods import site_zone
from tracking.queries import Totals

BAR_WIDTH = 24
MAX_DAYS = 3660


class Command(DatabaseCommand):
    help = "Show what is spent: overall, by feature, by model, top users, the last seven days, budgets, unpriced calls."

    def add_arguments(self, parser):
        parser.add_argument("--days", type=int, default=30, help="how many days, with today (default: 30)")
        parser.add_argument("--user", metavar="EMAIL", help="only the calls of this account")
        parser.add_argument("--json", action="store_true", help="print one line of JSON instead of tables")
        parser.add_argument("--watch", action="store_true", help="show it again and again, until Ctrl-C")
        parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks (default: 5)")

    def handle(self, *args, days: int, user: str | None, watch: bool, interval: float, **options):
        if not 1 <= days <= MAX_DAYS:
            raise CommandError(f"--days is {days}; it must be from 1 to {MAX_DAYS}.")
        if not 0.1 <= interval <= 86_400:
            raise CommandError(f"--interval is {interval:g}; it must be from 0.1 to 86400 seconds.")
        user_id, email = _account(user)
        console = Console(file=self.stdout, no_color=options["no_color"] or None, markup=False, highlight=False)
        if not console.is_terminal:
            console.width = 120
        try:
            while True:
                report = make_report(now=timezone.now(), days=days, user_id=user_id, email=email)
                if watch and console.is_terminal:
                    console.clear()
                if options["json"]:
                    self.stdout.write(json.dumps(as_json(report)))
                else:
                    console.print(_tables(report, boxed=console.is_terminal))
                if not watch:
                    return
                self.stdout.flush()
                time.sleep(interval)
        except KeyboardInterrupt:
            return


def _account(email: str | None) -> tuple[int | None, str]:
    if not email:
        return None, ""
    model = get_user_model()
    try:
        account = model.objects.get_by_natural_key(email.strip())
    except model.DoesNotExist:
        raise CommandError(f"There is no account with the email address {email!r}.") from None
    return account.pk, account.email


def _tables(report: Report, *, boxed: bool) -> RenderableType:
    parts: list[RenderableType] = [_overall(report, boxed)]
    parts.append(_ranking("Cost by feature", [(e.name, e.totals) for e in report.by_feature], boxed))
    parts.append(_ranking("Cost by model", [(e.name, e.totals) for e in report.by_model], boxed))
    if not report.user:
        users = [(e.email or f"account {e.user_id}", e.totals) for e in report.top_users]
        parts.append(_ranking("Top users", users, boxed))
    days = [(f"{e.day:%a %Y-%m-%d}", e.totals) for e in report.last_days]
    parts.append(_ranking("Last 7 days", days, boxed))
    if report.budgets:
        parts.append(_budgets(report, boxed))
    parts.append(_unpriced(report, boxed))
    return Group(*parts)


def _overall(report: Report, boxed: bool) -> Table:
    period, totals = report.period, report.totals
    whose = f" of {one_line(report.user)}" if report.user else ""
    title = f"AI costs{whose}: {period.length} days from {period.start} on ({site_zone().key})"
    table = _table(title, boxed, header=False)
    table.add_column()
    table.add_column(justify="right")
    average = usd(totals.average_cost, missing="-")
    table.add_row("Cost", usd(totals.cost))
    table.add_row("Calls", quantity(totals.calls))
    table.add_row("Unpriced calls", Text(quantity(totals.unpriced), style="bold yellow" if totals.unpriced else ""))
    table.add_row("Failed calls", quantity(totals.errors))
    table.add_row("Average cost of a priced call", average)
    table.add_row("Tokens in", quantity(totals.input_tokens))
    table.add_row("Tokens out", quantity(totals.output_tokens))
    return table


def _ranking(title: str, entries: Sequence[tuple[str, Totals]], boxed: bool) -> Table:
    table = _table(title, boxed)
    table.add_column("", overflow="fold", max_width=48)
    for name in ("Cost", "Calls", "Unpriced"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    most = max((totals.cost for _, totals in entries), default=Decimal(0))
    for name, totals in entries:
        table.add_row(
            Text(one_line(name) or "(none)"),
            usd(totals.cost),
            quantity(totals.calls),
            Text(quantity(totals.unpriced), style="bold yellow") if totals.unpriced else "",
            Text(_bar(totals.cost, most), style="green"),
        )
    if not entries:
        table.add_row("no calls", "", "", "", "")
    return table


_STYLES = {"warning": "yellow", "exceeded": "bold red", "paused": "bold red"}


def _budgets(report: Report, boxed: bool) -> Table:
    table = _table("Budgets" if report.user else "Budgets, the fullest", boxed)
    table.add_column("", overflow="fold", max_width=40)
    for name in ("Spent", "Held", "Limit", "Left"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Resets", no_wrap=True)
    if report.user:
        table.add_column("Forecast", no_wrap=True)
    for line in report.budgets:
        name = f"{line.name} ({line.whose})" if line.whose else line.name
        resets = f"{line.resets_at.astimezone(site_zone()):%Y-%m-%d %H:%M}" if line.resets_at else "never"
        style = _STYLES.get(line.status, "")
        status = Text(f"{line.status} {line.percent} %", style=style)
        cells = [
            Text(one_line(name)),
            usd(line.spent),
            usd(line.held),
            usd(line.limit),
            usd(line.remaining),
            status,
            resets,
        ]
        table.add_row(*cells, *([_forecast(line)] if report.user else []))
    return table


def _forecast(line: BudgetLine) -> str:
    known = line.forecast
    if known is None or known.expected is None:
        return "-"
    reach = f" ({usd(known.low)} to {usd(known.high)})" if known.low is not None else ""
    return usd(known.expected) + reach


def _unpriced(report: Report, boxed: bool) -> Table:
    if not report.unpriced:
        table = _table("Unpriced calls: none", boxed, header=False)
        table.add_column()
        return table
    table = _table("Unpriced calls, the latest (their cost is missing above)", boxed)
    for name in ("Time", "Model", "Operation", "Why"):
        table.add_column(name, overflow="fold")
    for call in report.unpriced:
        at = call.occurred_at.astimezone(site_zone())
        model = Text(one_line(f"{call.provider} {call.model or 'unknown'}"))
        table.add_row(
            f"{at:%Y-%m-%d %H:%M:%S}", model, call.operation, Text(one_line(", ".join(call.flags)) or "no rate")
        )
    return table


def _table(title: str, boxed: bool, *, header: bool = True) -> Table:
    style = box.ROUNDED if boxed else None
    return Table(
        title="\n" + title, title_justify="left", title_style="bold", box=style, show_header=header, header_style="dim"
    )


def _bar(amount: Decimal, most: Decimal) -> str:
    if amount <= 0 or most <= 0:
        return ""
    return "█" * max(1, int(amount * BAR_WIDTH / most))
