"""When a devnet makes blocks by itself: a new mode counts at once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing

from lacnode.devnet.block_maker import make_blocks
from lacnode.devnet.coordinator import BlockMode, Coordinator
from lacnode.devnet.devnet_state import DevnetStateError
from lacnode.devnet.hosted_node import HostedNode
from lacnode.devnet.manifest import DevnetNode
from lacnode.devnet.node_group import CommonHead
from lacnode.node.configuration import NodeConfig

HEAD = CommonHead(1, "00", 1)


class Blocks(Coordinator):
    """A coordinator whose nodes obey at once."""

    waiting: frozenset[bytes] = frozenset()

    def __init__(self, root: Path, nodes: int = 0) -> None:
        config = NodeConfig(data_path=root, genesis_file=root / "genesis.json")
        super().__init__(root, HostedNode(config, root), 1, on_demand=False)
        self.made: list[float] = []
        self._nodes = cast(list[DevnetNode], [None] * nodes)

    def _waiting(self) -> frozenset[bytes]:
        return self.waiting

    @asynccontextmanager
    async def _holding(self, *, all_nodes: bool = False) -> AsyncIterator[tuple[list[DevnetNode], CommonHead]]:
        async with self._lock:
            yield self._nodes, HEAD

    async def _mine_one(self, nodes: Sequence[DevnetNode], head: CommonHead, timestamp: int | None) -> CommonHead:
        self.made.append(trio.current_time())
        return HEAD


@pytest.fixture
async def blocks(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Blocks]:
    made = Blocks(tmp_path)
    nursery.start_soon(make_blocks, made)
    yield made
    nursery.cancel_scope.cancel()


async def test_a_shorter_interval_does_not_wait_for_the_longer_one_before_it(
    blocks: Blocks, autojump_clock: trio.testing.MockClock
) -> None:
    await blocks.set_mode(BlockMode.MANUAL, 10_000)
    await trio.sleep(5)
    begun = trio.current_time()
    await blocks.set_mode(BlockMode.MANUAL, 2)
    await trio.sleep(5)
    assert [moment - begun for moment in blocks.made] == pytest.approx([2, 4], abs=0.1)


async def test_no_block_comes_after_an_interval_that_was_given_up(
    blocks: Blocks, autojump_clock: trio.testing.MockClock
) -> None:
    await blocks.set_mode(BlockMode.MANUAL, 3)
    await trio.sleep(2)
    await blocks.set_mode(BlockMode.MANUAL)
    await trio.sleep(10)
    assert blocks.made == []


async def test_a_block_that_waits_for_its_turn_is_not_made_in_another_mode(
    blocks: Blocks, autojump_clock: trio.testing.MockClock
) -> None:
    await blocks.set_mode(BlockMode.MANUAL, 3)
    async with trio.open_nursery() as commands, blocks._lock:
        commands.start_soon(blocks.set_mode, BlockMode.MANUAL)
        # The block of the interval comes to wait behind the command.
        await trio.sleep(4)
    await trio.sleep(10)
    assert blocks.made == []


async def test_each_validator_has_a_turn_for_a_transaction_and_then_no_empty_block_follows(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """A validator that has just started may not have the transaction yet. One that no validator takes makes no more."""
    made = Blocks(tmp_path, nodes=4)
    made.waiting = frozenset([b"a"])
    made.mode = BlockMode.ON_DEMAND
    nursery.start_soon(make_blocks, made)
    await trio.sleep(60)
    assert len(made.made) == 4
    made.waiting = frozenset([b"a", b"b"])
    await trio.sleep(60)
    assert len(made.made) == 8
    nursery.cancel_scope.cancel()


async def test_a_full_disk_does_not_end_the_devnet(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Blocks(tmp_path)
    made.waiting, made.mode = frozenset([b"a"]), BlockMode.ON_DEMAND
    usual, tries = made._mine_one, iter([DevnetStateError("devnet.json cannot be written"), None])

    async def mine_one(nodes: Sequence[DevnetNode], head: CommonHead, timestamp: int | None) -> CommonHead:
        failure = next(tries, None)
        if failure is not None:
            raise failure
        return await usual(nodes, head, timestamp)

    monkeypatch.setattr(made, "_mine_one", mine_one)
    nursery.start_soon(make_blocks, made)
    await trio.sleep(60)
    assert made.made
    nursery.cancel_scope.cancel()
