"""How much is kept of blocks that were executed and are not imported yet."""

from dataclasses import replace

import pytest

from lacnode.chain import execution_cache
from lacnode.chain.execution_cache import MAX_EXECUTION_BYTES, MAX_EXECUTIONS, ExecutionCache
from lacnode.evm.block_limits import LOG_BYTES
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.receipt import Log, Receipt
from tests.support.chain_network import network
from tests.support.chain_transactions import transaction

EMPTY = network().build()
NOTHING = ExecutedBlock(bytes(32), bytes(32), bytes(32), bytes(256), 0, (), (), (), (), (), {})
HALF = MAX_EXECUTION_BYTES // 2 + 1


def kept(*executed: tuple[Block, ExecutedBlock]) -> list[bool]:
    """Which of `executed` are still kept after the last one."""
    memory = ExecutionCache()
    for number, (block, execution) in enumerate(executed):
        memory.put(bytes([number]), block, execution)
    return [memory.get(bytes([number]), block) is execution for number, (block, execution) in enumerate(executed)]


def test_the_last_few_are_kept() -> None:
    assert kept(*[(EMPTY, NOTHING)] * (MAX_EXECUTIONS + 1)) == [False] + [True] * MAX_EXECUTIONS


LONG = Block(EMPTY.header, BlockBody((replace(transaction(0), raw=bytes(HALF)),)))
LARGE = [
    pytest.param(EMPTY, replace(NOTHING, nodes={b"hash": bytes(HALF)}), id="trie nodes"),
    pytest.param(
        EMPTY,
        replace(NOTHING, receipts=(Receipt.with_computed_bloom(0, 1, None, 0, (Log(bytes(20), (), bytes(HALF)),)),)),
        id="logs",
    ),
    pytest.param(
        EMPTY,
        replace(
            NOTHING,
            receipts=(Receipt(0, 1, None, 0, bytes(256), (Log(bytes(20), (), b""),) * (HALF // LOG_BYTES + 1)),),
        ),
        id="logs without data",
    ),
    pytest.param(LONG, NOTHING, id="transactions"),
]


@pytest.mark.parametrize(("block", "executed"), LARGE)
def test_of_large_ones_fewer_are_kept_and_always_the_last(block: Block, executed: ExecutedBlock) -> None:
    assert kept((block, executed), (EMPTY, NOTHING)) == [True, True]
    assert kept((block, executed), (EMPTY, NOTHING), (block, executed)) == [False, True, True]


def test_the_last_is_kept_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_cache, "MAX_EXECUTION_BYTES", 10)
    large = replace(NOTHING, nodes={b"hash": bytes(100)})
    assert kept((EMPTY, NOTHING), (EMPTY, large)) == [False, True]
