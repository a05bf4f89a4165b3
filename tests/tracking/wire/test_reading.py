"""Reading what flies by: bodies of every size, events cut anywhere, sounds of every kind."""

import io
import json
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.failures import Failures
from tracking.wire import audio, bodies
from tracking.wire.bodies import Kept, Unreadable, read_json
from tracking.wire.readers import LinesReader
from tracking.wire.sse import Events, data_of
from tracking.wire.streams import without_null_usage


def kept(data: bytes, size: int = 65536) -> Kept:
    body = Kept()
    for at in range(0, len(data), size):
        body.add(data[at : at + size])
    return body


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(1, 50), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]))
def test_events_join_to_what_came_wherever_it_is_cut(lengths, size, end):
    whole = b"".join(b"data: " + b"x" * length + end for length in lengths) + b"data: rest"
    events = Events()
    found = []
    for at in range(0, len(whole), size):
        found += events.feed(whole[at : at + size])
    rest = events.rest()
    assert b"".join(found) + rest == whole
    assert [len(data_of(event)) for event in found] == lengths


def test_an_event_without_end_is_given_up():
    events = Events()
    with pytest.raises(ValueError, match="without end"):
        for _ in range(40):
            events.feed(b"x" * (1 << 20))


@pytest.mark.parametrize("size", [1000, bodies.QUICK_BYTES + 1, bodies.WHOLE_BYTES + 1])
def test_usage_is_found_in_bodies_of_every_size(size):
    value = {"model": "m", "data": ["x" * 1000] * (size // 1000), "usage": {"prompt_tokens": 3}}
    found, whole = read_json(kept(json.dumps(value).encode()), ends_suffice=True)
    assert (found["usage"], found["model"]) == ({"prompt_tokens": 3}, "m")
    assert whole == (size == 1000)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_is_read_however_the_sdks_would_read_it(encoding):
    text = '{"model": "m", "choices": [{"text": "half a pair: \\ud83d"}], "usage": {"prompt_tokens": 3}}'
    assert read_json(kept(text.encode(encoding)))[0]["usage"] == {"prompt_tokens": 3}
    assert read_json(kept(text.encode()))[0]["usage"] == {"prompt_tokens": 3}
    with pytest.raises(Unreadable):
        read_json(kept(b'{"usage": ' + b"[" * 100_000))


def test_only_members_of_the_outermost_object_are_taken_from_a_tail():
    inner = {"usage": {"prompt_tokens": 999}, "model": "inner"}
    value = {"model": "outer", "pad": "x" * bodies.WHOLE_BYTES, "usage": {"prompt_tokens": 3}, "output": [inner] * 3}
    found, _ = read_json(kept(json.dumps(value).encode()))
    assert (found["usage"], found["model"]) == ({"prompt_tokens": 3}, "outer")


def test_a_large_body_without_usage_is_unreadable_and_bounded():
    body = kept(b"x" * (bodies.WHOLE_BYTES * 3), 1000)
    assert body.size_bytes == bodies.WHOLE_BYTES * 3
    assert sum(map(len, body._chunks)) <= 3 * bodies.TAIL_BYTES
    with pytest.raises(Unreadable):
        read_json(body)


def test_an_encoding_nobody_can_decode_is_said_to_be_so():
    assert bodies.decoder("identity") is None
    with pytest.raises(Unreadable):
        bodies.decoder("rot13")


@given(st.text(max_size=30), st.booleans())
def test_taking_out_the_null_usage_leaves_everything_else(text, first):
    rest = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "n": text}
    value = {"usage": None, **rest} if first else {**rest, "usage": None}
    for separators in ((",", ":"), (", ", ": ")):
        raw = b"data: " + json.dumps(value, separators=separators).encode() + b"\n\n"
        assert json.loads(data_of(without_null_usage(raw))) == rest


@given(st.integers(1, 40))
def test_lines_are_read_wherever_they_are_cut(size):
    lines = [{"custom_id": str(n), "x": "é" * n} for n in range(5)]
    data = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
    found = []
    reader = LinesReader(found.append)
    assert b"".join(reader.feed(data[at : at + size]) for at in range(0, len(data), size)) == data
    reader.end()
    assert found == lines


def _wav(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(44100)
        out.writeframes(b"\0\0\0\0" * int(44100 * seconds))
    return file.getvalue()


def _mp3(frames: int) -> bytes:
    """MPEG 1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes and 1,152 samples a frame."""
    return (b"\xff\xfb\x90\x00" + b"\0" * 413) * frames


@pytest.mark.parametrize(
    ("content", "name", "seconds"),
    [
        (_wav(2.5), "a.wav", 2.5),
        (_wav(2.5), "upload", 2.5),
        (_mp3(100), "a.mp3", 100 * 1152 / 44100),
        (b"", "a.wav", None),
        (b"RIFF", "a.wav", None),
        (b"\x1a\x45\xdf\xa3" + b"\0" * 100, "a.webm", None),
        (b"\0\1" * 1000, "a.pcm", None),
    ],
)
def test_how_long_a_sound_is(content, name, seconds):
    found = audio.duration_s(content, name=name)
    assert found == (pytest.approx(seconds, abs=0.05) if seconds else None)


def test_a_file_that_is_closed_or_cannot_go_back_is_not_measured():
    closed = io.BytesIO(_wav(1))
    closed.close()
    assert audio.duration_s(closed) is None
    assert audio.duration_s(iter([b"x"])) is None


@pytest.mark.parametrize(
    ("form", "head", "size", "seconds", "source"),
    [
        ("pcm", b"\0\0", 96_000, 2.0, "size"),
        ("mp3", _mp3(2), 160_000, 10.0, "bitrate"),
        ("", b"ID3\4\0\0\0\0\0\5xxxxx" + _mp3(2), 160_000, 10.0, "bitrate"),
        ("opus", b"OggS", 5000, 10.0, "characters"),
        ("mp3", b"", 0, 10.0, "characters"),
    ],
)
def test_about_how_long_speech_is(form, head, size, seconds, source):
    assert audio.speech_seconds(form=form, head=head, size_bytes=size, characters=150) == (seconds, source)


def test_failures_are_counted_by_kind_and_logged_once_a_minute(caplog):
    counter = Failures()
    for _ in range(5):
        counter.note("read", ValueError("a prompt"))
    counter.note("sink")
    assert counter.counts() == {"read": 5, "sink": 1}
    assert len(caplog.records) == 2
    assert "ValueError" in caplog.text and "a prompt" not in caplog.text
