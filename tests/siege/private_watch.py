"""Honest private transactions, one a second between two writers, and how long each takes to its receipt at the other."""

import threading
import time
from dataclasses import dataclass, field

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import from_base64
from tests.siege.measure import percentile
from tests.siege.network import ask
from tests.support.private_nodes import private

PAUSE_SECONDS = 1.0
POLL_SECONDS = 0.05
LOST_SECONDS = 20.0
"""What a transaction counts that has no receipt by then."""


@dataclass
class PrivateWatch:
    """Measures while the context is open, in a thread of its own."""

    manifest: Manifest
    receipts: list[tuple[float, float]] = field(default_factory=list)
    """Moment of sending on the monotonic clock, and seconds until the receipt."""

    def __enter__(self) -> "PrivateWatch":
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="private watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(LOST_SECONDS)

    def p95(self, begin: float, end: float) -> float:
        """Seconds that 95 % of the transactions sent in a span do not exceed."""
        return percentile([seconds for moment, seconds in list(self.receipts) if begin <= moment <= end], 0.95)

    def _run(self) -> None:
        sender, receiver = (node for node in self.manifest.nodes if node.privacy_key is not None)
        chain_id = int(str(ask(sender, "eth_chainId")), 16)
        keys = [from_base64(str(node.privacy_key)) for node in (sender, receiver)]
        while not self._is_over.is_set():
            one = private(
                NodeKey.generate(), data=b"\0", private_from=keys[0], private_for=[keys[1]], chain_id=chain_id
            )
            begin = time.monotonic()
            marker = ask(sender, "eea_sendRawTransaction", to_hex(one.raw))
            while not self._is_over.is_set() and time.monotonic() - begin < LOST_SECONDS:
                if marker is not None and ask(receiver, "priv_getTransactionReceipt", marker):
                    break
                time.sleep(POLL_SECONDS)
            if not self._is_over.is_set():
                self.receipts.append((begin, time.monotonic() - begin))
            self._is_over.wait(max(0.0, PAUSE_SECONDS - (time.monotonic() - begin)))
