"""An ethstats server in a process of Node.js, and what its page shows."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, HandshakeError, open_websocket_url

from tests.support.devnet import DEADLINE

SECRET = "s3cret"
PAGE_SECONDS = 5.0


@contextmanager
def ethstats_server(program: Path, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server `program`, which takes `SECRET` and listens on `port`. It is gone when the block is left."""
    environment = {**os.environ, "WS_SECRET": SECRET, "PORT": str(port), "NODE_ENV": "production"}
    with log.open("ab") as output:
        command = [shutil.which("node") or "node", str(program)]
        process = subprocess.Popen(command, cwd=program.parent, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE)


def shown_node(port: int) -> dict[str, Any] | None:
    """The one node that the server's page shows. None if it shows none, or the server is not up."""
    try:
        nodes = trio.run(_ask_for_nodes, port)
    except (HandshakeError, ConnectionClosed, trio.TooSlowError):
        return None
    if not nodes:
        return None
    (found,) = nodes
    return found


async def _ask_for_nodes(port: int) -> list[dict[str, Any]]:
    with trio.fail_after(PAGE_SECONDS):
        async with open_websocket_url(f"ws://127.0.0.1:{port}/primus") as page:
            await page.send_message('{"emit":["ready"]}')
            while True:
                message = json.loads(await page.get_message())
                # Pages also get charts and pings, which are no lists of nodes.
                if isinstance(message, dict) and message.get("emit", [None])[0] == "init":
                    nodes: list[dict[str, Any]] = message["emit"][1]["nodes"]
                    return nodes
