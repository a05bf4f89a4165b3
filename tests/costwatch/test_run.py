"""`manage.py run`: one command starts everything on a bare machine, and Ctrl-C ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.costwatch.test_settings import ROOT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(tmp_path: Path, port: int, **environment: str) -> subprocess.Popen:
    """`manage.py run` with nothing but a port and a folder, as one types it in a shell."""
    clean = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.Popen(
        [sys.executable, "manage.py", "run"],
        env={**clean, "ENV_FILE": "", "DATA_DIR": str(tmp_path / "data"), "PORT": str(port), **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen, words: str) -> str:
    """Everything said up to the line with these words."""
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"ended without {words!r}:\n{said}")


def processes_using(folder: Path) -> list[str]:
    """Command lines of processes that were started with this folder in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in environ.read_bytes():
                found.append((environ.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_busy_port_is_said_at_once_and_nothing_is_started(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = start(tmp_path, port)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use." in output
    assert f"PORT={port + 1} make run" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_command_starts_all_of_it_and_ctrl_c_ends_it(tmp_path):
    port = free_port()
    process = start(tmp_path, port)
    try:
        said = read_until(process, "Costwatch runs at")
        assert f"http://127.0.0.1:{port}/" in said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert page.url.endswith("/login/?next=/")
            assert "Log in" in page.read().decode()
        assert "manage.py createsuperuser" in read_until(process, "createsuperuser")

        alive = tmp_path / "data/worker-alive"
        deadline = time.monotonic() + 90  # beat sends the first job within a minute
        while not alive.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert alive.exists(), "beat sent a job over the folders, and the worker did it"
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the foreground group
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 0, output
    assert "Stopped." in output and "Traceback" not in output
    assert processes_using(tmp_path) == []
