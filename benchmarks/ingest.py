"""How many events a second `POST /api/v1/usage` takes, in batches of 500, rollups and budgets included.

python benchmarks/ingest.py                               # on SQLite
python benchmarks/ingest.py --way otlp                    # spans in protobuf, by `POST /v1/traces`
python benchmarks/ingest.py --database-url postgres://... # in a database of its own on that server
python benchmarks/ingest.py --profile                     # where a request spends its time

Two processes of the web server that `make run` starts, two clients over loopback. One JSON line.
"""

import argparse
import cProfile
import http.client
import json
import os
import pstats
import random
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from own_database import own_database  # noqa: E402
from recorder import make_events, set_up  # noqa: E402

BATCH = 500
#: Where each way of telling of calls goes, and what it is made of.
PATHS = {"usage": ("/api/v1/usage", "application/json"), "otlp": ("/v1/traces", "application/x-protobuf")}


def bodies(count: int, seed: int, users: list[int]) -> list[bytes]:
    """The events of the recorder's benchmark, as an application would send them."""
    made = []
    for event in make_events(count, seed):
        at = datetime.fromtimestamp(event.at_us / 1e6, UTC).isoformat()
        names = ("id", "provider", "endpoint", "feature", "analysis", "request_id", "response_id", "stream", "usage")
        item = {name: getattr(event, name) for name in names}
        item |= {"at": at, "model": event.model_served, "latency_ms": event.latency_us // 1000, "http_status": 200}
        made.append({**item, "user": users[event.user % len(users)]})
    return [json.dumps(made[first : first + BATCH]).encode() for first in range(0, count, BATCH)]


def exports(count: int, seed: int, users: list[int]) -> list[bytes]:
    """The same calls as spans of the semantic conventions, as an exporter would send them."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    made, chance = [], random.Random(seed)
    for number, event in enumerate(make_events(count, seed)):
        if number % BATCH == 0:
            made.append(ExportTraceServiceRequest())
            spans = made[-1].resource_spans.add().scope_spans.add().spans
        span = spans.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8), name="chat", kind=3)
        span.start_time_unix_nano = event.at_us * 1000
        span.end_time_unix_nano = event.at_us * 1000 + event.latency_us * 1000
        read, wrote = ("input_tokens", "output_tokens") if "input_tokens" in event.usage else (
            "prompt_tokens", "completion_tokens"
        )  # fmt: skip
        told = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": event.provider,
            "gen_ai.request.model": event.model_served, "gen_ai.response.model": event.model_served,
            "gen_ai.usage.input_tokens": event.usage[read], "gen_ai.usage.output_tokens": event.usage[wrote],
            "costwatch.feature": event.feature, "costwatch.analysis": event.analysis,
            "costwatch.user": str(users[event.user % len(users)]),
        }  # fmt: skip
        for name, value in told.items():
            one = span.attributes.add(key=name).value
            if isinstance(value, int):
                one.int_value = value
            else:
                one.string_value = value or ""
    return [one.SerializeToString() for one in made]


MADE_BY = {"usage": bodies, "otlp": exports}


def prepare() -> tuple[str, list[int]]:
    """A staff key, people to report for, and limits that count every call."""
    from django.core.management import call_command
    from django.utils import timezone

    from budgets.models import BudgetLimit
    from costwatch.accounts.keys import create_key
    from costwatch.accounts.models import User

    call_command("migrate", verbosity=0)
    users = [User.objects.create_user(f"user{n}@example.com").pk for n in range(50)]
    staff = User.objects.create_superuser("staff@example.com")
    for scope in ("everyone", "each_user"):
        BudgetLimit(scope=scope, period="month", amount=Decimal(1_000_000), time_zone="UTC").save()
    return create_key(staff, name="bench", scopes=["ingest"], now=timezone.now())[1], users


def send(port: int, key: str, batches: list[bytes], way: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    path, content_type = PATHS[way]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}
    for body in batches:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        said = response.read()
        assert response.status == 200, (response.status, said[:500])


def serve() -> tuple[subprocess.Popen, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "costwatch.wsgi", "-b", f"127.0.0.1:{port}", "-w", "2"]
    command += ["--threads", "4", "-k", "gthread", "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "ALLOWED_HOSTS": "127.0.0.1"})
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, port
        except OSError:
            time.sleep(0.1)


def run(count: int, clients: int, way: str) -> None:
    from django.db import connection

    from tracking.audit import audit
    from tracking.models import ApiUsageLog

    key, users = prepare()
    server, port = serve()
    try:
        for seed in (1, 2, 3, 4):  # warm: each process has its prices
            send(port, key, MADE_BY[way](BATCH, seed, users), way)
        each = [MADE_BY[way](count // clients, 10 + n, users) for n in range(clients)]
        threads = [threading.Thread(target=send, args=(port, key, batches, way)) for batches in each]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()
    sent = sum(len(batches) for batches in each) * BATCH
    line = {"benchmark": "ingest", "way": way, "database": connection.vendor, "events": sent, "batch": BATCH}
    print(json.dumps({**line, "clients": clients, "events_per_s": round(sent / took)}))
    recorded = ApiUsageLog.objects.count()
    assert recorded == sent + 4 * BATCH, f"{recorded} of {sent + 4 * BATCH} were recorded"
    assert audit().ok, audit()


def profile(count: int) -> None:
    """The same in this process, without a server, under the profiler."""
    from django.test import Client

    key, users = prepare()
    client = Client(headers={"authorization": f"Bearer {key}", "host": "localhost"})

    def post(batches: list[bytes]) -> None:
        for body in batches:
            assert client.post(PATHS["usage"][0], body, content_type="application/json").status_code == 200

    post(bodies(BATCH, 1, users))
    batches = bodies(count, 2, users)
    began = time.perf_counter()
    post(batches)
    print(
        json.dumps(
            {
                "benchmark": "ingest, one process, no server",
                "events_per_s": round(count / (time.perf_counter() - began)),
            }
        )
    )
    profiler = cProfile.Profile()
    profiler.runcall(post, bodies(count, 3, users))
    pstats.Stats(profiler).sort_stats("cumtime").print_stats("costwatch|tracking|budgets|rest_framework|json", 45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", default="", help="a PostgreSQL server; SQLite in a temporary file without")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--way", choices=sorted(PATHS), default="usage")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()

    os.environ["API_REQUESTS_PER_MINUTE"] = "1000000"
    with own_database(options.database_url):
        set_up()
        profile(options.events) if options.profile else run(options.events, options.clients, options.way)


if __name__ == "__main__":
    main()
