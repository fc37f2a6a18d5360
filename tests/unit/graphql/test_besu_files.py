"""Besu's own GraphQL specification files over its own chain: request, answer and HTTP status, as they are."""

import json
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.graphql.answer import answer_query, execute_if_mutation
from lacnode.graphql.live import LiveFacts, PendingTransaction
from lacnode.primitives.transaction import Transaction
from lacnode.rpc.methods.gas_prices import eth_gasPrice, eth_maxPriorityFeePerGas
from lacnode.rpc.read_calls import ReadContext
from lacnode.rpc.recent_prices import RecentPrices
from lacnode.rpc.services import RpcServices
from lacnode.rpc.settings import ApiSettings
from lacnode.txpool.pool_settings import PoolSettings
from lacnode.txpool.transaction_submission import TransactionSubmission
from tests.support.hive_chain import DATA, HiveChain, hive_chain
from tests.support.rpc_chain import RICH, signed

RELEASES = ("24.1.0", "25.5.0")
FILES = [path for release in RELEASES for path in sorted((DATA / release / "graphql").glob("*.json"))]

OLDER = {
    "24.1.0/eth_gasPrice.json": "25.5.0 answers no price below the next base fee, and its file has another one",
}
"""Files of 24.1.0 that 25.5.0 replaced by others with another answer; this node follows 25.5.0."""

pytestmark = pytest.mark.skipif(not FILES, reason="Besu's specification files (shared/data/besu-rpc) are not here")


@lru_cache(maxsize=2)
def chain_of(release: str) -> HiveChain:
    return hive_chain(release)


NONCE_OF_THE_CHAIN = 0x10


class Pool:
    """The pool that Besu's tests put in the place of a real one: it takes what a chain of their own would take."""

    settings = PoolSettings()

    def add(self, transaction: Transaction, *, local: bool, now: float) -> None:
        if transaction.nonce == NONCE_OF_THE_CHAIN:
            raise TransactionRejectedError(RejectionReason.NONCE_TOO_LOW, "the nonce of a transaction of the chain")
        if not transaction.r:
            raise TransactionRejectedError(RejectionReason.INVALID_SIGNATURE, "no signature")


def services_of(chain: HiveChain) -> RpcServices:
    """As much of the services as prices and sending need."""
    head = chain.head.header
    return cast(
        RpcServices,
        SimpleNamespace(
            node=SimpleNamespace(accepts_transactions=True),
            pool=Pool(),
            submission=TransactionSubmission(cast(Any, Pool()), cast(Any, None)),
            settings=ApiSettings(),
            caches=SimpleNamespace(prices=RecentPrices(cast(Any, chain), ApiSettings().gas_price_blocks)),
            chain=SimpleNamespace(
                head=chain.head,
                spec=chain.spec,
                next_base_fee=lambda timestamp: next_base_fee(chain.spec, head, timestamp),
            ),
        ),
    )


def live_of(services: RpcServices) -> LiveFacts:
    """What the node of Besu's tests says of itself: it synchronises, and one transaction waits that does not count."""
    waiting = signed(RICH, 0x2A, gas=0x9FBF1)
    return LiveFacts(
        gas_price=int(str(eth_gasPrice(services, [])), 16),
        priority_fee=int(str(eth_maxPriorityFeePerGas(services, [])), 16),
        syncing=(1, 2, 3),
        pending_count=0,
        pending=(PendingTransaction(waiting.raw, RICH.address),),
    )


def answered(release: str, text: str, variables: object) -> dict[str, Any]:
    chain = chain_of(release)
    services = services_of(chain)
    answer: object = execute_if_mutation(services, text, None, variables) if "mutation" in text else None
    if answer is None:
        reading = ReadContext(chain, ApiSettings(), time.monotonic() + 60)
        answer = answer_query(reading, [text, None, variables, live_of(services)])
    return cast("dict[str, Any]", json.loads(json.dumps(answer)))


def named(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.name}"


def parameters() -> Iterator[Any]:
    for path in FILES:
        reason = OLDER.get(named(path))
        marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
        yield pytest.param(path, id=named(path), marks=marks)


@pytest.mark.parametrize("path", list(parameters()))
def test_a_file_gets_the_answer_that_stands_in_it(path: Path) -> None:
    file = json.loads(path.read_text())
    variables = file.get("variables")
    answer = answered(
        path.parent.parent.name, file["request"], json.loads(variables) if isinstance(variables, str) else variables
    )
    assert answer == file["response"]
    assert (400 if "errors" in answer else 200) == file["statusCode"]
