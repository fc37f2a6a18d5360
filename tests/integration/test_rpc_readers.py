"""Reader processes: what they answer, how they end, and what their end costs."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from lacnode.chain.chain_store import NUMBERS, OUTCOMES
from lacnode.evm.engine_kind import EngineKind
from lacnode.node.database_repair import reread_to_start_repair
from lacnode.primitives.hexadecimal import to_hex
from lacnode.privacy.state.private_transaction import private_contract_address
from lacnode.rpc.envelope import EncodedJson
from lacnode.rpc.errors import RpcError
from lacnode.rpc.methods.calls import eth_call, eth_estimateGas
from lacnode.rpc.methods.eth_state import eth_getProof
from lacnode.rpc.methods.eth_transactions import eth_getLogs
from lacnode.rpc.methods.gas_prices import eth_feeHistory
from lacnode.rpc.methods.ibft import ibft_getSignerMetrics
from lacnode.rpc.read_calls import Params, ReadCall, ReadContext, ReadHandler
from lacnode.rpc.readers.reader_messages import ReaderSetup
from lacnode.rpc.readers.reader_processes import NodeDatabaseFunctions, ReaderProcesses
from lacnode.rpc.settings import ApiSettings
from lacnode.storage.lmdb_database import LmdbDatabase
from lacnode.storage.storage_errors import DamagedValueError
from tests.integration.test_database_repair import DAMAGED, damage, grown, stored_value
from tests.support.chain_genesis import LOGGER_ADDRESS, PAYER
from tests.support.chain_network import Network, network
from tests.support.chain_transactions import Offer, transaction
from tests.support.devnet import until
from tests.support.private_calls import GROUP, KEEPER_ADDRESS, b64, send
from tests.support.private_nodes import ALICE, KEEPER, PrivateTestNetwork, deploying, private, word
from tests.support.single_node import single_node

ENDLESS = {"data": "0x5b600056", "gas": hex(2**63 - 1)}
NUMBER = {"data": "0x4360005260206000f3"}
"""Init code that returns the number of the block."""


@pytest.fixture(autouse=True)
def _readers_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader does not look for modules in its directory, and the functions below are in one."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))


def hang(reading: ReadContext, params: Params) -> object:
    """A call that nothing interrupts."""
    threading.Event().wait()
    return None


def die(reading: ReadContext, params: Params) -> object:
    os.kill(os.getpid(), signal.SIGKILL)
    return None


def gobble(reading: ReadContext, params: Params) -> object:
    return len(bytearray(2**31))


def fatten(reading: ReadContext, params: Params) -> object:
    """Much memory, but not too much."""
    return len(bytearray(b"x" * (300 << 20)))


def process_id(reading: ReadContext, params: Params) -> object:
    print("something printed must not get among the answers")
    return os.getpid()


class Reads:
    """Reader processes on the chain of a node."""

    def __init__(self, made: Network, readers: ReaderProcesses, database: LmdbDatabase) -> None:
        self.made = made
        self.database = database
        self.readers = readers

    async def __call__(self, handler: ReadHandler, *params: object, client: str = "10.0.0.1") -> object:
        result = await self.readers.read(ReadCall(handler, params), client)
        assert isinstance(result, EncodedJson)
        return json.loads(result.text)

    async def fails(self, handler: ReadHandler, *params: object) -> tuple[int, str]:
        with pytest.raises(RpcError) as failure:
            await self(handler, *params)
        return failure.value.code, failure.value.message


def _around(made: Network, database: LmdbDatabase) -> NodeDatabaseFunctions:
    return NodeDatabaseFunctions(
        lambda: made.chain.head.hash,
        database.flush,
        database.forget_dead_readers,
        partial(reread_to_start_repair, database),
    )


@asynccontextmanager
async def reads(path: Path, *, call_seconds: float = 5.0, processes: int = 1) -> AsyncIterator[Reads]:
    database = LmdbDatabase(path, durable=False)
    made = network(database=database)
    around = _around(made, database)
    readers = ReaderProcesses(
        ReaderSetup(made.chain.spec, path, ApiSettings(call_seconds=call_seconds), EngineKind.PYTHON), around, processes
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(readers.run)
        yield Reads(made, readers, database)
        nursery.cancel_scope.cancel()
    database.close()


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


class TestAnswers:
    async def test_are_those_of_the_node(self, tmp_path: Path) -> None:
        async with reads(tmp_path) as read:
            read.made.grow([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))])
            reading = ReadContext(read.made.chain, ApiSettings(), time.monotonic() + 60)
            calls: Sequence[tuple[ReadHandler, Params]] = (
                (eth_call, [NUMBER, "latest"]),
                (eth_call, [NUMBER, "0x0"]),
                (eth_estimateGas, [{"to": to_hex(LOGGER_ADDRESS), "data": to_hex(bytes(32))}]),
                (eth_getProof, [to_hex(PAYER.address), ["0x0", "0x1"], "latest"]),
                (eth_getLogs, [{"fromBlock": "0x0"}]),
                (eth_feeHistory, ["0x5", "latest", [10, 90]]),
                (ibft_getSignerMetrics, ["0x0", "latest"]),
            )
            for handler, params in calls:
                assert await read(handler, *params) == handler(reading, params)
            assert await read(eth_getLogs, {"fromBlock": "0x0"}) != []

    async def test_see_every_block_that_the_node_has(self, tmp_path: Path) -> None:
        source = network()
        blocks = [source.grow() for _ in range(4)]
        blocks.append(source.grow([Offer(transaction(0, LOGGER_ADDRESS, data=bytes(32)))]))
        async with reads(tmp_path) as read:
            chain = read.made.chain
            for block in blocks[:3]:
                chain.import_block(block)
                assert int(str(await read(eth_call, NUMBER, "latest")), 16) == block.number
            with chain.bulk_import():
                chain.import_block(blocks[3])
                assert int(str(await read(eth_call, NUMBER, "latest")), 16) == 4
                chain.import_block(blocks[4])
                assert len(str(await read(eth_getLogs, {}))) > 2

    async def test_follow_a_database_that_grows(self, tmp_path: Path) -> None:
        database = LmdbDatabase(tmp_path, durable=False, initial_map_size=1 << 18)
        made = network(database=database)
        around = _around(made, database)
        readers = ReaderProcesses(ReaderSetup(made.chain.spec, tmp_path, ApiSettings()), around, 1)
        read = Reads(made, readers, database)
        for _ in range(3):
            with database.write() as batch:
                batch.put("ballast", os.urandom(8), bytes(1 << 18))
            made.grow()
            assert int(str(await read(eth_call, NUMBER, "latest")), 16) == made.chain.head.header.number
        with trio.CancelScope() as scope:
            scope.cancel()
            await readers.run()
        database.close()

    async def test_of_an_error_are_the_clients(self, tmp_path: Path) -> None:
        async with reads(tmp_path) as read:
            assert await read.fails(eth_call, {"to": 1}, "latest") == (-32602, "Invalid call params")
            assert await read.fails(eth_getLogs, {"fromBlock": "0x0", "toBlock": "0x2000"}) == (
                -32005,
                "Requested range exceeds maximum RPC range limit",
            )


class TestEnds:
    async def test_an_endless_call_ends_and_its_process_goes_on(self, tmp_path: Path) -> None:
        async with reads(tmp_path, call_seconds=0.5) as read:
            pid = await read(process_id)
            for handler, params in ((eth_call, [ENDLESS, "latest"]), (eth_estimateGas, [ENDLESS])):
                assert await read.fails(handler, *params) == (-32603, "Timeout expired")
            assert await read(process_id) == pid

    async def test_a_call_that_nothing_interrupts_ends_with_its_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.readers.reader_processes.GRACE_SECONDS", 0.5)
        async with reads(tmp_path, call_seconds=0.5) as read:
            pid = await read(process_id)
            assert isinstance(pid, int)
            assert await read.fails(hang) == (-32603, "Timeout expired")
            assert not is_running(pid)
            assert await read(process_id) != pid

    @pytest.mark.parametrize("handler", [die, gobble])
    async def test_what_goes_wrong_costs_one_call(self, tmp_path: Path, handler: ReadHandler) -> None:
        async with reads(tmp_path) as read:
            assert await read.fails(handler) == (-32603, "Internal error")
            assert await read(eth_call, NUMBER, "latest") == to_hex(bytes(32))

    async def test_a_process_that_has_grown_is_replaced(self, tmp_path: Path) -> None:
        async with reads(tmp_path) as read:
            pid = await read(process_id)
            assert await read(process_id) == pid
            assert await read(fatten) == 300 << 20
            assert await read(process_id) != pid

    async def test_a_client_that_goes_away_frees_the_reader(self, tmp_path: Path) -> None:
        async with reads(tmp_path, call_seconds=600.0) as read:
            pid = await read(process_id)
            with trio.move_on_after(0.5):
                await read(hang)
            assert await read(process_id) != pid

    async def test_the_node_can_reuse_what_a_killed_reader_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lacnode.rpc.readers.reader_processes.GRACE_SECONDS", 0.2)
        async with reads(tmp_path, call_seconds=0.2) as read:
            await read(process_id)
            await read.fails(hang)
            for _ in range(20):  # the same megabyte again and again: the file must not keep every version
                with read.made.database.write() as batch:
                    batch.put("ballast", b"one", os.urandom(1 << 20))
            assert (tmp_path / "database" / "data.mdb").stat().st_size < 8 << 20

    async def test_an_idle_process_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lacnode.rpc.readers.reader_processes.IDLE_SECONDS", 0.2)
        async with reads(tmp_path) as read:
            pid = await read(process_id)
            assert isinstance(pid, int)
            with trio.fail_after(30):
                while is_running(pid):  # noqa: ASYNC110, it is another process
                    await trio.sleep(0.02)


OPTIONS = ("--rpc-call-timeout-seconds=600",)


def reader_of(node: int) -> int | None:
    """The process id of the reader of a node's process."""
    children = Path(f"/proc/{node}/task").glob("*/children")
    for child in (int(number) for file in children for number in file.read_text().split()):
        if b"lacnode.rpc.readers.reader_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            return child
    return None


