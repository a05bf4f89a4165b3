"""`manage.py run`: the whole of Costwatch with one command."""

import os
import signal
import socket
import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connections

from costwatch.supervisor import Program, Supervisor


class Command(BaseCommand):
    help = "Prepare the database and the static files, then run web server, worker and beat until Ctrl-C."
    requires_system_checks = ()  # the steps below run them

    def handle(self, *args, **options):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        try:
            _refuse_busy_port(settings.HOST, settings.PORT)
            self._prepare()
        except KeyboardInterrupt:
            self._say("Stopped.")
            return
        supervisor = Supervisor(programs(), say=self._say)
        code = supervisor.run(
            environment=os.environ,
            ready=lambda: _answers(settings.HOST, settings.PORT),
            on_ready=self._announce,
        )
        self._say("Stopped.")
        sys.exit(code)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _prepare(self) -> None:
        self._say("Preparing the database.")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        if not settings.REDIS_URL:
            for folder in ("queue", "control"):
                (settings.BROKER_DIR / folder).mkdir(parents=True, exist_ok=True)
        self._accounts = get_user_model().objects.exists()
        connections.close_all()

    def _announce(self) -> None:
        self._say(f"\nCostwatch runs at {address()} (Ctrl-C stops it)")
        if not self._accounts:
            self._say(
                "There is no account yet. Make one in another terminal:\n"
                f"  {_python()} manage.py createsuperuser\n"
                "or fill a demo workspace with accounts of its own: make demo\n"
            )


def programs() -> list[Program]:
    """What runs together: the web server, the worker and the beat."""
    web = (
        f"-m gunicorn costwatch.wsgi:application --bind {_netloc(settings.HOST)}:{settings.PORT} "
        f"--worker-class gthread --workers {settings.WEB_WORKERS} --threads {settings.WEB_THREADS} "
        "--graceful-timeout 10 --timeout 60 --max-requests 20000 --max-requests-jitter 2000 "
        "--no-control-socket --log-level warning"
    )
    worker = (
        f"-m celery --quiet -A costwatch.celery worker --concurrency {settings.WORKER_CONCURRENCY} "
        "--without-gossip --without-mingle --without-heartbeat --loglevel WARNING"
    )
    beat = "-m celery --quiet -A costwatch.celery beat --loglevel WARNING --pidfile="
    return [
        Program("web server", [sys.executable, *web.split()]),
        Program("worker", [sys.executable, *worker.split()]),
        Program("beat", [sys.executable, *beat.split()]),
    ]


def address() -> str:
    """Where a browser finds the web server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104 - any: show a real one
    return f"http://{_netloc(host)}:{settings.PORT}/"


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


def _netloc(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse_busy_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. "
            f"Stop what uses it, or choose another: PORT={port + 1 if port < 65535 else 8000} make run"
        ) from error


def _answers(host: str, port: int) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        socket.create_connection((host, port), timeout=0.2).close()
    except OSError:
        return False
    return True


def _python() -> str:
    """This Python as one would type it in the project's folder."""
    return os.path.relpath(sys.executable, settings.BASE_DIR) if sys.prefix != sys.base_prefix else sys.executable
