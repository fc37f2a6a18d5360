"""DEBUG on a chain of this project's own kind: geth's tracers, ranges, stored bytes, bounds and errors."""

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.evm.engine import CallRequest
from lacnode.evm.engine_factory import make_engine
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.overrides import AccountOverride
from lacnode.evm.trace_record import RecordingOptions, TraceAllowance, TraceDetail, TraceTooLargeError
from lacnode.evm.tracing_executor import BlockToTrace, TracingExecutor
from lacnode.primitives import rlp
from lacnode.primitives.block import Block
from lacnode.primitives.hexadecimal import from_hex, to_hex
from lacnode.rpc.settings import ApiSettings
from lacnode.rpc.traces import trace_files
from tests.support.rpc_chain import (
    CALLER_ADDRESS,
    INVALID_ADDRESS,
    LOGGER_ADDRESS,
    RECIPIENT,
    REVERTER_ADDRESS,
    RICH,
    STORER_ADDRESS,
    RpcTestNode,
    node,
    signed,
)

ERROR_TEXT = bytes.fromhex("08c379a0") + (32).to_bytes(32) + (2).to_bytes(32) + b"no".ljust(32, b"\0")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, engine_kind: EngineKind) -> RpcTestNode:
    """Block 1 stores 7, block 2 has a call of a call, one that reverts, one that halts, one that logs, and a creation."""
    made = node(api=ApiSettings(trace_directory=tmp_path_factory.mktemp("traces")), evm=engine_kind)
    made.send(signed(to=STORER_ADDRESS, data=(7).to_bytes(32)))
    made.grow()
    made.send(
        signed(nonce=1, to=CALLER_ADDRESS),
        signed(nonce=2, to=REVERTER_ADDRESS, data=ERROR_TEXT),
        signed(nonce=3, to=INVALID_ADDRESS),
        signed(nonce=4, to=LOGGER_ADDRESS, data=(5).to_bytes(32)),
        signed(nonce=5, to=None, data=bytes.fromhex("60016000f3")),
        signed(nonce=6, to=RECIPIENT, value=9),
    )
    made.grow()
    return made


def hash_of(at: RpcTestNode, number: int, index: int) -> str:
    """The hash of a transaction."""
    block = at.chain.block_at(number)
    assert block is not None
    return to_hex(block.transactions[index].hash)


def traced(at: RpcTestNode, index: int, **options: object) -> Any:
    found: Any = at.call("debug_traceTransaction", hash_of(at, 2, index), options or None)
    return found


class TestStructLogs:
    def test_show_each_step_and_the_end(self, at: RpcTestNode) -> None:
        trace = traced(at, 1)
        assert (trace["failed"], trace["returnValue"]) == (True, "")
        last = trace["structLogs"][-1]
        assert (last["op"], last["reason"], last["depth"]) == ("REVERT", hex(int.from_bytes(ERROR_TEXT)), 1)
        assert "memory" not in last
        assert "memory" in traced(at, 1, disableStack=True)["structLogs"][-1]
        halted = traced(at, 2)["structLogs"][-1]
        assert (halted["op"], halted["gasCost"], halted["error"]) == ("INVALID", 0, ["INVALID_OPERATION"])

    def test_a_call_shows_its_slots_and_not_those_of_the_caller(self, at: RpcTestNode) -> None:
        steps = traced(at, 0)["structLogs"]
        store = next(step for step in steps if step["op"] == "SSTORE")
        assert (store["depth"], store["storage"]) == (2, {"0": "0"})
        assert all("storage" not in step for step in steps if step["depth"] == 1)

    def test_a_block_has_the_trace_of_each_transaction(self, at: RpcTestNode) -> None:
        block = at.chain.block_at(2)
        assert block is not None
        by_number = at.call("debug_traceBlockByNumber", "0x2")
        assert isinstance(by_number, list)
        assert [each["txHash"] for each in by_number] == [to_hex(each.hash) for each in block.transactions]
        assert by_number[0]["result"] == traced(at, 0)
        assert at.call("debug_traceBlockByHash", to_hex(at.chain.hash_at(2) or b"")) == by_number
        assert at.call("debug_traceBlock", to_hex(block.encode())) == by_number

    def test_a_block_that_cannot_be_executed_or_read_is_an_error(self, at: RpcTestNode) -> None:
        block = at.chain.block_at(2)
        assert block is not None
        orphan = Block(block.header.with_changes(parent_hash=b"\x01" * 32), block.body)
        assert at.fails("debug_traceBlock", to_hex(orphan.encode())) == (-32000, "Parent block not found")
        assert at.fails("debug_traceBlock", "0xc0")[0] == -32602
        early = Block(block.header.with_changes(parent_hash=at.chain.genesis_hash), block.body)
        assert at.fails("debug_traceBlock", to_hex(early.encode())) == (-32000, "Block cannot be executed")

    def test_a_call_is_free_and_changes_nothing(self, at: RpcTestNode) -> None:
        call = {"to": to_hex(STORER_ADDRESS), "data": to_hex((9).to_bytes(32)), "gasPrice": "0xffff", "nonce": "0x99"}
        found = at.call("debug_traceCall", call, "latest")
        assert isinstance(found, dict)
        assert (found["failed"], found["structLogs"][-2]["op"]) == (False, "SSTORE")
        assert at.call("debug_traceCall", call) == found


