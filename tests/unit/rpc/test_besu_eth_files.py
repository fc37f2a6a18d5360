"""Besu's own specification files of ETH over its own chain: request, answer and HTTP status, as they are."""

import json
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.engine_kind import EngineKind
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.dispatch import Dispatcher
from lacnode.rpc.filters import PollingFilters
from lacnode.rpc.method_list import all_methods
from lacnode.rpc.method_registry import GROUPS, MethodRegistry
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.recent_blocks import RecentBlocks
from lacnode.rpc.services import NodeFacts, RpcServices
from lacnode.rpc.settings import ApiSettings
from lacnode.txpool.transaction_submission import TransactionSource
from tests.support.hive_chain import DATA, HiveChain, hive_chain
from tests.support.rpc_chain import finished
from tests.support.trace_chain import trace_chain

RELEASES = ("24.1.0", "25.5.0")

BLOBS = "blocks of IBFT 2.0 have no blobs, so that calls and answers do without them"
WITHDRAWALS = "blocks of IBFT 2.0 have no withdrawals"

OTHERWISE = {
    "25.5.0": {
        "eth_call_blob_missing_maxFeePerBlobGas_strict": BLOBS,
        "eth_call_blob_too_many_blobs": BLOBS,
        "eth_call_blob_without_to": BLOBS,
        "eth_feeHistory_fieldNamesWithReward": BLOBS,
        "eth_feeHistory_fieldNamesWithoutReward": BLOBS,
        "eth_getBlockReceiptsByTag_latest": BLOBS,
        "eth_getBlockByNumber_complete_shanghai": WITHDRAWALS,
    },
    "24.1.0": {
        "eth_getBlockReceiptsByTag_latest": BLOBS,
        "eth_getBlockByNumber_complete_shanghai": WITHDRAWALS,
    },
}
"""The files whose answer is another one here, with the reason. Those of 24.1.0 that 25.5.0 replaced come on top."""

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="Besu's specification files (shared/data/besu-rpc) are not here"
)


def files(release: str) -> dict[str, Path]:
    folder = DATA / release / "jsonrpc"
    return {path.stem: path for name in ("eth", "eth_latest") for path in sorted((folder / name).glob("*.json"))}


class Chain(HiveChain):
    """The chain with the base fee of its next block, which a reader does not know."""

    def next_base_fee(self, timestamp: int) -> int | None:
        return next_base_fee(self.spec, self.head.header, timestamp)


class Pool:
    """The pool that Besu's tests put in the place of a real one. It takes what it can read, but for one nonce."""

    def submit(self, transaction: Transaction, source: TransactionSource) -> None:
        if transaction.nonce == 0x10:
            raise TransactionRejectedError(RejectionReason.NONCE_TOO_LOW, "a nonce of the chain")

    def explain(self, transaction: Transaction, rejection: TransactionRejectedError) -> None:
        return None

    def pooled(self, hash_: bytes) -> None:
        return None

    def next_nonce(self, sender: bytes) -> None:
        return None


@lru_cache(maxsize=4)
def _made(release: str, *, is_old: bool) -> HiveChain:
    return trace_chain(release) if is_old else hive_chain(release)


@lru_cache(maxsize=8)
def dispatcher_for(release: str, kind: EngineKind, *, is_old: bool) -> tuple[Dispatcher, RpcServices]:
    """The methods over the chain that the files ask about (`is_old`: those whose last fork is Byzantium), and their
    services."""
    made = _made(release, is_old=is_old)
    chain = Chain(made.spec, made.database, kind)
    chain.difficulties = made.difficulties
    assert chain.move_to(made.head.hash)
    # Besu's tests have no cap of gas.
    reading = ReadContext(chain, ApiSettings(gas_cap=0), float("inf"), RecentBlocks(cast(Any, chain)))
    services = SimpleNamespace(
        node=NodeFacts(123, "lacnode", bytes(20)),
        pool=Pool(),
        submission=Pool(),
        settings=reading.settings,
        caches=SimpleNamespace(blocks=reading.recent),
        chain=chain,
        client="",
        privacy=None,
        read_context=lambda seconds: reading,
    )
    registry = MethodRegistry([*all_methods(), *PollingFilters().methods()], GROUPS)
    return Dispatcher(registry, cast(RpcServices, services)), cast(RpcServices, services)


def answered(release: str, path: Path, kind: EngineKind, request: object) -> tuple[Any, int]:
    """The answer to `request`, and HTTP's status."""
    dispatcher, services = dispatcher_for(release, kind, is_old=path.parent.name == "eth_latest")
    # On a busy machine the trials use up their share of the time, and calls are left to a reader.
    reply = finished(dispatcher.answer_http(json.dumps(request).encode()), services)
    return json.loads(reply.body), reply.status


def without_explanations(answer: object, wanted: object) -> object:
    """The answer without this node's own `data` of errors."""
    if isinstance(answer, list) and isinstance(wanted, list) and len(answer) == len(wanted):
        return [without_explanations(*each) for each in zip(answer, wanted, strict=True)]
    if isinstance(answer, dict) and "error" in answer and isinstance(wanted, dict):
        kept = {"code", "message", *wanted.get("error", ())}
        return {**answer, "error": {name: value for name, value in answer["error"].items() if name in kept}}
    return answer


def is_equal(release: str, path: Path, kind: EngineKind) -> bool:
    file = json.loads(path.read_text())
    wanted = file["response"]
    if isinstance(wanted, dict):
        wanted.pop("comment", None)
    answer, status = answered(release, path, kind, file["request"])
    return bool(without_explanations(answer, wanted) == wanted and status == file["statusCode"])


def was_replaced(name: str) -> bool:
    """Whether 25.5.0 has another answer to the request of a file of 24.1.0, or has no such file."""
    newer = files("25.5.0").get(name)
    return (
        newer is None
        or json.loads(newer.read_text())["response"] != json.loads(files("24.1.0")[name].read_text())["response"]
    )


@pytest.mark.parametrize("release", RELEASES)
def test_the_files_of_a_release_get_their_answers(
    release: str, engine_kind: EngineKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Besu's tests have such a source of ids, too.
    monkeypatch.setattr("lacnode.rpc.filters.secrets.token_bytes", lambda size: (1).to_bytes(size))
    differing = {name for name, path in files(release).items() if not is_equal(release, path, engine_kind)}
    if release == "24.1.0":
        differing = {name for name in differing if not was_replaced(name)}
    assert differing == set(OTHERWISE[release])
