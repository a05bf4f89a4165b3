"""The programs of `make run` start together and end together, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAIN = """
import os, sys
from costwatch.supervisor import Program, Supervisor
sleeper = "import time; time.sleep(60)"
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
family = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(61)']); time.sleep(60)"
brief = "import sys, time; time.sleep(0.5); sys.exit(3)"
kinds = dict(sleeper=sleeper, stubborn=stubborn, family=family, brief=brief)
programs = [Program(f"{kind} {i}", [sys.executable, "-c", kinds[kind]]) for i, kind in enumerate(sys.argv[1:])]
supervisor = Supervisor(programs, say=lambda text: print(text, flush=True), grace_s=1)
ready = lambda: len(supervisor._running) == len(programs)
announce = lambda: print("pids", *(p.pid for p in supervisor._running.values()), flush=True)
sys.exit(supervisor.run(environment=os.environ, ready=ready, on_ready=announce))
"""  # noqa: E501


class Run:
    """A supervisor in a process of its own."""

    def __init__(self, *kinds: str):
        self.process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *kinds], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        line = self.process.stdout.readline().split()
        assert line[0] == "pids"
        self.pids = [int(pid) for pid in line[1:]]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; returns the exit code and what was said."""
        time.sleep(0.3)  # for the programs to have set up their handlers
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return self.process.returncode, output

    def sessions_left(self) -> list[str]:
        """Processes that still live in a session of one of the programs."""
        left = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) in self.pids and fields[0] != "Z":
                left.append(stat.parent.name)
        return left


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_is_no_failure(number):
    run = Run("sleeper", "sleeper", "family")
    code, output = run.end(number)
    assert code == 0
    assert "Stopping." in output
    assert run.sessions_left() == [], "what the programs started is gone too"


def test_one_that_ends_by_itself_ends_the_others_with_its_name():
    run = Run("sleeper", "brief")
    output, _ = run.process.communicate(timeout=20)
    assert run.process.returncode == 1
    assert "The brief 1 stopped by itself (exit code 3); stopping the rest." in output
    assert run.sessions_left() == []


def test_one_that_does_not_stop_is_killed():
    run = Run("stubborn", "sleeper")
    code, output = run.end(signal.SIGTERM)
    assert code == 0
    assert "Killing what does not stop: stubborn 0." in output
    assert run.sessions_left() == []


def test_programs_do_not_outlive_a_supervisor_that_is_killed():
    run = Run("sleeper", "sleeper")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    deadline = time.monotonic() + 5
    while run.sessions_left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert run.sessions_left() == []
