"""A local HTTP server for tests, in threads of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve at a free port of this machine; yields the address, such as http://127.0.0.1:40000."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        # It looks every 0.01 s whether it is to end, which the default, 0.5 s, would make the slowest part of a test.
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
