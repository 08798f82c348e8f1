"""A web server on this machine, whose answers a test writes down beforehand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """What a path is answered with; `promised` bytes are announced, by default as many as there are."""

    body: bytes = b""
    status: int = 200
    promised: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class LocalServer:
    """Answers by path, and the paths that were asked for."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def serve(self, path: str, body: bytes, **changes) -> str:
        self.answers[path] = Answer(body, **changes)
        return self.url(path)


@contextmanager
def serving() -> Iterator[LocalServer]:
    """A server on a free port for as long as the body runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            local.asked.append(self.path)
            answer = local.answers.get(self.path, Answer(status=404))
            self.send_response(answer.status)
            promised = len(answer.body) if answer.promised is None else answer.promised
            if promised >= 0:
                self.send_header("Content-Length", str(promised))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    local = LocalServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield local
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
