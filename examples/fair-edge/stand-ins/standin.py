"""A JSON API on port 8000, for the two stand-ins. Python's standard library is all they need."""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def serve(answer) -> None:
    """`answer(path, query, headers)` returns a status and a body for each GET."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            if url.path == "/healthz":
                status, body = 200, {"status": "ok"}
            else:
                status, body = answer(url.path, query, self.headers)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, text, *arguments) -> None:
            if not self.path.startswith("/healthz"):
                print(text % arguments)

    # As process 1 of a container, Python would ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
