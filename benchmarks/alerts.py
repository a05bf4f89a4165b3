"""From a crossing to its delivery: a real worker and beat, a receiver on this machine. Prints one line of JSON.

    python benchmarks/alerts.py [--crossings 20]

Runs on a folder of its own with the embedded broker; DATABASE_URL and REDIS_URL choose others. Each crossing is written
by a call that passes a threshold of a limit of its own; its time is that until the receiver has the webhook.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Not this folder: its modules would stand before the product's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--crossings", type=int, default=20)
arguments.add_argument("--pause-s", type=float, default=1.3, help="between crossings")
ASKED = arguments.parse_args()

os.environ.setdefault("ENV_FILE", "")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp(prefix="costwatch-benchmark-"))
os.environ["ALERT_WEBHOOK_ALLOWED_HOSTS"] = "127.0.0.1/32"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from alerts.channels.webhook import new_secret  # noqa: E402
from alerts.managing import save_channel  # noqa: E402
from alerts.models import Channel  # noqa: E402
from budgets.calls import Call  # noqa: E402
from budgets.models import BudgetLimit  # noqa: E402
from budgets.operations import post  # noqa: E402

arrived: dict[str, float] = {}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        arrived.setdefault(str(body["data"].get("limit_id")), time.monotonic())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


def main() -> None:
    call_command("migrate", verbosity=0)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    channel = Channel(
        kind="webhook", name="Benchmark", min_severity="info", rate_per_hour=10_000,
        config={"url": f"http://127.0.0.1:{server.server_port}/"},
    )  # fmt: skip
    save_channel(channel, given_secrets={"secret": new_secret()}, at=datetime.now(UTC))
    run = str(uuid.uuid4())
    limits = []
    for n in range(ASKED.crossings + 1):
        limit = BudgetLimit(
            scope="tag", target=f"run={run}-{n}", period="day", amount=Decimal(1), thresholds=["0.8"], time_zone="UTC"
        )
        limit.save()
        limits.append(limit)
    for folder in ("queue", "control"):
        os.makedirs(os.path.join(os.environ["DATA_DIR"], "broker", folder), exist_ok=True)
    celery = [sys.executable, "-m", "celery", "-A", "costwatch.celery"]
    programs = [
        subprocess.Popen([*celery, *rest], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for rest in (["worker", "--concurrency", "1", "--loglevel", "ERROR"], ["beat", "--loglevel", "ERROR"])
    ]
    try:
        cross(f"{run}-0")
        wait_until(lambda: arrived, 180)  # both are up, and what beat starts at once is done
        time.sleep(5)
        crossed = {}
        for n, limit in enumerate(limits[1:], start=1):
            cross(f"{run}-{n}")
            crossed[str(limit.pk)] = time.monotonic()
            time.sleep(ASKED.pause_s)
        wait_until(lambda: crossed.keys() <= arrived.keys(), 60)
    finally:
        for program in programs:
            program.terminate()
        for program in programs:
            program.wait(30)
    took = sorted(arrived[name] - at for name, at in crossed.items() if name in arrived)
    told = {
        "benchmark": "alerts",
        "crossings": len(crossed),
        "delivered": len(took),
        "median_s": round(statistics.median(took), 2) if took else None,
        "p95_s": round(took[int(0.95 * (len(took) - 1))], 2) if took else None,
        "max_s": round(took[-1], 2) if took else None,
        "broker": "redis" if os.environ.get("REDIS_URL") else "embedded",
        "database": "postgresql" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "sqlite",
        "load": os.getloadavg()[0],
    }
    print(json.dumps(told))


def cross(name: str) -> None:
    """A call that passes the threshold of the limit for this run."""
    now = datetime.now(UTC)
    post(Call(at=now, tags={"run": name}), call_id=uuid.uuid4(), cost=Decimal("0.9"), now=now)


def wait_until(is_so: Callable[[], object], for_s: float) -> None:
    deadline = time.monotonic() + for_s
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
