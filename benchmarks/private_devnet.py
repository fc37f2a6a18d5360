"""Private transactions on a devnet of processes, four validators and eight members with a manager each: how many a second
are executed at every member of a group of two and of eight, and how soon a partner has the private receipt.

Everything is sent through one member, to the methods that wallets use. The load generator shares the machine with the nodes.
"""

import base64
import random
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import Measure
from benchmarks.networks import devnet
from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.devnet_genesis import CHAIN_ID
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.rpc.json_rpc_client import call
from tests.support.private_nodes import KEEPER, deploying, private, word

BLOCK_PERIOD = 1.0
AIM = BLOCK_PERIOD + 0.3
"""Seconds from sending to the receipt."""

SIZES = (2, 8)
SAMPLES = 40
LOAD_SECONDS = 20.0
SENDERS = 4
PATIENCE = 120.0
"""Seconds to wait for one answer or event, under load."""

GAS = 100_000
"""Of a private transaction and so of its marker, which takes that much of a public block's room."""

POLL = 0.005
"""Seconds between two questions, which the nodes must answer beside their work."""


@dataclass
class Group:
    """A group of `members` (nodes as `lacnode devnet --json` shows them), the first of which is sent to."""

    members: Sequence[dict[str, Any]]
    nonces: dict[NodeKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = [base64.b64decode(member["privacy_public_key"]) for member in self.members]
        self.id = legacy_group_id(self.keys[0], self.keys[1:])

    def send(self, sender: NodeKey) -> str:
        """Have `sender` store a value in a contract of its own, which its first transaction makes; the marker's hash."""
        nonce = self.nonces.get(sender, 0)
        made = private_contract_address(sender.address, 0, self.id)
        transaction = private(
            sender,
            nonce,
            to=made if nonce else None,
            data=word(nonce) if nonce else deploying(KEEPER),
            private_from=self.keys[0],
            private_for=self.keys[1:],
            gas=GAS,
            chain_id=CHAIN_ID,
        )
        marker = call(self.members[0]["rpc_url"], "eea_sendRawTransaction", [to_hex(transaction.raw)], PATIENCE)
        self.nonces[sender] = nonce + 1
        return str(marker)

    def wait_for_all(self, sender: NodeKey) -> None:
        """Return once every member has executed what `sender` sent."""
        question = [to_hex(sender.address), base64.b64encode(self.id).decode()]
        sent = hex(self.nonces[sender])
        for member in self.members:
            _answered(member, "priv_getTransactionCount", question, lambda count: count == sent)

    def wait_for_receipt(self, marker: str) -> None:
        """Return once the last member has the private receipt."""
        receipt = _answered(self.members[-1], "priv_getTransactionReceipt", [marker], lambda answer: answer is not None)
        assert isinstance(receipt, dict)
        assert receipt["status"] == "0x1", receipt


def _answered(
    member: dict[str, Any], method: str, params: Sequence[object], awaited: Callable[[object], bool]
) -> object:
    """The first answer of `member` that is the awaited one; fails after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while not awaited(answer := call(member["rpc_url"], method, params, PATIENCE)):
        assert time.monotonic() < until, f"{method} of {member['name']}: {answer}"
        time.sleep(POLL)
    return answer


def measure() -> list[Measure]:
    """For each size of group two latencies, and a rate."""
    measures = []
    with devnet("--privacy", "--writers", str(max(SIZES)), "--block-period", str(BLOCK_PERIOD)) as network:
        members = [node for node in network.nodes if node["privacy_public_key"] is not None]
        for size in SIZES:
            group = Group(members[:size])
            measures += [*_latencies(group), _rate(group)]
    return measures


def _latencies(group: Group) -> list[Measure]:
    """One transaction at a time, at any moment between two blocks."""
    sender, rng = NodeKey.generate(), random.Random(1)
    group.send(sender)
    group.wait_for_all(sender)
    seconds = []
    for _ in range(SAMPLES):
        time.sleep(rng.random() * BLOCK_PERIOD)
        start = time.monotonic()
        marker = group.send(sender)
        group.wait_for_receipt(marker)
        seconds.append(time.monotonic() - start)
    name = f"send to private receipt at a partner, group of {len(group.members)}"
    note = f"{SAMPLES} sent one by one, blocks every {BLOCK_PERIOD:g} s, worst {max(seconds):.2f} s"
    percentiles = (("p50", statistics.median(seconds)), ("p95", statistics.quantiles(seconds, n=20)[-1]))
    return [Measure(f"{name}, {which}", value, "s", AIM, at_most=True, note=note) for which, value in percentiles]


def _rate(group: Group) -> Measure:
    """As many as go, for a while; the clock stops when every member has executed the last."""
    senders = [NodeKey.generate() for _ in range(SENDERS)]
    start = time.monotonic()

    def send(sender: NodeKey) -> int:
        count = 0
        while time.monotonic() - start < LOAD_SECONDS:
            group.send(sender)
            count += 1
        return count

    with ThreadPoolExecutor(SENDERS) as pool:
        sent = sum(pool.map(send, senders))
    for sender in senders:
        group.wait_for_all(sender)
    elapsed = time.monotonic() - start
    note = f"{sent} sent by {SENDERS} clients of one member in {LOAD_SECONDS:.0f} s, all executed after {elapsed:.1f} s"
    return Measure(f"private transactions end to end, group of {len(group.members)}", sent / elapsed, "tx/s", note=note)
