"""Work in forked processes, each with connections of its own."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from django.db import connections

from budgets import connections as apart
from budgets import operations


def start(work: Callable[[], object]) -> int:
    """Run `work` in a child; its exit code is what it returns, or 70 after an exception."""
    apart.shut_down()
    connections.close_all()  # a child must not share a socket with its parent
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        operations.forget()
        code = int(work() or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(children: Sequence[int]) -> list[int]:
    """The exit codes of the children; minus the signal for one that was killed."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def in_processes(number: int, work: Callable[[int], object]) -> list[int]:
    """Run `work(n)` in so many children at once and return their exit codes."""
    return wait([start(lambda n=n: work(n)) for n in range(number)])


class KillAt:
    """Kills this process, as `kill -9` would, before the database statement of this number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, execute, sql, params, many, context):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, params, many, context)
