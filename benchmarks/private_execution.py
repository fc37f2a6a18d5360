"""Private execution without a network: calls on private state against calls on public state, and 1,000 private
transactions that queued up while a transaction manager was away.

Managers are in memory, so what is measured is the node: looking payloads up, executing the public blocks up to each marker,
executing the private transactions, and committing them to an LMDB database with fsync.
"""

import base64
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import structlog

from benchmarks.measure import Measure
from lacnode.privacy.state.private_transaction import legacy_group_id, private_contract_address
from lacnode.storage.lmdb_database import LmdbDatabase
from tests.support.private_nodes import ALICE, BOB, KEEPER, KEY_A, KEY_B, PrivateTestNetwork, deploying, private, word
from tests.support.rpc_chain import signed

GROUP = legacy_group_id(KEY_A, (KEY_B,))
KEEPER_ADDRESS = private_contract_address(ALICE.address, 0, GROUP)
BLOCKS, IN_A_BLOCK = 50, 20
CALLS, ROUNDS = 300, 3


def measure() -> list[Measure]:
    """A ratio of times, and a rate."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as directory:
        made: list[LmdbDatabase] = []

        def database() -> LmdbDatabase:
            made.append(LmdbDatabase(Path(directory) / str(len(made))))
            return made[-1]

        with patch("tests.support.rpc_chain.MemoryDatabase", database):
            stage = PrivateTestNetwork()
        try:
            return [_calls(stage), _catching_up(stage)]
        finally:
            for opened in made:
                opened.close()


def _calls(stage: PrivateTestNetwork) -> Measure:
    public = signed(BOB, 0, to=None, data=deploying(KEEPER), gas=1_000_000)
    stage.a.send(private(ALICE, 0, data=deploying(KEEPER)))
    stage.mine(public)
    chain, call = stage.a.node.chain, stage.a.node.call
    place = chain.transaction_location(public.hash)
    receipt_records = None if place is None else chain.receipt_records_of(place.block_hash)
    assert place is not None
    assert receipt_records is not None
    address = "0x" + (receipt_records[place.index].created or b"").hex()
    group, own = base64.b64encode(GROUP).decode(), "0x" + KEEPER_ADDRESS.hex()
    publicly = _seconds(lambda: call("eth_call", {"to": address}, "latest"))
    privately = _seconds(lambda: call("priv_call", group, {"to": own}, "latest"))
    note = f"eth_call {publicly * 1e6:.0f} µs, priv_call {privately * 1e6:.0f} µs"
    return Measure("priv_call against eth_call, same contract", privately / publicly, "x", 1.5, at_most=True, note=note)


def _seconds(work: Callable[[], object]) -> float:
    """Of one call, the best of a few rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            work()
        best = min(best, (time.perf_counter() - start) / CALLS)
    return best


def _catching_up(stage: PrivateTestNetwork) -> Measure:
    nonce = 1
    for _ in range(BLOCKS):
        stage.b.manager.is_off = False
        for _ in range(IN_A_BLOCK):
            stage.a.send(private(ALICE, nonce, to=KEEPER_ADDRESS, data=word(nonce)))
            nonce += 1
        stage.b.manager.is_off = True
        stage.mine()
    stage.b.manager.is_off = False
    start = time.perf_counter()
    stage.b.work()
    seconds = time.perf_counter() - start
    assert stage.a.root(GROUP) == stage.b.root(GROUP)
    note = f"{BLOCKS * IN_A_BLOCK} in {BLOCKS} blocks took {seconds:.2f} s"
    return Measure("catching up on queued private transactions", BLOCKS * IN_A_BLOCK / seconds, "tx/s", note=note)
