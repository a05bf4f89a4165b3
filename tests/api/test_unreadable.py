"""Bodies that cannot be read: which line, and why, in words that say what to send."""

import gzip
import json

import pytest

from tests.api.test_sending import USAGE, event, send

pytestmark = pytest.mark.django_db

LINES = "application/x-ndjson"


def test_a_broken_line_is_named_by_its_number_and_reason(alice):
    lines = [event(id="a"), "", '{"id": "b", provider}', event(id="c", cost_usd=-1), "[1", b"\xff", "7"]
    body = b"\n".join(
        one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else json.dumps(one).encode()
        for one in lines
    )
    results = send(alice, body, code=207, content_type=LINES)["results"]
    assert [(one["index"], one["line"], one["code"]) for one in results] == [
        (0, 1, 201), (1, 3, 400), (2, 4, 400), (3, 5, 400), (4, 6, 400), (5, 7, 400),
    ]  # fmt: skip
    told = [one["errors"].get("event") for one in results]
    assert told[1].startswith("line 3 is not valid JSON: Expecting property name") and "character 13" in told[1]
    assert told[2] is None and "cost_usd" in results[2]["errors"]
    assert told[3] == "line 5 is not valid JSON: Expecting ',' delimiter at character 3"
    assert told[4] == "line 6 is not valid JSON: it is not UTF-8 from byte 1 on"
    assert told[5] == "must be a JSON object"


@pytest.mark.parametrize("kind", ["application/ndjson", "application/jsonl"])
def test_lines_by_their_other_names(alice, kind):
    answer = send(alice, json.dumps(event()).encode() + b"\n", code=200, content_type=kind)
    assert answer["recorded"] == 1


def test_a_type_that_is_not_read_is_told_with_those_that_are(alice):
    told = send(alice, b"id,provider\n", code=415, content_type="text/csv")["detail"]
    assert "application/json, application/x-ndjson" in told


@pytest.mark.parametrize("kind", ["application/json", LINES])
@pytest.mark.parametrize(("header", "code"), [({"content-encoding": "gzip"}, 415), ({}, 400)])
def test_a_packed_body_is_told_to_be_sent_unpacked(alice, kind, header, code):
    body = gzip.compress(json.dumps(event()).encode())
    headers = {"authorization": f"Bearer {alice.token}", **header}
    response = alice.client.post(USAGE, body, content_type=kind, headers=headers)
    assert response.status_code == code, response.content
    assert "packed with gzip" in response.json()["detail"] and "without Content-Encoding" in response.json()["detail"]


@pytest.mark.parametrize("address", [USAGE, "/api/v1/check"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"id": ' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b'{"id": "\x8b"}', "it is not UTF-8 from byte 9 on"),
        (b'{"id": "a",\n "b" 1}', "Expecting ':' delimiter at line 2, character 6"),
        (b"[" * 60_000, "nested too deeply"),
    ],
)
def test_why_a_body_is_no_json(alice, address, body, words):
    response = alice.ask("POST", address, body)
    assert response.status_code == 400 and words in response.json()["detail"]
    assert "sys.set_int" not in response.json()["detail"]
