"""Honest private transactions between two writers, and how long each takes to its receipt at the other.

They are sent twice a second, in both directions in turn, whether the earlier ones have their receipts or not. One that
waits for the answer before the next one is sent would leave the worst moments without samples.
"""

import random
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from eth_abi.abi import encode

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.keys import from_base64, to_base64
from lacnode.privacy.state.flexible.group_contracts import ADD_PARTICIPANTS
from lacnode.privacy.state.privacy_marker import FLEXIBLE_PRIVACY_ADDRESS, PROXY_ADDRESS
from lacnode.privacy.state.private_transaction import legacy_group_id
from lacnode.rpc.json_rpc_client import NodeUnreachableError, call_all
from tests.siege.measure import percentile
from tests.siege.network import ask, height
from tests.support.private_nodes import private

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 0.75
"""Between two sends, at random. A fixed pause would meet the blocks at the same moment of their period each time, and the
p95 would say which moment that is."""

POLL_SECONDS = 0.05
LOST_SECONDS = 20.0
"""What a transaction counts that was refused, or has no receipt by then."""

UNDECIDED_SECONDS = 5.0
"""Transactions of the last seconds of a span are left out: their wait is not known yet when the span ends."""

SENDERS = 8
"""Threads that send: a manager under attack may take long for one push."""


@dataclass(slots=True)
class Sample:
    """One private transaction: the moment of sending on the monotonic clock, and the seconds until its receipt, None while
    it waits."""

    receiver: DevnetNode
    sent_at: float
    marker: object = None
    seconds: float | None = None
    status: object = None
    """Of its receipt, `0x1` for success."""

    sending_seconds: float = 0.0
    """Until the sender's node answered: the manager of the receiver has the payload then."""

    def waited(self, now: float) -> float:
        """The seconds until the receipt, or until `now`."""
        return min(LOST_SECONDS, now - self.sent_at) if self.seconds is None else self.seconds


@dataclass
class PrivateWatch:
    """Measures while the context is open, in threads of its own."""

    manifest: Manifest
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> "PrivateWatch":
        self._is_over = threading.Event()
        self._senders = ThreadPoolExecutor(SENDERS, "private sender")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send_all, self._poll)]
        self._sender, self._receiver = (node for node in self.manifest.nodes if node.privacy_key is not None)
        self._chain_id = int(str(ask(self._sender, "eth_chainId")), 16)
        self._group = self._flexible_group() if is_flexible(self._sender) else None
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(LOST_SECONDS)
        self._senders.shutdown(cancel_futures=True)

    def waits(self, begin: float, end: float) -> list[float]:
        """The seconds until the receipt of each transaction sent in a span; those that still wait count their age."""
        now = time.monotonic()
        return [one.waited(now) for one in list(self.samples) if begin <= one.sent_at <= end - UNDECIDED_SECONDS]

    def sending_p95(self, begin: float, end: float) -> float:
        """The seconds of the sends alone that 95 % of the transactions of a span do not exceed."""
        return percentile([one.sending_seconds for one in list(self.samples) if begin <= one.sent_at <= end], 0.95)

    def faults(self) -> list[str]:
        """A sentence if the two members do not have the same state of their group, even after a while, and one if honest
        transactions failed."""
        failed = sum(one.status not in (None, "0x1") for one in list(self.samples))
        return [*self._state_faults(), *([f"{failed} honest private transactions failed"] if failed else [])]

    def lost(self, begin: float, end: float) -> str:
        """How many transactions of a span the sender's node refused, and how many have no receipt after a while."""
        span = [one for one in list(self.samples) if begin <= one.sent_at <= end]
        refused = sum(one.marker is None and one.seconds is not None for one in span)
        lost = sum(one.marker is not None and one.status is None and one.seconds is not None for one in span)
        return f"{refused} refused, {lost} without a receipt after {LOST_SECONDS:.0f} s"

    def _state_faults(self) -> list[str]:
        nodes = (self._sender, self._receiver)
        keys = [_key(node) for node in nodes]
        group = to_base64(self._group or legacy_group_id(keys[0], keys))
        number, deadline = hex(min(height(node) for node in nodes)), time.monotonic() + LOST_SECONDS
        while True:
            roots = {str(ask(node, "priv_debugGetStateRoot", group, number)) for node in nodes}
            if len(roots) == 1 and roots != {"None"}:
                return []
            if time.monotonic() > deadline:
                return [f"the members have other private states at block {number}: {', '.join(sorted(roots))}"]
            time.sleep(POLL_SECONDS)

    def _send_all(self) -> None:
        ways = ((self._sender, self._receiver), (self._receiver, self._sender))
        due, number, pauses = time.monotonic(), 0, random.Random(1)
        while not self._is_over.wait(max(0.0, due - time.monotonic())):
            sender, receiver = ways[number % 2]
            sample = Sample(receiver, due)
            self.samples.append(sample)
            self._senders.submit(self._send, sender, sample)
            due, number = due + pauses.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), number + 1

    def _send(self, sender: DevnetNode, sample: Sample) -> None:
        one = private(
            NodeKey.generate(),
            data=b"\0",
            group=self._group,
            private_from=_key(sender),
            private_for=[_key(sample.receiver)],
            chain_id=self._chain_id,
        )
        sample.marker = ask(sender, "eea_sendRawTransaction", to_hex(one.raw))
        sample.sending_seconds = time.monotonic() - sample.sent_at
        if sample.marker is None:
            sample.seconds = LOST_SECONDS

    def _poll(self) -> None:
        while not self._is_over.wait(POLL_SECONDS):
            waiting = [one for one in list(self.samples) if one.marker is not None and one.seconds is None]
            for receiver in (self._sender, self._receiver):
                _look(receiver, [one for one in waiting if one.receiver is receiver])

    def _flexible_group(self) -> bytes:
        """Make a flexible group of both, once. Its id."""
        group, keys = secrets.token_bytes(32), [_key(node) for node in (self._sender, self._receiver)]
        one = private(
            NodeKey.generate(),
            to=PROXY_ADDRESS,
            data=ADD_PARTICIPANTS + encode(["bytes[]"], [keys]),
            group=group,
            private_from=keys[0],
            chain_id=self._chain_id,
        )
        sample = Sample(self._receiver, time.monotonic())
        sample.marker = ask(self._sender, "eea_sendRawTransaction", to_hex(one.raw))
        while sample.seconds is None and sample.waited(time.monotonic()) < LOST_SECONDS:
            time.sleep(POLL_SECONDS)
            _look(self._receiver, [sample])
        return group


def _look(receiver: DevnetNode, waiting: Iterable[Sample]) -> None:
    """Ask for the receipts of all that wait, as one batch: a call for each would be a load of its own."""
    asked = list(waiting)
    if not asked:
        return
    try:
        receipts = call_all(receiver.rpc_url, [("priv_getTransactionReceipt", [one.marker]) for one in asked])
    except NodeUnreachableError:
        receipts = [None] * len(asked)
    now = time.monotonic()
    for one, receipt in zip(asked, receipts, strict=True):
        if receipt is not None or one.waited(now) >= LOST_SECONDS:
            one.seconds = one.waited(now)
            one.status = receipt.get("status") if isinstance(receipt, dict) else None


def _key(node: DevnetNode) -> bytes:
    return from_base64(str(node.privacy_key))


def is_flexible(node: DevnetNode) -> bool:
    """Whether the groups of a node are flexible."""
    return ask(node, "priv_getPrivacyPrecompileAddress") == to_hex(FLEXIBLE_PRIVACY_ADDRESS)