class TestOfANode:
    """A node in a process of its own, asked for more than it can do."""

    async def test_its_reader_ends_with_a_killed_one(self, tmp_path: Path) -> None:
        with single_node(tmp_path, *OPTIONS, f"--pid-path={tmp_path / 'pid'}", status=-signal.SIGKILL) as ports:
            node = int((tmp_path / "pid").read_text())
            async with trio.open_nursery() as nursery:
                reader = await _busy_reader(node, ports["json-rpc"], nursery)
                os.kill(node, signal.SIGKILL)
                until(lambda: not is_running(reader), "the reader has ended")

    async def test_its_reader_ends_with_one_that_is_told_to_stop(self, tmp_path: Path) -> None:
        with single_node(tmp_path, *OPTIONS, f"--pid-path={tmp_path / 'pid'}") as ports:
            async with trio.open_nursery() as nursery:
                reader = await _busy_reader(int((tmp_path / "pid").read_text()), ports["json-rpc"], nursery)
                nursery.cancel_scope.cancel()
        until(lambda: not is_running(reader), "the reader has ended")


async def _busy_reader(node: int, port: str, nursery: trio.Nursery) -> int:
    """The process id of the reader of a node, which works on an endless call."""
    nursery.start_soon(_ask, port, "eth_call", ENDLESS, "latest")
    with trio.fail_after(60):
        while (reader := reader_of(node)) is None:  # noqa: ASYNC110, it is another process
            await trio.sleep(0.05)
    return reader


