"""A server forks its workers after it has made its client, as gunicorn and Celery do."""

import os
import time

import pytest

from tracking.context import track

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

QUESTION = [{"role": "user", "content": "What did we spend?"}]
CHILDREN, CALLS_EACH = 3, 5


def in_child(work) -> int:
    """Run `work` in a forked process and leave without clean-up, as a worker that is stopped does. Its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def test_calls_of_forked_workers_are_recorded_once_each(ledger, sdk, owner):
    from django.db import connections

    client = sdk("openai", user=owner)
    # Spool and recorder run before the fork; connections to a provider cannot be shared, so `client` has none yet.
    sdk("openai", user=owner).chat.completions.create(model="gpt-4o", messages=QUESTION)
    ledger.settle()
    connections.close_all()  # a connection must not be shared across a fork; Django's servers see to that

    def work(number: int):
        def calls() -> None:
            from tracking import spool

            with track(analysis=f"worker-{number}"):
                for _call in range(CALLS_EACH):
                    client.chat.completions.create(model="gpt-4o", messages=QUESTION)
            assert spool.flush(20)

        return calls

    pids = [in_child(work(number)) for number in range(CHILDREN)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * CHILDREN
    rows = ledger.rows(user_id=owner.pk)
    assert len(rows) == 1 + CHILDREN * CALLS_EACH
    assert len({row.response_id for row in rows}) == len(rows)


def test_what_a_killed_worker_left_is_recorded_by_the_others(ledger, sdk, owner):
    from django.db import connections

    client = sdk("openai", user=owner)
    connections.close_all()

    def work() -> None:
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
        os.kill(os.getpid(), 9)

    pid = in_child(work)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9

    client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    deadline = time.monotonic() + 20
    while len(ledger.rows()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(ledger.rows()) == 2
