"""Run the suite on SQLite, and what touches the database once more on PostgreSQL where one answers.

(Tests of shapes, pages and words say the same on both: on PostgreSQL they are left to `--all`.)

`python -m tests.run [--all] [arguments for pytest]`; `--all` adds what is slow: outages, stress, browsers, fuzzing.
On continuous integration (CI=true) PostgreSQL and Redis must answer; elsewhere what is left out is said.
"""

import os
import subprocess
import sys

from tests import services

QUICK = "not slow and not browser"


def pytest(selection: str, *arguments: str, database_url: str = "") -> int:
    """Run pytest in as many processes as there are cores; returns its exit code."""
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
    if selection:
        command += ["-m", selection]
    return subprocess.run([*command, *arguments], env={**os.environ, "DATABASE_URL": database_url}).returncode


def main(arguments: list[str]) -> int:
    everything = "--all" in arguments
    rest = [a for a in arguments if a != "--all"]
    on_ci = os.environ.get("CI", "").lower() in ("1", "true")
    patience_s = 30 if on_ci else 0
    postgres = services.wait_for(services.postgres_answers, services.POSTGRES_URL, timeout_s=patience_s)
    redis = services.wait_for(services.redis_answers, services.REDIS_URL, timeout_s=patience_s)
    missing = [name for name, there in (("PostgreSQL", postgres), ("Redis", redis)) if not there]
    if missing and on_ci:
        print(f"FAILED: {' and '.join(missing)} must answer here (TEST_POSTGRES_URL, TEST_REDIS_URL).")
        return 1

    print("== on SQLite", flush=True)
    codes = [pytest("not browser" if everything else QUICK, *rest)]
    if everything:  # apart, as the browser's driver keeps an event loop running in its process
        print("== in a browser", flush=True)
        codes.append(pytest("browser", *rest))
    if postgres:
        print("== on PostgreSQL: what touches the database", flush=True)
        selection = "database and not browser" if everything else f"database and not above_the_database and {QUICK}"
        codes.append(pytest(selection, *rest, database_url=services.POSTGRES_URL))
    if missing:
        print(f"Left out, because it does not answer here: {' and '.join(missing)}.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