async def _ask(port: str, method: str, *params: object) -> httpx.Response | None:
    async with httpx.AsyncClient(timeout=600) as client:
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with suppress(httpx.TransportError):
            return await client.post(f"http://127.0.0.1:{port}", json=document)
    return None


def test_a_reader_that_nobody_speaks_to_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lacnode.rpc.readers.reader_main"], stdin=subprocess.DEVNULL, timeout=60
    )
    assert done.returncode == 0


class TestPrivateCalls:
    """A member of a private group on LMDB, whose reader executes messages on the group's state."""

    async def test_are_answered_from_the_groups_state_and_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = iter([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
        monkeypatch.setattr("tests.support.rpc_chain.MemoryDatabase", lambda: LmdbDatabase(next(paths), durable=False))
        stage = PrivateTestNetwork()
        send(stage.a, private(ALICE, 0, data=deploying(KEEPER)))
        send(stage.a, private(ALICE, 1, to=KEEPER_ADDRESS, data=word(17)))
        send(stage.a, private(ALICE, 2, data=deploying(bytes.fromhex("5b600056"))))
        stage.mine()
        endless = private_contract_address(ALICE.address, 2, GROUP)
        chain, services = stage.b.node.chain, stage.b.node.services
        around = NodeDatabaseFunctions(lambda: chain.head.hash, lambda: None, lambda: None, lambda *_: None)
        readers = ReaderProcesses(
            ReaderSetup(chain.spec, tmp_path / "b", ApiSettings(call_seconds=1.0), EngineKind.PYTHON), around, 1
        )

        async def ask(method: str, *params: object) -> object:
            call = stage.b.node.registry.find(method).handler(services, params)
            assert isinstance(call, ReadCall)
            result = await readers.read(call, "10.0.0.1")
            assert isinstance(result, EncodedJson)
            return json.loads(result.text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(readers.run)
            assert await ask("priv_call", b64(GROUP), {"to": to_hex(KEEPER_ADDRESS)}, "latest") == to_hex(word(17))
            with pytest.raises(RpcError, match="Timeout expired"):
                await ask("priv_call", b64(GROUP), {"to": to_hex(endless)}, "latest")
            assert await ask("priv_getLogs", b64(GROUP), {}) == stage.b.node.call("priv_getLogs", b64(GROUP), {})
            nursery.cancel_scope.cancel()
        for member in stage.members:
            member.node.chain.database.close()


class TestDamage:
    async def test_that_a_reader_meets_is_told_to_the_node(self, tmp_path: Path) -> None:
        grown(tmp_path)
        hash_ = stored_value(tmp_path, NUMBERS, DAMAGED.to_bytes(8))
        damage(tmp_path, OUTCOMES, hash_)
        met: list[DamagedValueError] = []
        async with reads(tmp_path) as read:
            read.database.on_damage(met.append)
            assert await read.fails(eth_getLogs, {"blockHash": to_hex(hash_)}) == (-32603, "Internal error")
            assert [(error.table, error.key) for error in met] == [(OUTCOMES, hash_)]
            assert await read(eth_getLogs, {"fromBlock": "0x1", "toBlock": "0x1"})
        assert len(met) == 1
