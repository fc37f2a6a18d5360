"""Blocks that a peer delivers late: what consensus builds meanwhile must not suffer."""

from collections.abc import Iterator, Sequence
from threading import Event, Thread

import trio

from lacnode.evm.budget import ExecutionBudget
from lacnode.primitives.block import Block
from lacnode.sync.sliced_import import MIN_SYNC_BLOCKS, SlicedImport
from lacnode.workers.worker import ThreadWorker
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer, transaction

DEADLINE_SECONDS = 30.0


class PausingPool(Sequence[Offer]):
    """Transactions of the next block. After the first, `reached` is set and the others wait for `go_on`."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._offers = offers
        self.reached, self.go_on = Event(), Event()

    def __len__(self) -> int:
        return len(self._offers)

    def __getitem__(self, index: int) -> Offer:  # type: ignore[override]
        return self._offers[index]

    def __iter__(self) -> Iterator[Offer]:
        yield self._offers[0]
        self.reached.set()
        assert self.go_on.wait(DEADLINE_SECONDS)
        yield from self._offers[1:]


def building(net: Network, pool: PausingPool, built: list[Block]) -> Thread:
    return Thread(target=lambda: built.append(net.build(pool)), daemon=True)


async def test_blocks_that_are_in_the_chain_do_not_end_the_building_of_the_next_block() -> None:
    net = network()
    old = [net.grow() for _ in range(MIN_SYNC_BLOCKS + 2)]
    pool = PausingPool([Offer(transaction(nonce)) for nonce in range(3)])
    built: list[Block] = []
    pauses: list[bool] = []
    builder = building(net, pool, built)
    builder.start()
    with trio.fail_after(DEADLINE_SECONDS):
        await trio.to_thread.run_sync(pool.reached.wait)
        await SlicedImport(net.chain, ExecutionBudget(), pauses.append).run(old, ThreadWorker())
        pool.go_on.set()
        await trio.to_thread.run_sync(builder.join)
    assert [len(block.transactions) for block in built] == [3]
    assert pauses == [], "consensus must not pause for blocks that it has"


async def test_old_blocks_before_new_ones_are_passed_over() -> None:
    source, net = network(), network()
    blocks = [source.grow() for _ in range(5)]
    for block in blocks[:2]:
        assert net.chain.import_block(block)
    pauses: list[bool] = []
    with trio.fail_after(DEADLINE_SECONDS):
        await SlicedImport(net.chain, ExecutionBudget(), pauses.append).run(blocks, ThreadWorker())
    assert net.chain.head.header == blocks[-1].header
    assert pauses == [], "three blocks are few"
