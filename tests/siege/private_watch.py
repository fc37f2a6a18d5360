"""Honest private transactions, one a second between two writers, and how long each takes to its receipt at the other."""

import secrets
import threading
import time
from dataclasses import dataclass, field

from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import from_base64
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS
from lacnode.privacy.state.privacy_marker import FLEXIBLE_PRIVACY_ADDRESS, PROXY_ADDRESS
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
        group = self._flexible_group(sender, receiver, keys, chain_id) if is_flexible(sender) else None
        while not self._is_over.is_set():
            one = private(
                NodeKey.generate(),
                data=b"\0",
                group=group,
                private_from=keys[0],
                private_for=[keys[1]],
                chain_id=chain_id,
            )
            begin = time.monotonic()
            self._wait_for_receipt(receiver, ask(sender, "eea_sendRawTransaction", to_hex(one.raw)), begin)
            if not self._is_over.is_set():
                self.receipts.append((begin, time.monotonic() - begin))
            self._is_over.wait(max(0.0, PAUSE_SECONDS - (time.monotonic() - begin)))

    def _flexible_group(
        self, sender: DevnetNode, receiver: DevnetNode, keys: list[bytes], chain_id: int
    ) -> bytes | None:
        """Make a flexible group of both, once. Its id."""
        group = secrets.token_bytes(32)
        one = private(
            NodeKey.generate(),
            to=PROXY_ADDRESS,
            data=ADD_PARTICIPANTS + encode(["bytes[]"], [keys]),
            group=group,
            private_from=keys[0],
            chain_id=chain_id,
        )
        self._wait_for_receipt(receiver, ask(sender, "eea_sendRawTransaction", to_hex(one.raw)), time.monotonic())
        return group

    def _wait_for_receipt(self, receiver: DevnetNode, marker: object, begin: float) -> None:
        while not self._is_over.is_set() and time.monotonic() - begin < LOST_SECONDS:
            if marker is not None and ask(receiver, "priv_getTransactionReceipt", marker):
                return
            time.sleep(POLL_SECONDS)


def is_flexible(node: DevnetNode) -> bool:
    """Whether the groups of a node are flexible."""
    return ask(node, "priv_getPrivacyPrecompileAddress") == to_hex(FLEXIBLE_PRIVACY_ADDRESS)
