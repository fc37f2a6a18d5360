"""An HTTP server that answers JSON-RPC as a test says, also with answers that are no JSON-RPC."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer
from typing import Any


@contextmanager
def answering(answer: Callable[[Any], object]) -> Iterator[str]:
    """Serve on a free port, and give the URL. `answer` gets the document of each request, and gives the document of the
    answer, or its body as bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = given if isinstance(given, bytes) else json.dumps(given).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    # `HTTPServer` would look up the name of the address, which takes seconds where no name server answers.
    server = TCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
