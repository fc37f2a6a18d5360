"""The waiting transactions of one node of a devnet reach the pools of the others before a block is made."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from lacnode.devnet import transaction_handover
from lacnode.devnet.control_channel import MAX_LINE_BYTES, ControlError, Document
from lacnode.devnet.coordinator import Coordinator
from lacnode.devnet.hosted_node import HostedNode
from lacnode.devnet.manifest import DevnetNode
from lacnode.devnet.node_group import CommonHead, NodeGroup
from lacnode.devnet.transaction_handover import encode_first_transactions, offer_transactions
from lacnode.node.configuration import NodeConfig
from tests.support.rpc_chain import node, signed


def test_the_pool_of_another_node_gets_them_and_may_have_some_already() -> None:
    first, second = signed(nonce=0), signed(nonce=1)
    other = node()
    other.send(first)
    offer_transactions(other.pool, encode_first_transactions([first, second]))
    assert other.pooled == [first, second]


def test_a_command_has_room_for_what_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    large = signed(data=bytes(60_000))
    encoded = encode_first_transactions([large] * 10)
    assert len(encoded) == 2
    assert sum(map(len, encoded)) < MAX_LINE_BYTES * 3 // 4
    monkeypatch.setattr(transaction_handover, "MAX_HANDED", 3)
    assert len(encode_first_transactions([signed(nonce=nonce) for nonce in range(5)])) == 3


def test_what_is_no_transaction_is_refused() -> None:
    with pytest.raises(ControlError, match="a transaction was expected"):
        offer_transactions(node().pool, ["c0"])


class RecordingGroup(NodeGroup):
    """Records the commands, and answers as nodes at block 0 do."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.sent: list[tuple[int, str, Document]] = []

    async def send_to_all(
        self,
        nodes: Sequence[DevnetNode],
        command: str,
        values: Document,
        seconds: float,
        *,
        min_answers: int | None = None,
    ) -> list[Document]:
        self.sent.append((len(nodes), command, values))
        return [{"number": 0, "timed_height": 0}] * len(nodes)

    async def wait_for_block(self, nodes: Sequence[DevnetNode], number: int) -> CommonHead:
        return CommonHead(number, "00", 1)

    def unpaused_nodes(self) -> list[DevnetNode]:
        return cast(list[DevnetNode], [None] * 4)


async def test_all_others_get_them_before_a_timer_may_run(tmp_path: Path) -> None:
    own = node()
    waiting = signed()
    own.send(waiting)
    config = NodeConfig(data_path=tmp_path, genesis_file=tmp_path / "genesis.json")
    hosted = cast(Any, HostedNode(config, tmp_path))
    hosted._node = SimpleNamespace(pool=own.pool, chain=SimpleNamespace(next_base_fee=lambda timestamp: None))
    coordinator = Coordinator(tmp_path, hosted, 1, on_demand=True)
    group = coordinator.group = RecordingGroup(tmp_path)
    with trio.fail_after(10):
        await coordinator.mine()
    commands = [command for _, command, _ in group.sent]
    handed = commands.index("add")
    assert group.sent[handed] == (3, "add", {"transactions": [waiting.raw.hex()]})
    heights = [values.get("last_height") for _, command, values in group.sent[:handed] if command == "pace"]
    assert 1 not in heights
    assert group.sent[handed + 1][2]["last_height"] == 1
