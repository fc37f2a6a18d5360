"""lacnode with real GoQuorum nodes: mixed QBFT validators through kills and votes, and the past of an IBFT 1 chain.

`LACNODE_GOQUORUM_GETH` names the binary (`tests/support/goquorum_network.py`). docs/spec/interop.md has what was seen.
"""

import gzip
import json
from pathlib import Path

import pytest

from lacnode.chainspec.genesis import parse_genesis
from tests.support.goquorum_chain import DATA, exported_blocks, goquorum_genesis_document
from tests.support.goquorum_network import GoQuorumNode, geth_binary, goquorum_genesis
from tests.support.mixed_network import (
    LacnodeNode,
    MixedNode,
    differing_blocks,
    running_network,
    wait_for,
    wait_for_height,
)

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("goquorum")]

QBFT = {"epochlength": 30_000, "blockperiodseconds": 1, "requesttimeoutseconds": 2, "policy": 0, "ceil2Nby3Block": 0}
JOINING = "0x" + "77" * 20


def validators_at_head(node: MixedNode) -> list[str]:
    found: list[str] = node.call("istanbul_getValidators", "latest")
    return [address.lower() for address in found]


@pytest.mark.parametrize(("of_goquorum", "of_lacnode"), [(2, 2), (3, 1)])
def test_mixed_validators_agree_through_kills_and_votes(tmp_path: Path, of_goquorum: int, of_lacnode: int) -> None:
    geth = geth_binary()
    theirs = [
        GoQuorumNode(f"goquorum-{i}", tmp_path / f"g{i}", (1000 + i).to_bytes(32), geth) for i in range(of_goquorum)
    ]
    ours = [LacnodeNode(f"lacnode-{i}", tmp_path / f"l{i}", (2000 + i).to_bytes(32)) for i in range(of_lacnode)]
    nodes: list[MixedNode] = [*theirs, *ours]
    genesis = goquorum_genesis("qbft", [node.key.address for node in nodes], {"qbft": QBFT})
    with running_network(tmp_path, genesis, nodes):
        wait_for_height(nodes, 4)
        victims: list[MixedNode] = [theirs[0], ours[0]]
        for victim in victims:
            others = [node for node in nodes if node is not victim]
            victim.kill()
            # Each of the others proposes, and the turn of the dead node needs a second round.
            wait_for_height(others, max(node.height() for node in others) + 6)
            victim.start()
            wait_for_height(nodes, max(node.height() for node in others) + 2)
        for goquorum in theirs:
            goquorum.call("istanbul_propose", JOINING, True)
        for lacnode in ours:
            # The third parameter: although the new validator is not connected.
            lacnode.call("qbft_proposeValidatorVote", JOINING, True, True)
        wait_for(
            lambda: all(JOINING in validators_at_head(node) for node in nodes), "both sides count the votes", nodes
        )
        # The new validator does not exist, so its turns need a second round.
        wait_for_height(nodes, max(node.height() for node in nodes) + 6)
        last = min(node.height() for node in nodes)
        assert differing_blocks(nodes, 0, last) == []


def test_a_node_synchronises_ibft_1_and_qbft_from_a_goquorum_peer(tmp_path: Path) -> None:
    geth = geth_binary()
    peer = GoQuorumNode("goquorum", tmp_path / "g", (999).to_bytes(32), geth)
    node = LacnodeNode("lacnode", tmp_path / "l", (2000).to_bytes(32))
    last = exported_blocks()[-1].number
    (tmp_path / "chain.rlp").write_bytes(gzip.decompress((DATA / "chain.rlp.gz").read_bytes()))
    (tmp_path / "genesis.json").write_text(json.dumps(goquorum_genesis_document()))
    peer.prepare(tmp_path / "genesis.json", [])
    peer.run("import", str(tmp_path / "chain.rlp"))
    with running_network(tmp_path, goquorum_genesis_document(), [peer, node]):
        wait_for(lambda: node.height() == last, "the chain is here", [peer, node])
        assert differing_blocks([peer, node], 0, last) == []
        assert validators_at_head(node) == validators_at_head(peer)


def test_the_binary_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LACNODE_GOQUORUM_GETH", raising=False)
    with pytest.raises(pytest.skip.Exception, match="names no GoQuorum binary"):
        geth_binary()


def test_the_network_of_the_tests_is_one_that_lacnode_reads() -> None:
    """Without a GoQuorum binary, too: the genesis of these tests starts a node."""
    spec = parse_genesis(goquorum_genesis("qbft", [bytes(20)], {"qbft": QBFT}))
    assert (spec.protocols, spec.warnings, spec.max_contract_bytes_at(1)) == (((0, "qbft"),), (), 65536)
