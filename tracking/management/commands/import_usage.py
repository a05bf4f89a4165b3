"""Take usage in from a file."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Count, Q, Sum
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tracking.commands import DatabaseCommand
from tracking.imports import LEFT_OUT, UnknownFile, read_file
from tracking.ingestion import BATCH, Reporter, Result, ingest
from tracking.models import ApiUsageLog
from tracking.users import ids_of

#: Rows that are not taken of which the report tells why.
SHOWN = 10


class Command(DatabaseCommand):
    help = (
        "Import usage from a file: events of our own (NDJSON, JSON, CSV), the usage exports of OpenAI and Anthropic, "
        "of LiteLLM and of Langfuse. The same file again adds nothing."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("file", help="the file; its kind is told from what stands in it")
        parser.add_argument("--dry-run", action="store_true", help="say what would be imported, and import nothing")
        parser.add_argument("--user", help="whose calls they are where a row does not say: email address or id")
        parser.add_argument("--feature", default="", help="what they were for where a row does not say")
        parser.add_argument(
            "--keep-costs", action="store_true", help="take over all costs that LiteLLM or Langfuse computed"
        )
        parser.add_argument("--json", action="store_true", help="the report as one line of JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        path, user_id = Path(options["file"]), self._user(options["user"])
        reporter = Reporter(user_id=user_id, may_attribute=True, source="import", any_age=True)
        counts: Counter[str] = Counter()
        problems: list[dict[str, Any]] = []
        warned: Counter[str] = Counter()
        sums = {"cost": Decimal(0), "unpriced": 0, "given": 0}
        try:
            with self._progress(path) as progress:
                task = progress.add_task(path.name, total=path.stat().st_size)
                rows = read_file(
                    path, keep_costs=options["keep_costs"], progress=lambda at: progress.update(task, completed=at)
                )
                for batch in _batches(_calls(rows, counts), options["feature"]):
                    now = datetime.now(UTC)
                    results = ingest(
                        [item for _, item in batch], reporter=reporter, now=now, dry_run=options["dry_run"]
                    )
                    counts.update(result.status for result in results)
                    warned.update(text for result in results for text in result.warnings.values())
                    problems += _problems(batch, results)[: SHOWN - len(problems)]
                    if not options["dry_run"]:
                        _add_up(batch, results, sums)
                progress.update(task, completed=path.stat().st_size)
        except UnknownFile as error:
            raise CommandError(f"{path} cannot be imported. {error}") from error
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        self._report(counts, problems, warned, sums, options)

    def _user(self, name: str | None) -> int | None:
        if not name:
            return None
        user_id = ids_of([name]).get(name)
        if user_id is None:
            raise CommandError(f"There is no account {name}.")
        return user_id

    def _progress(self, path: Path) -> Progress:
        """A bar on a terminal; nothing elsewhere."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def _report(self, counts: Counter, problems: list, warned: Counter, sums: dict, options: dict) -> None:
        told = {name: counts[name] for name in ("recorded", "duplicate", "conflict", "invalid", "left_out")}
        if options["json"]:
            money = {"cost_usd": f"{sums['cost']:f}", "unpriced": sums["unpriced"], "given": sums["given"]}
            more = {"problems": problems, "warnings": dict(warned.most_common(SHOWN))}
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], **told, **money, **more}))
            return
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(
            f"{told['recorded']:,} calls {would}imported, {told['duplicate']:,} known already, "
            f"{told['conflict']:,} known with other content (left as they are), {told['invalid']:,} not taken."
        )
        if told["left_out"]:
            self.stdout.write(f"{told['left_out']:,} rows are no calls of a model, and were left out.")
        if not options["dry_run"]:
            self.stdout.write(
                f"They cost ${sums['cost']:,.6f}; {sums['unpriced']:,} of them have no price yet, "
                f"{sums['given']:,} have the cost that the file gives."
            )
        for text, count in warned.most_common(SHOWN):
            self.stdout.write(f"{count:,} of them: {text}.")
        if len(warned) > SHOWN:
            self.stdout.write(f"and so on for {len(warned) - SHOWN:,} more addresses.")
        for problem in problems:
            why = "; ".join(f"{name} {text}" for name, text in problem["errors"].items())
            self.stdout.write(f"  row {problem['row']}: {why}")
        if (more := told["conflict"] + told["invalid"] - len(problems)) > 0:
            self.stdout.write(f"  and {more:,} more")


def _calls(rows: Iterator[tuple[int, Any]], counts: Counter[str]) -> Iterator[tuple[int, Any]]:
    for row, item in rows:
        if item is LEFT_OUT:
            counts["left_out"] += 1
        else:
            yield row, item


def _batches(rows: Iterator[tuple[int, Any]], feature: str) -> Iterator[list[tuple[int, Any]]]:
    while batch := list(islice(rows, BATCH)):
        if feature:
            batch = [
                (row, {**item, "feature": item.get("feature") or feature} if isinstance(item, dict) else item)
                for row, item in batch
            ]
        yield batch


def _problems(batch: list[tuple[int, Any]], results: list[Result]) -> list[dict[str, Any]]:
    return [{"row": batch[one.index][0], "errors": one.errors} for one in results if one.errors]


def _add_up(batch: list[tuple[int, Any]], results: list[Result], sums: dict[str, Any]) -> None:
    sums["given"] += sum("cost_usd" in batch[one.index][1] for one in results if one.status == "recorded")
    ids = [result.id for result in results if result.status == "recorded"]
    found = ApiUsageLog.objects.filter(id__in=ids).aggregate(
        cost=Sum("cost"), unpriced=Count("id", filter=Q(price_status="unpriced"))
    )
    sums["cost"] += found["cost"] or 0
    sums["unpriced"] += found["unpriced"]
