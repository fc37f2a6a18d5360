"""A node in a process of its own stops at once, whatever it executes, answers meanwhile, and loses nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import trio

from lacnode.chainspec.genesis import load_genesis
from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.ibft2.block_hash import committed_seal_hash, on_chain_hash
from lacnode.consensus.ibft2.extra_data import encode_extra_data
from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.crypto.secp256k1 import sign
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.devnet_genesis import devnet_genesis
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.p2p.wire.eth_messages import NewBlock
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.ordered_root import ordered_root
from tests.siege.init_codes import ENDLESS_CALL, blake2, precompile_loop
from tests.siege.stranger import Stranger
from tests.siege.transactions import SiegeSender
from tests.support.devnet import DEADLINE, ask, until
from tests.support.ibft2_blocks import with_seals

STOP_SECONDS = 10.0
"""Two seconds on an idle machine. The blocks here would take minutes."""

VALIDATOR, SENDER = NodeKey.from_private_key((7).to_bytes(32)), NodeKey.from_private_key((9).to_bytes(32))


class RunningNode:
    """A node that is no validator, with its data in `path`. Nobody makes blocks but the test."""

    def __init__(self, path: Path, process: subprocess.Popen[bytes], key: NodeKey) -> None:
        self.path, self.process, self.key = path, process, key
        until(lambda: (path / "besu.ports").exists() or process.poll() is not None, "the node is up")
        until(lambda: "json-rpc=" in (path / "besu.ports").read_text(), "its ports are told")
        self.ports = dict(line.split("=") for line in (path / "besu.ports").read_text().split())
        self.url = f"http://127.0.0.1:{self.ports['json-rpc']}"

    def announce(self, block: Block) -> None:
        """Send `block` as a peer would."""
        node: Any = SimpleNamespace(p2p_port=int(self.ports["p2p"]), node_id=self.key.public_key.hex())

        async def send() -> None:
            stranger = await Stranger.meet(
                node, total_difficulty=block.number + 1, best_hash=on_chain_hash(block.header)
            )
            await stranger.send(NewBlock(block, block.number + 1))
            await trio.to_thread.run_sync(self.wait_until_it_executes)
            await stranger.close()

        trio.run(send)

    def wait_until_it_executes(self) -> None:
        """The process has used a second of the processor since now: it does nothing else."""
        process = psutil.Process(self.process.pid)

        def used() -> float:
            of = [process, *process.children(recursive=True)]
            return float(sum(each.cpu_times().user for each in of))

        began = used()
        until(lambda: used() > began + 1.0, "the block is executed")


@contextmanager
def running(path: Path) -> Iterator[RunningNode]:
    key = NodeKey.from_private_key((8).to_bytes(32))
    save_node_key(path / "key", key)
    options = [
        "--rpc-http-enabled",
        "--rpc-http-port=0",
        "--p2p-port=0",
        "--discovery-enabled=false",
        "--min-gas-price=0",
    ]
    files = [f"--data-path={path}", f"--genesis-file={path / 'genesis.json'}", "--p2p-host=127.0.0.1"]
    with (path / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lacnode", *files, *options], stdout=log, stderr=log, cwd=path
        )
    try:
        yield RunningNode(path, process, key)
    finally:
        process.kill()
        process.wait(DEADLINE)


def sealed_block(path: Path, init_code: bytes) -> Block:
    """Block 1 of the chain in `path`, with a creation that does not end, sealed. Its roots are guesses, as nobody can
    execute it."""
    spec = load_genesis(path / "genesis.json")
    root, _ = PyEvmEngine(spec, {}).genesis_state()
    parent = spec.genesis.header(root)
    heavy = SiegeSender(SENDER).sign(to=None, data=init_code)
    header = parent.with_changes(
        parent_hash=on_chain_hash(parent),
        number=1,
        timestamp=parent.timestamp + 1,
        coinbase=VALIDATOR.address,
        extra_data=encode_extra_data(ExtraData(bytes(32), (VALIDATOR.address,))),
        transactions_root=ordered_root([heavy.raw]),
        gas_used=parent.gas_limit,
    )
    block = Block(header, BlockBody((heavy,)))
    return with_seals(block, (sign(committed_seal_hash(header), VALIDATOR.private_key),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    genesis = devnet_genesis([VALIDATOR.address], funded_accounts(), 1.0, int(time.time()) - 60)
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    return tmp_path


@pytest.mark.parametrize(
    "init_code",
    [ENDLESS_CALL, precompile_loop(9, blake2(340_000_000), 2**32 - 1)],
    ids=["jumps", "one call of a precompile"],
)
def test_sigterm_stops_a_node_in_the_middle_of_a_block(path: Path, init_code: bytes) -> None:
    with running(path) as node:
        node.announce(sealed_block(path, init_code))
        assert ask(node.url, "eth_blockNumber") == "0x0"  # it answers meanwhile
        children = psutil.Process(node.process.pid).children(recursive=True)
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(STOP_SECONDS) == 0, (path / "log").read_text()
        _, alive = psutil.wait_procs(children, timeout=DEADLINE)
        assert not alive
    assert "Traceback" not in (path / "log").read_text()
    with running(path) as again:
        assert ask(again.url, "eth_blockNumber") == "0x0"