class TestTracers:
    def test_call_tracer_shows_the_tree_with_its_logs_and_errors(self, at: RpcTestNode) -> None:
        tree = traced(at, 0, tracer="callTracer")
        assert (tree["type"], tree["from"], tree["to"]) == ("CALL", to_hex(RICH.address), to_hex(CALLER_ADDRESS))
        (inner,) = tree["calls"]
        assert (inner["from"], inner["to"], inner["type"]) == (to_hex(CALLER_ADDRESS), to_hex(STORER_ADDRESS), "CALL")
        assert "calls" not in traced(at, 0, tracer="callTracer", tracerConfig={"onlyTopCall": True})
        reverted = traced(at, 1, tracer="callTracer")
        assert (reverted["error"], reverted["revertReason"]) == ("execution reverted", "no")
        assert traced(at, 2, tracer="callTracer")["error"] == "invalid opcode"
        logged = traced(at, 3, tracer="callTracer", tracerConfig={"withLog": True})
        (log,) = logged["logs"]
        assert (log["address"], log["position"]) == (to_hex(LOGGER_ADDRESS), "0x0")
        receipt = at.call("eth_getTransactionReceipt", hash_of(at, 2, 3))
        assert isinstance(receipt, dict)
        assert logged["gasUsed"] == receipt["gasUsed"]

    def test_a_creation_shows_its_code(self, at: RpcTestNode) -> None:
        tree = traced(at, 4, tracer="callTracer")
        assert (tree["type"], tree["input"], tree["output"]) == ("CREATE", "0x60016000f3", "0x00")

    def test_prestate_tracer_shows_what_was_there(self, at: RpcTestNode) -> None:
        before = traced(at, 0, tracer="prestateTracer")
        assert before[to_hex(STORER_ADDRESS)]["storage"] == {to_hex(bytes(32)): to_hex((7).to_bytes(32))}
        assert before[to_hex(RICH.address)]["nonce"] == 1
        difference = traced(at, 0, tracer="prestateTracer", tracerConfig={"diffMode": True})
        assert difference["post"][to_hex(RICH.address)] == {"nonce": 2}
        assert difference["pre"][to_hex(STORER_ADDRESS)]["storage"] == {to_hex(bytes(32)): to_hex((7).to_bytes(32))}
        assert "storage" not in difference["post"][to_hex(STORER_ADDRESS)]
        paid = traced(at, 5, tracer="prestateTracer", tracerConfig={"diffMode": True})
        assert (to_hex(RECIPIENT) in paid["pre"], paid["post"][to_hex(RECIPIENT)]) == (False, {"balance": "0x9"})

    def test_4byte_tracer_counts_selectors(self, at: RpcTestNode) -> None:
        assert traced(at, 1, tracer="4byteTracer") == {f"0x08c379a0-{len(ERROR_TEXT) - 4}": 1}

    def test_flat_call_tracer_has_the_calls_of_trace_block(self, at: RpcTestNode) -> None:
        flat: Any = traced(at, 0, tracer="flatCallTracer")
        expected = at.call("trace_transaction", hash_of(at, 2, 0))
        assert isinstance(expected, list)
        assert [each["traceAddress"] for each in flat] == [[], [0]]
        for one, other in zip(flat, expected, strict=True):
            assert {**one["action"], "gas": 0} == {**other["action"], "gas": 0}
            assert (one["subtraces"], one["transactionHash"]) == (other["subtraces"], other["transactionHash"])

    @pytest.mark.parametrize("tracer", ["{result: function() {}}", "noopTracer", 7])
    def test_javascript_is_refused_with_a_sentence(self, at: RpcTestNode, tracer: object) -> None:
        error = at.error("debug_traceBlockByNumber", "0x2", {"tracer": tracer})
        assert (error.code, error.message) == (-32602, "Invalid transaction trace params")
        assert "runs no JavaScript tracers" in str(error.data)


