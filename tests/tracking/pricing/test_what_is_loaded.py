"""Pricing needs neither Django nor the catalogue package; the price book needs Django alone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def loaded(code: str, *modules: str) -> list[str]:
    """Which of the modules are loaded after running the code in a Python of its own."""
    probe = f"{code}\nimport sys\nprint(*[name for name in {modules!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ
    )
    return done.stdout.split()


def test_the_engine_and_the_readers_run_without_django():
    code = (
        "from datetime import UTC, datetime\n"
        "from tracking.pricing import RateBook, price\n"
        "from tracking.usage import read_usage\n"
        "usage = read_usage(provider='openai', model='x', operation='chat', usage={'prompt_tokens': 1})\n"
        "price(usage, datetime.now(UTC), RateBook.of([], []))\n"
        "import tracking.calculators, tracking.ai_cost_tracker"
    )
    assert loaded(code, "django", "genai_prices", "openai", "anthropic", "pydantic") == []


def test_starting_django_does_not_load_the_catalogue():
    code = (
        "import os, django\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'costwatch.settings')\n"
        "django.setup()\n"
        "from tracking.pricing import book"
    )
    assert loaded(code, "django", "genai_prices") == ["django"]
