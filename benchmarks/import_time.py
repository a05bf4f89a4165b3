"""What `costwatch.clients` adds to a process that imports the SDK alone: seconds and memory. Prints one line of JSON.

Two additions are measured: importing it, and importing it and making a metered client. Bounds: 0.15 s and 20 MB for
the import. `--check` fails when they are exceeded.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
BOUND_S, BOUND_MB = 0.15, 20.0

REPORT = """
import json, resource, sys, time
start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps({{"s": seconds, "mb": pages * resource.getpagesize() / 1e6, "modules": sorted(sys.modules)}}))
"""
CODES = {
    "sdk": "import openai",
    "clients": "import openai\nimport costwatch.clients",
    "sdk_client": "import openai\nopenai.OpenAI(api_key='x')",
    "metered_client": "import openai\nimport costwatch.clients\ncostwatch.clients.openai_client(api_key='x')",
}
#: what must not be loaded for a client's sake
UNWANTED = ("anthropic", "celery", "django.db", "genai_prices", "rich")


def run(code: str) -> dict:
    """Seconds, megabytes and modules of a fresh process that runs `code`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", REPORT.format(code=code)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=ROOT)
    return json.loads(done.stdout)


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is exceeded")
    check = parser.parse_args().check
    for code in CODES.values():
        run(code)  # compile
    runs = {name: [] for name in CODES}
    for _ in range(ROUNDS):
        for name, code in CODES.items():
            runs[name].append(run(code))
    seconds = {name: min(one["s"] for one in ones) for name, ones in runs.items()}
    megabytes = {name: min(one["mb"] for one in ones) for name, ones in runs.items()}
    loaded = set(runs["metered_client"][0]["modules"])
    unwanted = [name for name in UNWANTED if name in loaded]
    result = {
        "benchmark": "import_time",
        "sdk_s": round(seconds["sdk"], 3),
        "added_s": round(seconds["clients"] - seconds["sdk"], 4),
        "added_mb": round(megabytes["clients"] - megabytes["sdk"], 2),
        "ratio": round(seconds["clients"] / seconds["sdk"], 3),
        "added_with_client_s": round(seconds["metered_client"] - seconds["sdk_client"], 4),
        "added_with_client_mb": round(megabytes["metered_client"] - megabytes["sdk_client"], 2),
        "unwanted": unwanted,
        "bounds": {"s": BOUND_S, "mb": BOUND_MB},
    }
    result["ok"] = result["added_s"] <= BOUND_S and result["added_mb"] <= BOUND_MB and not unwanted
    print(json.dumps(result))
    return 0 if result["ok"] or not check else 1


if __name__ == "__main__":
    sys.exit(main())
