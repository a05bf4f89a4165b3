"""Record what the libraries send: python -m tests.otel.record /path/to/environment/bin/python

Writes tests/data/otel/<library>.json: the bodies as they came, and what the provider says it was asked. The texts in
them are those of `senders/calls.py`.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from costwatch.demo.provider import local_provider
from tests.otel import running

DATA = Path(__file__).parents[1] / "data" / "otel"
_PACKAGES = ("opentelemetry", "langfuse", "pydantic-ai", "openai", "anthropic")


def main(python: Path) -> None:
    """Record them all."""
    DATA.mkdir(parents=True, exist_ok=True)
    frozen = subprocess.run([str(python), "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    versions = dict(line.split("==") for line in frozen.split() if line.startswith(_PACKAGES) and "==" in line)
    for name in running.SENDERS:
        exports: list[dict] = []
        server = _server(exports)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with local_provider() as provider:
            done = running.run(python, name, endpoint=url, key="cw_recorded", provider=provider)
            asked = [
                {"path": r.path, "model": r.model, "status": r.status, "usage": r.usage} for r in provider.requests
            ]
        server.shutdown()
        if done.returncode or not exports:
            sys.exit(f"{name}: {done.stderr}")
        recording = {"versions": versions, "recorded_at": time.time(), "asked": asked, "exports": exports}
        (DATA / f"{name}.json").write_text(json.dumps(recording, indent=1) + "\n")
        print(name, len(exports), "exports")


def _server(exports: list[dict]) -> ThreadingHTTPServer:
    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") != "gzip":
                body = gzip.compress(body, mtime=0)  # to keep the files small
            kept = {"path": self.path, "content_type": self.headers["content-type"]}
            exports.append({**kept, "gzip": base64.b64encode(body).decode()})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    main(Path(sys.argv[1]))
