"""Attack: payloads of the largest size, of a new key each. One took 89 MB in a manager, and its connection to the database
kept 17 MB of it."""

import re
import subprocess
import sys
from pathlib import Path

from lacnode.crypto.node_key import NodeKey
from lacnode.http.http_messages import Request
from lacnode.malloc_settings import configure_malloc
from lacnode.privacy.keys import KeyPair
from lacnode.privacy.manager.encrypted_payload import encode_orion_payload, encrypt_payload
from lacnode.privacy.manager.payload_store import PayloadStore
from lacnode.privacy.state.private_transaction import encode_payload_text, legacy_group_id
from tests.support.lonely_manager import lonely_manager
from tests.support.private_nodes import private

DATA_BYTES = 11_000_000
"""Of a private transaction. The payload has it in base64: 14.7 MB."""

PUSHES = 3


def test_a_large_push_takes_its_length_three_times_and_leaves_nothing(tmp_path: Path) -> None:
    # In a process of its own: what the memory of this one grows by depends on the tests before.
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path / "payloads.sqlite")],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        size, peak, after = map(int, line.split())
        assert peak < 3.4 * size
        assert after < 0.5 * size
    assert len(done.stdout.splitlines()) == PUSHES


def _push_and_print_growth(database: str) -> None:
    """Push payloads, and print for each its size, and by how many bytes memory grew meanwhile and afterwards."""
    configure_malloc()
    own = KeyPair.generate()
    store = PayloadStore(f"sqlite:///{database}")
    manager = lonely_manager(own, store)
    for _ in range(PUSHES):
        push = Request("POST", "/push", {}, _push_for(own))
        size = len(push.body)
        before = _memory_bytes("VmRSS") - size
        Path("/proc/self/clear_refs").write_text("5")
        manager.intake.receive_push(push.take_body())
        print(size, _memory_bytes("VmHWM") - before, _memory_bytes("VmRSS") - before)
    store.close()


def _push_for(own: KeyPair) -> bytes:
    """The body of a push of a new key to `own`."""
    stranger = KeyPair.generate()
    sent = private(NodeKey.generate(), data=bytes(DATA_BYTES), private_from=stranger.public, private_for=[own.public])
    group = legacy_group_id(stranger.public, [own.public])
    return encode_orion_payload(encrypt_payload(encode_payload_text(sent), stranger, [own.public], group))


def _memory_bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    _push_and_print_growth(sys.argv[1])