class TestState:
    def test_an_account_is_shown_after_a_transaction(self, at: RpcTestNode) -> None:
        nonces = [at.call("debug_accountAt", "0x2", index, to_hex(RICH.address)) for index in range(6)]
        assert [each["nonce"] for each in nonces if isinstance(each, dict)] == [hex(n) for n in range(2, 8)]
        assert at.fails("debug_accountAt", "0x2", 6, to_hex(RICH.address))[0] == -32602
        assert at.call("debug_accountAt", "0x2", "5", to_hex(RICH.address)) == nonces[5]
        for wrong in ("²", "٣", "1_0", "x", ""):
            assert at.fails("debug_accountAt", "0x2", wrong, to_hex(RICH.address)) == (
                -32602,
                "Invalid transaction index params",
            )
        assert at.fails("debug_accountAt", "0x2", 0, to_hex(b"\x42" * 20)) == (-32000, "Account not found")
        assert at.fails("debug_accountAt", "0x99", 0, to_hex(RICH.address)) == (-32000, "Block not found")

    def test_slots_are_shown_in_the_middle_of_a_block(self, at: RpcTestNode) -> None:
        found = at.call("debug_storageRangeAt", "0x1", 0, to_hex(STORER_ADDRESS), "0x0", 10)
        assert isinstance(found, dict)
        ((hash_, entry),) = found["storage"].items()
        assert entry == {"key": to_hex(bytes(32)), "value": to_hex((7).to_bytes(32))}
        assert found["complete"] is True
        none = {"storage": {}, "complete": True}
        assert at.call("debug_storageRangeAt", "0x2", 0, to_hex(STORER_ADDRESS), "0x0", 10) == none
        assert at.call("debug_storageRangeAt", "0x99", 0, to_hex(STORER_ADDRESS), "0x0", 10) == none
        before = at.call("debug_storageRangeAt", "0x2", 99, to_hex(STORER_ADDRESS), "0x0", 0)
        assert before == {"storage": {}, "nextKey": hash_, "complete": False}

    def test_accounts_come_in_pages(self, at: RpcTestNode) -> None:
        seen: dict[str, str] = {}
        key, pages = to_hex(bytes(32)), 0
        while pages == 0 or key != to_hex(bytes(32)):
            page = at.call("debug_accountRange", "latest", "0x0", key, 3)
            assert isinstance(page, dict)
            seen |= page["addressMap"]
            key, pages = str(page["nextKey"]), pages + 1
        assert {to_hex(RICH.address), to_hex(STORER_ADDRESS)} <= set(seen.values())
        assert (pages, list(seen)) == ((len(seen) + 2) // 3, sorted(seen))


class TestBytes:
    def test_stored_values_decode_to_what_is_stored(self, at: RpcTestNode) -> None:
        block = at.chain.block_at(2)
        assert block is not None
        assert Block.decode(from_hex(str(at.call("debug_getRawBlock", "0x2")))) == block
        assert at.call("debug_getRawHeader", "latest") == to_hex(block.header.encode())
        raw = at.call("debug_getRawTransaction", to_hex(block.transactions[0].hash))
        assert raw == to_hex(block.transactions[0].raw)
        receipts = at.call("debug_getRawReceipts", "0x2")
        assert isinstance(receipts, list)
        assert [rlp.decode_list(from_hex(each), "receipt")[0] for each in receipts] == [
            b"\1",
            b"",
            b"",
            b"\1",
            b"\1",
            b"\1",
        ]
        assert at.call("debug_getRawTransaction", to_hex(bytes(32))) is None
        assert at.fails("debug_getRawBlock", "0x99") == (-32000, "Block not found")


class TestFiles:
    def test_the_steps_of_a_block_are_written(self, at: RpcTestNode) -> None:
        hash_ = at.chain.hash_at(2) or b""
        paths = at.call("debug_standardTraceBlockToFile", to_hex(hash_))
        assert isinstance(paths, list)
        assert [Path(path).name.rsplit("-", 1)[0] for path in paths] == [
            f"block_{to_hex(hash_)[:10]}-{index}-{hash_of(at, 2, index)[:10]}" for index in range(6)
        ]
        lines = [json.loads(line) for line in Path(paths[1]).read_text().splitlines()]
        assert (lines[0]["pc"], lines[0]["opName"], lines[-2]["error"]) == (0, "CALLDATASIZE", to_hex(ERROR_TEXT))
        assert set(lines[-1]) == {"output", "gasUsed", "time"}
        one = at.call("debug_standardTraceBlockToFile", to_hex(hash_), {"txHash": hash_of(at, 2, 3)})
        assert isinstance(one, list)
        assert len(one) == 1
        assert at.fails("debug_standardTraceBlockToFile", to_hex(bytes(32))) == (-32000, "Block not found")
        assert at.fails("debug_standardTraceBadBlockToFile", to_hex(hash_)) == (-32000, "Block not found")

    def test_too_many_files_are_refused(self, at: RpcTestNode, tmp_path: Path) -> None:
        for index in range(1_000):
            (tmp_path / str(index)).touch()
        limited = node(api=ApiSettings(trace_directory=tmp_path))
        limited.send(signed(to=STORER_ADDRESS))
        limited.grow()
        assert limited.fails("debug_standardTraceBlockToFile", to_hex(limited.chain.hash_at(1) or b""))[0] == -32005
        assert len(list(tmp_path.iterdir())) == 1_000

    def test_the_files_of_earlier_calls_and_the_disk_bound_those_of_later_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limited = node(api=ApiSettings(trace_directory=tmp_path))
        limited.send(signed(to=STORER_ADDRESS))
        limited.grow()
        block = to_hex(limited.chain.hash_at(1) or b"")
        with (tmp_path / "earlier").open("wb") as earlier:
            earlier.truncate(trace_files.MAX_TRACE_DIRECTORY_BYTES)
        assert limited.fails("debug_standardTraceBlockToFile", block)[0] == -32005
        (tmp_path / "earlier").unlink()
        monkeypatch.setattr(trace_files, "MIN_FREE_DISK_BYTES", 2**62)
        assert limited.fails("debug_standardTraceBlockToFile", block) == (-32000, "Trace file cannot be written")
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_fills_while_a_file_is_written_is_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limited = node(api=ApiSettings(trace_directory=tmp_path))
        limited.send(signed(to=STORER_ADDRESS))
        limited.grow()
        free = iter([2**62, 0])
        monkeypatch.setattr(trace_files, "CHECKED_BYTES", 10)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
        block = to_hex(limited.chain.hash_at(1) or b"")
        assert limited.fails("debug_standardTraceBlockToFile", block) == (-32000, "Trace file cannot be written")
        assert list(tmp_path.iterdir()) == []

    def test_a_call_in_the_same_millisecond_leaves_the_file_of_the_earlier_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limited = node(api=ApiSettings(trace_directory=tmp_path))
        limited.send(signed(to=STORER_ADDRESS))
        limited.grow()
        block = to_hex(limited.chain.hash_at(1) or b"")
        monkeypatch.setattr(time, "time_ns", lambda: 10**18)
        paths = limited.call("debug_standardTraceBlockToFile", block)
        assert isinstance(paths, list)
        earlier = Path(paths[0]).read_bytes()
        assert limited.fails("debug_standardTraceBlockToFile", block) == (-32000, "Trace file cannot be written")
        assert Path(paths[0]).read_bytes() == earlier


class TestNode:
    def test_transactions_are_sent_one_by_one(self) -> None:
        made = node()
        good, low = signed(), signed(gas=1, nonce=1)
        answer = made.call("debug_batchSendRawTransaction", to_hex(good.raw), "gdTr", to_hex(low.raw))
        assert answer == [
            {"index": 0, "success": True},
            {"index": 1, "success": False, "errorMessage": "Invalid raw transaction hex"},
            {"index": 2, "success": False, "errorMessage": "INTRINSIC_GAS_EXCEEDS_GAS_LIMIT"},
        ]
        assert made.pooled == [good]
        assert made.fails("debug_batchSendRawTransaction", *["0x"] * 1_001)[0] == -32005

    @pytest.mark.parametrize("v", [b"\x07" * 3_000, [b""]])
    def test_all_are_decoded_before_the_first_is_sent(self, v: bytes | list[bytes]) -> None:
        made, good = node(), signed()
        strange = rlp.encode([b"", b"", b"", b"", b"", b"", v, b"\x01", b"\x01"])
        answer = made.call("debug_batchSendRawTransaction", to_hex(good.raw), to_hex(strange))
        refused = {"index": 1, "success": False, "errorMessage": "Invalid raw transaction hex"}
        assert answer == [{"index": 0, "success": True}, refused]
        assert made.fails("debug_batchSendRawTransaction", to_hex(signed(nonce=1).raw), 5)[0] == -32602
        assert made.pooled == [good]

    def test_what_a_chain_of_final_blocks_cannot_do_is_said(self, at: RpcTestNode) -> None:
        code, message = at.fails("debug_setHead", "0x1")
        assert (code, "final" in message) == (-32000, True)
        assert at.fails("debug_setHead", "0x99")[0] == -39001
        assert at.call("debug_resyncWorldState") is False
        assert at.call("debug_getBadBlocks") == []
        assert at.call("debug_replayBlock", "0x2") == "Success"

    def test_metrics_are_nested_by_category_name_and_labels(self, at: RpcTestNode) -> None:
        at.services.node.metric_readers.append(
            lambda: iter([("peers", "peer_count", (), 3.0), ("peers", "blocked", ("in", "late"), 1.0)])
        )
        assert at.call("debug_metrics") == {"peers": {"peer_count": 3.0, "blocked": {"in": {"late": 1.0}}}}


def tracing_executor_of(at: RpcTestNode, kind: EngineKind, allowance: TraceAllowance) -> TracingExecutor:
    engine = make_engine(at.chain.spec, DatabaseNodeStore(at.chain.database), kind=kind)
    return engine.tracing_executor(at.chain.hash_at, allowance=allowance)


class TestBounds:
    LOOP = "0x5b600056"
    CREATES_ITSELF = "0x386000600039386000" + "6000f000"

    def test_an_endless_call_ends_with_the_time_of_the_call(self, engine_kind: EngineKind) -> None:
        hasty = node(api=ApiSettings(call_seconds=0.2, gas_cap=0), evm=engine_kind, gas_limit=2**50)
        too_long = hasty.fails("debug_traceCall", {"data": self.LOOP}, "latest", {"tracer": "callTracer"})
        assert too_long == (-32603, "Timeout expired")
        # The native engine may come to the bound of steps before.
        assert hasty.fails("debug_traceCall", {"data": self.LOOP}, "latest", {})[0] in (-32603, -32005)

    def test_calls_nested_deeper_than_a_tree_can_show_are_refused(self, engine_kind: EngineKind) -> None:
        call = {"data": self.CREATES_ITSELF}
        patient = node(api=ApiSettings(call_seconds=60.0), evm=engine_kind)
        assert patient.fails("debug_traceCall", call, "latest", {"tracer": "callTracer"})[0] == -32005
        assert patient.fails("trace_call", call, ["vmTrace"])[0] == -32005
        assert patient.call("trace_call", call, ["trace"])

    def test_a_trace_stops_at_its_steps_and_bytes(self, at: RpcTestNode, engine_kind: EngineKind) -> None:
        block, parent = at.chain.block_at(2), at.chain.header_at(1)
        assert block is not None
        assert parent is not None
        traceable = BlockToTrace(parent.state_root, block.header, block.transactions)
        for allowance in (TraceAllowance(max_steps=3), TraceAllowance(max_bytes=3_000)):
            tracer = tracing_executor_of(at, engine_kind, allowance)
            with pytest.raises(TraceTooLargeError):
                list(tracer.trace_block(traceable, RecordingOptions(TraceDetail.STEPS)))

    def test_every_copy_of_memory_counts(self, at: RpcTestNode, engine_kind: EngineKind) -> None:
        """A loop that copies 32 KiB onto themselves 100 times: the memory is the same, and the trace holds each copy."""
        loop = bytes.fromhex("60645b" + "618000" + "6000" + "6000" + "37" + "600190038060025700")
        call = CallRequest(
            sender=RICH.address, to=RECIPIENT, gas=5_000_000, overrides=((RECIPIENT, AccountOverride(code=loop)),)
        )
        header = at.chain.head.header
        wanted = [(call, RecordingOptions(TraceDetail.STEPS, memory=True))]

        def traced_with(max_bytes: int) -> None:
            allowance = TraceAllowance(max_bytes=max_bytes)
            list(tracing_executor_of(at, engine_kind, allowance).trace_calls(header, wanted))

        traced_with(100 * 2**15 + 2**20)
        with pytest.raises(TraceTooLargeError):
            traced_with(100 * 2**15)

    def test_steps_share_the_code_and_the_input_that_are_the_same(
        self, at: RpcTestNode, engine_kind: EngineKind
    ) -> None:
        """A copy for each step would take more memory than a trace may."""
        loop = bytes.fromhex("600a5b600190038060025700").ljust(1_000, b"\0")
        call = CallRequest(
            sender=RICH.address,
            to=RECIPIENT,
            gas=5_000_000,
            data=bytes(1_000),
            overrides=((RECIPIENT, AccountOverride(code=loop)),),
        )
        wanted = [(call, RecordingOptions(TraceDetail.STEPS))]
        (traced,) = tracing_executor_of(at, engine_kind, TraceAllowance()).trace_calls(at.chain.head.header, wanted)
        steps = list(traced.steps)
        assert len(steps) > 50
        assert len({id(step.code) for step in steps}) <= 2
        assert len({id(step.input) for step in steps}) <= 2
