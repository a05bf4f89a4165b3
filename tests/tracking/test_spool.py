"""The spool: what `emit` took is on disk when it returns, whatever happens to the process."""

import dataclasses
import os
import signal
import threading
import time

import pytest

from tests.tracking.making import an_event, lines_of, run_python
from tracking import segments, spool


@pytest.fixture
def folder(settings):
    return settings.SPOOL_DIR


def test_an_event_is_on_disk_when_emit_returns(folder):
    done = run_python(
        """
        import signal
        from tracking import spool
        spool.emit(an_event(id="0199c0de-0000-7000-8000-000000000001"))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        spool_dir=folder,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [line["id"] for line in lines_of(folder)] == ["0199c0de-0000-7000-8000-000000000001"]
    assert all(segments.is_abandoned(path) for path in segments.segments(folder))


def test_the_spool_can_be_imported_without_django():
    done = run_python(
        "import tracking.spool; assert not [m for m in sys.modules if m.startswith('django')], sys.modules",
        spool_dir="/nowhere",
    )
    assert done.returncode == 0, done.stderr


def test_threads_share_one_spool_and_lose_nothing(folder):
    def work(number: int) -> None:
        for call in range(100):
            spool.emit(an_event(feature=f"{number}-{call}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["feature"] for line in lines_of(folder)) == sorted(
        f"{n}-{c}" for n in range(8) for c in range(100)
    )
    assert len(segments.segments(folder)) == 1


def test_an_event_emitted_by_a_finalizer_inside_emit_is_not_lost(folder, monkeypatch):
    """The garbage collector may finalize an abandoned stream at any moment, also while the spool holds its lock."""
    write, nested = os.write, []

    def write_and_collect(fd, data):
        if not nested:
            nested.append(True)
            spool.emit(an_event(feature="finalizer"))
        return write(fd, data)

    monkeypatch.setattr("tracking.spool.os.write", write_and_collect)
    spool.emit(an_event(feature="caller"))
    assert {line["feature"] for line in lines_of(folder)} == {"caller", "finalizer"}


def test_a_forked_worker_writes_a_segment_of_its_own(folder):
    spool.emit(an_event(feature="parent"))
    pids = []
    for number in range(2):
        pid = os.fork()
        if not pid:
            spool.emit(an_event(feature=f"child {number}"))
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    spool.emit(an_event(feature="parent again"))

    assert sorted(line["feature"] for line in lines_of(folder)) == ["child 0", "child 1", "parent", "parent again"]
    by_writer = [path for path in segments.segments(folder) if not segments.is_abandoned(path)]
    assert [int(path.name.split("-")[1]) for path in by_writer] == [os.getpid()]


def test_a_living_child_does_not_keep_the_segment_of_its_dead_parent(folder):
    done = run_python(
        """
        import time
        from tracking import spool
        spool.emit(an_event(feature="parent"))
        if os.fork():
            os.kill(os.getpid(), 9)
        os.setsid()
        spool.emit(an_event(feature="child"))
        sys.stdout.close(); sys.stderr.close(); os.close(1); os.close(2)
        time.sleep(30)
        """,
        spool_dir=folder,
    )
    assert done.returncode == -9, done.stderr
    until = time.monotonic() + 10
    while len(segments.segments(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    of_parent, of_child = segments.segments(folder)
    try:
        assert segments.is_abandoned(of_parent)
        assert not segments.is_abandoned(of_child)
    finally:
        os.kill(int(of_child.name.split("-")[1]), 9)


def test_a_full_spool_refuses_counts_and_logs(folder, settings, caplog):
    settings.SPOOL_MAX_MB = 1
    fits = 1024 * 1024 // len(spool._line(an_event()))
    started = time.monotonic()
    for _ in range(fits + 500):
        spool.emit(an_event())
    stats = spool.stats()
    assert stats.folder_bytes <= 1024 * 1024 + 4096
    assert stats.refused == fits + 500 - stats.emitted > 400
    assert segments.read_counters(folder)["refused_full"] == stats.refused, "counted for every process to see"
    assert "SPOOL_MAX_MB" in caplog.text
    assert time.monotonic() - started < 10, "refusing must not wait"

    spool.close()
    for path in segments.segments(folder):
        path.unlink()
    spool.emit(an_event())
    assert len(lines_of(folder)) == 1, "with room again, events are taken again"
    assert spool.stats().refused == stats.refused


def test_a_folder_that_cannot_be_written_breaks_no_call(settings, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    settings.SPOOL_DIR = tmp_path / "file" / "spool"
    spool.emit(an_event())
    spool.emit(an_event())
    assert spool.stats().refused == 2
    assert "cannot be written" in caplog.text


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_no_torn_line(folder):
    done = run_python(
        """
        import resource
        from tracking import segments, spool
        size = len(spool._line(an_event()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * 2 + size // 2, resource.RLIM_INFINITY))
        for _ in range(5):
            spool.emit(an_event())
        print(spool.stats().emitted, spool.stats().refused)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        spool.emit(an_event(feature="room again"))
        os._exit(0)
        """,
        spool_dir=folder,
    )
    assert done.stdout.split() == ["2", "3"], done.stderr
    (path,) = segments.segments(folder)
    assert [segments.unframe(line) is not None for line in path.read_bytes().split(b"\n")[:-1]] == [True] * 3
    assert lines_of(folder)[-1]["feature"] == "room again"


def test_usage_that_is_too_large_or_cannot_be_written_is_left_out_with_a_flag(folder):
    spool.emit(an_event(usage={"prompt_tokens": 1, "x": "y" * 2_000_000}))
    cyclic: dict = {}
    cyclic["itself"] = cyclic
    spool.emit(an_event(usage=cyclic))
    assert [(line.get("usage"), line["flags"]) for line in lines_of(folder)] == [
        (None, ["usage_too_large"]),
        (None, ["usage_unreadable"]),
    ]


def test_segments_are_sealed_at_their_size(folder, settings):
    settings.SPOOL_MAX_MB = 1  # segments of 128 KiB
    for _ in range(700):
        spool.emit(an_event())
    paths = segments.segments(folder)
    assert len(paths) > 1
    assert [segments.is_abandoned(path) for path in paths] == [True] * (len(paths) - 1) + [False]
    assert len(lines_of(folder)) == 700


def test_the_spool_follows_its_setting(settings, tmp_path):
    first, second = settings.SPOOL_DIR, tmp_path / "second"
    spool.emit(an_event(feature="first"))
    settings.SPOOL_DIR = second
    spool.emit(an_event(feature="second"))
    assert [line["feature"] for line in lines_of(first)] == ["first"]
    assert [line["feature"] for line in lines_of(second)] == ["second"]
    assert segments.is_abandoned(segments.segments(first)[0]), "left to whoever drains that folder"


def test_settings_that_cannot_be_read_break_no_call(tmp_path):
    done = run_python(
        """
        os.environ["DJANGO_SETTINGS_MODULE"] = "no_such_settings"
        from tracking import spool
        spool.emit(an_event())
        spool.emit(an_event())
        """,
        spool_dir=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "could not be handed to the recorder" in done.stderr


def test_every_field_of_an_event_survives_the_line():
    event = an_event(
        user="alice@example.com",
        tags={"team": "söngs"},
        status="cancelled",
        batch=True,
        result_key="openai:batch_1",
        result_aliases=["openai:file-1"],
        cost_usd="0.10",
        facts={"sent": False},
    )
    payload = segments.unframe(spool._line(event).rstrip(b"\n"))
    assert dataclasses.asdict(type(event).from_json(payload)) == dataclasses.asdict(event)


@pytest.mark.parametrize(
    "change", [lambda b: b[:-5], lambda b: b"X" + b[1:], lambda b: b.replace(b"gpt", b"gqt"), lambda b: b""]
)
def test_a_changed_line_is_recognized(change):
    line = spool._line(an_event()).rstrip(b"\n")
    assert segments.unframe(line) is not None
    assert segments.unframe(change(line)) is None
