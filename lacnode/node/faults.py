"""Faults on demand: the nodes named in a file are cut off, for as long as they are in it.

For devnets and rehearsals. The file is a JSON list of node ids (128 hexadecimal digits). Without the file no node is
cut off.
"""

import json
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from lacnode.p2p.connection_policies import DenyListPolicy

log = structlog.get_logger("faults")

FAULTS_POLL_SECONDS = 0.1
MAX_FAULTS_FILE_BYTES = 2**20


async def follow_faults_file(path: Path, policy: DenyListPolicy, changed: Callable[[], None]) -> None:
    """Read the file at `path` again and again, and set the denied node ids of `policy` to the ids in it. While the file
    cannot be read, is malformed or too long, the former ids stay. Without the file there are none. Call `changed` after
    each change of the ids. Runs until cancelled."""
    while True:
        denied = _read(path)
        # A file that is being written may be half there. The former list stays until the file can be read.
        if denied is not None and denied != policy.denied:
            policy.denied = denied
            log.warning("cut off from other nodes on request", nodes=len(denied))
            changed()
        await trio.sleep(FAULTS_POLL_SECONDS)


def _read(path: Path) -> frozenset[bytes] | None:
    """Return the ids in the file. None if it cannot be read at this moment."""
    try:
        if path.stat().st_size > MAX_FAULTS_FILE_BYTES:
            return None
        return frozenset(bytes.fromhex(id_) for id_ in json.loads(path.read_text("ascii")))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError):
        return None
