"""Runs the senders: each in a process of its own, with the libraries of `requirements.txt`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from costwatch.demo.provider import LocalProvider

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
#: By the name of their recording: the script.
SENDERS = {
    "openai-v2": "openai_v2.py",
    "openllmetry": "openllmetry.py",
    "langfuse": "langfuse_sdk.py",
    "pydantic-ai": "pydantic_ai_sdk.py",
}


def make_environment(folder: Path) -> Path:
    """A Python with the libraries; raises `OSError` where they cannot be installed."""
    python = folder / "bin" / "python"
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True)
    if made.returncode == 0:
        made = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
    if made.returncode:
        raise OSError(made.stderr.strip().splitlines()[-1] if made.stderr.strip() else "pip failed")
    return python


def run(python: Path, name: str, *, endpoint: str, key: str, provider: LocalProvider) -> subprocess.CompletedProcess:
    """Run a sender to its end. It is told where to send by the variables that every exporter knows."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "LANGFUSE_"))}
    environment = {
        **plain,
        "OPENAI_URL": provider.openai_base_url,
        "ANTHROPIC_URL": provider.anthropic_base_url,
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key}",
        "LANGFUSE_BASE_URL": endpoint,
        "LANGFUSE_PUBLIC_KEY": "costwatch",
        "LANGFUSE_SECRET_KEY": key,
    }
    return subprocess.run(
        [str(python), str(HERE / "senders" / SENDERS[name])],
        env=environment, capture_output=True, text=True, timeout=110, cwd=HERE / "senders",
    )  # fmt: skip
