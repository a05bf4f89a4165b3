"""How long pricing a call takes, beside genai_prices.calc_price and litellm.completion_cost. One JSON line each.

python benchmarks/pricing.py                             # against genai-prices
python benchmarks/pricing.py --litellm                   # and litellm, in an environment made for it and thrown away
python benchmarks/pricing.py --litellm-python PATH       # and litellm, with a Python that has it
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import genai_prices

from tracking.pricing import price
from tracking.pricing.catalogue import wanted
from tracking.usage import Usage, read_usage

AT = datetime(2026, 11, 1, tzinfo=UTC)
ROUNDS, CALLS = 40, 50

#: What is priced: a name, the provider, the model, and the raw usage as the provider reports it.
CASES = [
    (
        "chat, cached input",
        "openai",
        "gpt-4o-2024-08-06",
        {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 400}},
    ),
    (
        "dated prices, long-context threshold",
        "openai",
        "gpt-5.6-sol",
        {"input_tokens": 300_000, "output_tokens": 2000, "input_tokens_details": {"cached_tokens": 1000}},
    ),
    (
        "message, cache read and written",
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {
            "input_tokens": 1000,
            "output_tokens": 500,
            "cache_read_input_tokens": 10_000,
            "cache_creation_input_tokens": 2000,
            "cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 0},
        },
    ),
]

_LITELLM = """
import json, statistics, sys, time
import litellm
from litellm import ModelResponse, Usage
cases, rounds, calls = json.loads(sys.argv[1])
for name, provider, model, usage in cases:
    response = ModelResponse(model=model, usage=Usage(
        prompt_tokens=usage["input"], completion_tokens=usage["output"],
        prompt_tokens_details={"cached_tokens": usage["cached"]}))
    def call():
        litellm.completion_cost(completion_response=response, model=model, custom_llm_provider=provider)
    call()
    medians = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        medians.append((time.perf_counter() - start) / calls)
    print(json.dumps([name, statistics.median(medians) * 1e6]))
"""


def median_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """The median over rounds of the mean microseconds of a call."""
    call()
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - start) / calls)
    return statistics.median(rounds) * 1e6


def say(what: str, case: str, median: float, *, n: int = ROUNDS * CALLS, **more: object) -> None:
    line = {"what": what, "case": case, "n": n, "median": round(median, 2), "unit": "us", **more}
    print(json.dumps(line), flush=True)


def read(provider: str, model: str, raw: dict) -> Usage:
    return read_usage(provider=provider, model=model, operation="chat", usage=raw)


def theirs(provider: str, model: str, usage: Usage) -> Callable[[], object]:
    counts = genai_prices.Usage(
        input_tokens=usage.context_tokens,
        cache_read_tokens=usage.meters.get("cache_read_tokens", 0),
        cache_write_tokens=usage.meters.get("cache_write_tokens", 0),
        output_tokens=usage.meters["output_tokens"],
    )
    return lambda: genai_prices.calc_price(counts, model, provider_id=provider, genai_request_timestamp=AT)


def litellm_python() -> Iterator[str]:
    """The Python of an environment with litellm, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", "litellm"], check=True)
        yield python


def compare_litellm(python: str, ours: dict[str, float]) -> None:
    cases = []
    for name, provider, model, raw in CASES:
        usage = read(provider, model, raw)
        counts = {
            "input": usage.context_tokens,
            "output": usage.meters["output_tokens"],
            "cached": usage.meters.get("cache_read_tokens", 0),
        }
        cases.append([name, provider, model, counts])
    done = subprocess.run(
        [python, "-c", _LITELLM, json.dumps([cases, 20, 20])], check=True, capture_output=True, text=True
    )
    for line in done.stdout.splitlines():
        if line.startswith("["):
            name, median = json.loads(line)
            say("litellm.completion_cost", name, median, n=400, ratio=round(median / ours[name], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", action="store_true", help="make an environment with litellm, and throw it away")
    parser.add_argument("--litellm-python", metavar="PATH", help="a Python that has litellm")
    options = parser.parse_args()
    book = wanted(providers=("openai", "anthropic")).book()
    ours: dict[str, float] = {}
    for name, provider, model, raw in CASES:
        usage = read(provider, model, raw)
        ours[name] = median_us(lambda usage=usage: price(usage, AT, book))
        say("price", name, ours[name], limit=10)
        say("read_usage", name, median_us(lambda p=provider, m=model, r=raw: read(p, m, r)))
        median = median_us(theirs(provider, model, usage), calls=10)
        say("genai_prices.calc_price", name, median, n=ROUNDS * 10, ratio=round(median / ours[name], 1), limit_ratio=10)
    if options.litellm_python:
        compare_litellm(options.litellm_python, ours)
    elif options.litellm:
        for python in litellm_python():
            compare_litellm(python, ours)


if __name__ == "__main__":
    main()
