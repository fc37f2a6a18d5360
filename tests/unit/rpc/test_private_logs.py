"""The time of a search for private logs: it ends although nothing matches."""

from dataclasses import replace

import pytest

from lacnode.chain.chain_history import ChainHistory
from lacnode.primitives.block import Block
from lacnode.rpc import short_read_trials
from lacnode.rpc.errors import CallTimeoutError
from lacnode.rpc.read_calls import ReadCall
from lacnode.rpc.short_read_trials import ShortReadTrials
from tests.support.private_calls import GROUP, b64, deploy, store
from tests.support.private_nodes import PrivateTestNetwork
from tests.support.rpc_chain import RpcTestNode

NOTHING = {"fromBlock": "earliest", "topics": ["0x" + "ab" * 32]}


@pytest.fixture
def at() -> RpcTestNode:
    """A member of a group with logs in several blocks."""
    stage = PrivateTestNetwork()
    deploy(stage)
    for nonce in range(1, 6):
        store(stage, nonce, 7 * nonce)
    return stage.b.node


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The hashes of the blocks that are decoded."""
    found: list[bytes] = []
    decode = ChainHistory.block_of

    def noted(self: ChainHistory, hash_: bytes) -> Block | None:
        found.append(hash_)
        return decode(self, hash_)

    monkeypatch.setattr(ChainHistory, "block_of", noted)
    return found


def search(at: RpcTestNode) -> ReadCall:
    call = at.registry.find("priv_getLogs").handler(at.services, [b64(GROUP), NOTHING])
    assert isinstance(call, ReadCall)
    return call


def test_a_search_without_matches_ends_in_time(at: RpcTestNode, decoded: list[bytes]) -> None:
    call = search(at)
    assert call.answer(at.services.read_context(3_600)) == []
    decoded.clear()
    with pytest.raises(CallTimeoutError):
        call.answer(replace(at.services.read_context(3_600), deadline=0.0))
    assert not decoded


def test_a_trial_leaves_a_large_block_to_a_reader(
    at: RpcTestNode, decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(short_read_trials, "TRIAL_SECONDS", 3_600)
    monkeypatch.setattr(short_read_trials, "LARGE_BLOCK_BYTES", 0)
    call = search(at)
    decoded.clear()
    assert ShortReadTrials(lambda: 0.0).try_answer(call, at.services, "10.0.0.1") == (False, None)
    assert not decoded
