"""Besu's own specification files of DEBUG and TRACE over its own chains: request and answer, as they are."""

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lacnode.evm.engine_kind import EngineKind
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.errors import RpcError
from lacnode.rpc.methods.debug_node import DEBUG_NODE_METHODS
from lacnode.rpc.methods.debug_state import DEBUG_STATE_METHODS
from lacnode.rpc.methods.debug_traces import DEBUG_TRACE_METHODS
from lacnode.rpc.methods.trace import TRACE_METHODS
from lacnode.rpc.read_calls import ReadCall, ReadContext
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import ApiSettings
from lacnode.txpool.transaction_submission import TransactionSource
from tests.support.hive_chain import HiveChain, hive_chain
from tests.support.trace_chain import trace_chain, trace_data

RELEASES = ("24.1.0", "25.5.0")

METHODS = {
    method.name: method for method in (*TRACE_METHODS, *DEBUG_TRACE_METHODS, *DEBUG_STATE_METHODS, *DEBUG_NODE_METHODS)
}

FOLDERS = sorted(
    {
        (release, str(path.parent.relative_to(trace_data(release).parent)))
        for release in RELEASES
        for folder in (trace_data(release) / "specs", trace_data(release).parent / "debug")
        for path in folder.rglob("*.json")
    }
)

NONCE = "25.5.0 counts the nonce of a call, 24.1.0 ignores it and has files with nonces that were used"
MESSAGE = "25.5.0 has a message for each kind of wrong parameter"

OLDER = {
    "trace_replayBlockTransactions_invalidBlockParam.json": MESSAGE,
    "trace_replayBlockTransactions_invalidTraceOptions.json": MESSAGE,
    "trace_callMany_14_trace.json": "25.5.0 shows that the address of a creation was taken as an illegal state change",
}
"""Files of 24.1.0 to which 25.5.0 has another answer; this node follows 25.5.0."""

LOGS = "25.5.0 leaves out what is not asked for, shows words without leading zeros, and memory only if it is asked for"

OLDER_FOLDERS = {
    "trace/specs/trace-call": NONCE,
    "trace/specs/trace-raw-transaction": NONCE,
    "debug/trace-call": LOGS,
    "debug/trace-transaction": LOGS,
}
"""Folders of 24.1.0 of which this holds for every file."""

OMMERS = {"debug/account-range": "one address is that of an ommer's miner, and blocks of IBFT 2.0 have no ommers"}
"""Folders of both releases whose files have another answer here, with the reason."""

OF_THE_OTHER_CHAIN = {f"debug/{name}" for name in ("account-at", "account-range", "storage-range", "trace-transaction")}
"""Folders whose files ask about the chain of Besu's ETH files."""

SETTINGS = ApiSettings(gas_cap=0)
"""Besu's tests have no cap of gas."""

pytestmark = pytest.mark.skipif(not FOLDERS, reason="Besu's specification files (shared/data/besu-rpc) are not here")


def answered(release: str, folder: str, request: Mapping[str, Any], kind: EngineKind) -> dict[str, Any]:
    chain = chain_of(release, folder, kind)
    reading = ReadContext(chain, SETTINGS, time.monotonic() + 60)
    answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    try:
        result = METHODS[request["method"]].handler(services_of(chain), request["params"])
        answer["result"] = json.loads(json.dumps(result.answer(reading) if isinstance(result, ReadCall) else result))
    except RpcError as error:
        answer["error"] = {"code": error.code, "message": error.message}
    return answer


class AcceptingPool:
    """The pool that Besu's tests put in the place of a real one: it takes everything that it can read."""

    def submit(self, transaction: Transaction, source: TransactionSource) -> None:
        pass


def services_of(chain: HiveChain) -> RpcServices:
    """As much of the services as the methods need."""
    node = SimpleNamespace(accepts_transactions=True)
    return cast(RpcServices, SimpleNamespace(chain=chain, node=node, submission=AcceptingPool()))


@lru_cache(maxsize=4)
def _made(release: str, *, is_other: bool) -> HiveChain:
    return hive_chain(release) if is_other else trace_chain(release)


@lru_cache(maxsize=8)
def chain_of(release: str, folder: str, kind: EngineKind) -> HiveChain:
    """The chain that the files of a folder ask about, on an engine of `kind`."""
    made = _made(release, is_other=folder in OF_THE_OTHER_CHAIN)
    chain = HiveChain(made.spec, made.database, kind)
    chain.difficulties = made.difficulties
    assert chain.move_to(made.head.hash)
    return chain


def equal(release: str, folder: str, path: Path, kind: EngineKind) -> bool:
    """Whether the answer is the file's. Some files have a list of requests."""
    file = json.loads(path.read_text())
    request = file["request"]
    answer: object
    if isinstance(request, list):
        answer = [answered(release, folder, each, kind) for each in request]
    else:
        answer = answered(release, folder, request, kind)
    return bool(answer == file["response"])


def is_different(release: str, path: Path) -> bool:
    folder = str(path.parent.relative_to(trace_data(release).parent))
    if folder in OMMERS:
        return True
    return release == "24.1.0" and (path.name in OLDER or folder in OLDER_FOLDERS)


@pytest.mark.parametrize(("release", "folder"), FOLDERS, ids=["-".join(pair) for pair in FOLDERS])
def test_the_files_of_a_folder_get_their_answers(release: str, folder: str, engine_kind: EngineKind) -> None:
    paths = sorted((trace_data(release).parent / folder).glob("*.json"))
    assert paths
    differing = [path.name for path in paths if not equal(release, folder, path, engine_kind)]
    assert differing == [path.name for path in paths if is_different(release, path)]
