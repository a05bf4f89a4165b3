"""How long the server takes for each page of the dashboard, how many queries it makes, and how many bytes it answers.

    python benchmarks/pages.py --database-url postgres://... --email dora@example.com --password 'correct horse'

The database is read as it is (fill.py makes one). Each page is asked for through the WSGI handler and all middleware by
somebody who is logged in; nothing goes over the network. A process's first request also reads what it keeps in memory
(the price book, limits, days that are over): `queries_at_first`. Pages that are not there are left out. One JSON line
a page.
`--only calls` asks for those whose address has `calls` in it, `--queries` shows the slowest statements of each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

ROUNDS = 15
#: Named routes without arguments, and what else is asked of them.
PAGES = (
    ("home", ("", "period=today", "period=90d", "period=custom&since={year_ago}&until={today}")),
    (
        "calls",
        ("", "status=error", "model={model}", "user={user}", "feature={feature}", "service=images", "period=90d"),
    ),
    ("analyses", ("", "period=90d")),
    ("users", ("", "period=90d")),
    ("models", ("", "period=90d")),
    ("budgets", ("",)),
    ("alerts", ("",)),
    ("alert_settings", ("",)),
    ("optimise", ("", "period=90d")),
    ("estimate", ("",)),
    ("account", ("",)),
    ("keys", ("",)),
)


def addresses() -> Iterator[str]:
    """Every page that is there, with something real to show."""
    from django.urls import NoReverseMatch, reverse
    from django.utils import timezone

    from budgets.models import BudgetLimit
    from tracking.models import Analysis, ApiUsageLog, DailyUserRollup

    call = ApiUsageLog.objects.exclude(user_id=None).order_by("-occurred_at", "-id").first()
    now = timezone.now()
    user = (
        DailyUserRollup.objects.exclude(user_id=0).order_by("-day", "-calls").values_list("user_id", flat=True).first()
    )
    known = {"year_ago": f"{now.year - 1}-{now:%m}-28", "today": f"{now:%Y-%m-%d}", "user": user}
    known |= {"model": call.model, "feature": call.feature}
    for name, asked in PAGES:
        for query in asked:
            try:
                yield reverse(name) + ("?" + query.format(**known) if query else "")
            except NoReverseMatch:
                break
    limits = BudgetLimit.objects.order_by("pk").values_list("pk", flat=True)
    single = [
        ("call", [call.id], ""),
        ("user", [user], ""),
        ("model", [], f"?provider={call.provider}&model={call.model}"),
    ]
    single += [("budget_detail", [limit], "") for limit in limits[:3]] + [
        ("budget_ask", [limit], "") for limit in limits[:1]
    ]
    analysis = Analysis.objects.order_by("-created_at").values_list("id", flat=True).first()
    single += [("analysis", [], f"?id={analysis}")]
    for name, arguments, query in single:
        try:
            yield reverse(name, args=arguments) + query
        except NoReverseMatch:
            continue


def measure(client, address: str, rounds: int, *, show: bool) -> dict:
    """One line about one page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as context:
        response = client.get(address)
        content = response.getvalue()
    cold = context.captured_queries  # now: the next request empties the log
    with CaptureQueriesContext(connection) as context:
        client.get(address).getvalue()
    warm = context.captured_queries
    took = []
    for _ in range(rounds if response.status_code == 200 else 0):
        began = time.perf_counter()
        client.get(address).getvalue()
        took.append((time.perf_counter() - began) * 1000)
    if show:
        for query in sorted(warm, key=lambda one: -float(one["time"]))[:5]:
            print(f"    {float(query['time']) * 1000:6.0f} ms {query['sql'][:400]}", file=sys.stderr)
    line = {"benchmark": "pages", "database": connection.vendor, "page": address, "status": response.status_code}
    if took:
        line |= {"median_ms": round(statistics.median(took), 1), "worst_ms": round(max(took), 1), "n": len(took)}
    return line | {"queries": len(warm), "queries_at_first": len(cold), "bytes": len(content)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--email", default="dora@example.com")
    parser.add_argument("--password", default="correct horse")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="pages whose address holds this")
    parser.add_argument("--queries", action="store_true", help="show the five slowest queries of each page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costwatch-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "DATABASE_URL": options.database_url, "ENV_FILE": "", "TIME_ZONE": "UTC"}
        os.environ |= {"ALLOWED_HOSTS": "testserver", "HTTPS_ONLY": "0", "DJANGO_SETTINGS_MODULE": "costwatch.settings"}
        import django

        django.setup()
        from django.conf import settings
        from django.core.management import call_command
        from django.test import Client

        settings.STATIC_ROOT = Path(folder) / "static"
        call_command("collectstatic", verbosity=0, interactive=False)
        client = Client(raise_request_exception=False)
        if not client.login(username=options.email, password=options.password):
            sys.exit(f"{options.email} cannot log in to that database with this password.")
        for address in addresses():
            if options.only in address:
                line = measure(client, address, options.rounds, show=options.queries)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
