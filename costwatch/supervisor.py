"""Run several programs together: all of them or none, and nothing is left behind.

Why not a library: honcho's manager drops a signal that comes while it starts, wraps each program in a shell and in a
process of its own, and reports a clean stop as a failure.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run: its name in messages, and its command line."""

    name: str
    command: Sequence[str]


class Supervisor:
    """Runs programs until it is told to stop (SIGINT, SIGTERM) or one of them ends.

    Each program leads a session of its own, so that a Ctrl-C reaches the supervisor alone and the programs stop in
    order. If the supervisor itself is killed, Linux tells the programs to stop.
    """

    def __init__(self, programs: Sequence[Program], *, say: Callable[[str], None], grace_s: float = 15.0):
        self._programs = programs
        self._say = say
        self._grace_s = grace_s
        self._running: dict[str, subprocess.Popen] = {}
        self._signals = 0

    def run(self, *, environment: Mapping[str, str], ready: Callable[[], bool], on_ready: Callable[[], None]) -> int:
        """Start all, call `on_ready` once `ready` says so, wait for the end, stop the rest; returns an exit code.

        0 after a signal, 1 when a program ended by itself.
        """
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            for program in self._programs:
                if not self._signals:
                    self._running[program.name] = self._start(program, environment)
            return self._watch(ready, on_ready)
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _watch(self, ready: Callable[[], bool], on_ready: Callable[[], None]) -> int:
        announced = False
        while not self._signals:
            for name, process in self._running.items():
                if (code := process.poll()) is not None:
                    self._say(f"The {name} stopped by itself ({_ending(code)}); stopping the rest.")
                    return 1
            if not announced and ready():
                announced = True
                on_ready()
            time.sleep(0.2)
        self._say("Stopping.")
        return 0

    def _on_signal(self, _number, _frame) -> None:
        self._signals += 1

    def _start(self, program: Program, environment: Mapping[str, str]) -> subprocess.Popen:
        return subprocess.Popen(  # noqa: S603 - our own command lines
            program.command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_stop_with_parent if sys.platform == "linux" else None,
        )

    def _stop(self) -> None:
        """Ask each to stop, wait, then kill what is left of it and of what it started. A second signal: at once."""
        asked = self._signals
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + self._grace_s
        while any(p.poll() is None for p in self._running.values()):
            if time.monotonic() > deadline or self._signals > max(asked, 1):
                names = [name for name, p in self._running.items() if p.poll() is None]
                self._say(f"Killing what does not stop: {', '.join(names)}.")
                break
            time.sleep(0.05)
        for process in self._running.values():
            # What it started too: its session has its number. Usually nothing is left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _stop_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
