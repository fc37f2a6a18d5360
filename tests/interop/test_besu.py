"""lacnode with real Besu nodes: mixed validators of IBFT 2.0 and QBFT, and each kind as an observer of the other.

`LACNODE_BESU` names the program (`tests/support/besu_network.py`). docs/spec/interop.md has what was seen.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lacnode.chainspec.genesis import parse_genesis
from lacnode.devnet.accounts import funded_accounts
from lacnode.devnet.permissioned_genesis import ACCOUNT_INGRESS, NODE_INGRESS, devnet_permissioning_alloc
from tests.support.besu_network import BesuNode, besu_genesis, besu_program
from tests.support.mixed_chain import (
    MixedSender,
    all_have_receipts,
    contract_of,
    differing_receipts,
    late_blocks,
)
from tests.support.mixed_network import (
    LacnodeNode,
    MixedNode,
    differing_blocks,
    running_network,
    wait_for,
    wait_for_height,
)

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("besu")]

RPC_PREFIXES = {"ibft2": "ibft", "qbft": "qbft"}
"""What the names of the RPC methods of a protocol begin with."""

SECTION = {"epochlength": 30_000, "blockperiodseconds": 1, "requesttimeoutseconds": 4}
BLOCKS = 100
PERMISSIONS = (
    "--permissions-nodes-contract-enabled",
    f"--permissions-nodes-contract-address=0x{NODE_INGRESS.hex()}",
    "--permissions-accounts-contract-enabled",
    f"--permissions-accounts-contract-address=0x{ACCOUNT_INGRESS.hex()}",
)
"""Options of both kinds of nodes."""


def vote(voters: Sequence[MixedNode], protocol: str, subject: MixedNode, *, add: bool) -> None:
    for node in voters:
        assert node.call(f"{RPC_PREFIXES[protocol]}_proposeValidatorVote", "0x" + subject.key.address.hex(), add)


def is_validator(node: MixedNode, protocol: str, subject: MixedNode) -> bool:
    found: list[str] = node.call(f"{RPC_PREFIXES[protocol]}_getValidatorsByBlockNumber", "latest")
    return "0x" + subject.key.address.hex() in [address.lower() for address in found]


def kill_for_six_blocks(victim: MixedNode, nodes: Sequence[MixedNode]) -> range:
    """Kill and start `victim`. Returns the numbers of the blocks in which it may have missed its turn."""
    others = [node for node in nodes if node is not victim]
    first = max(node.height() for node in others) + 1
    victim.kill()
    wait_for_height(others, first + 6)
    victim.start()
    wait_for(lambda: victim.height() >= max(node.height() for node in others) - 1, "the victim is back", nodes)
    # Its next turn can begin before it is connected to all of the others.
    return range(first, max(node.height() for node in others) + 2 * len(nodes))


def vote_until_counted(subject: MixedNode, nodes: Sequence[MixedNode], protocol: str, *, add: bool) -> None:
    """All others vote. Returns some blocks after the validators changed."""
    vote([node for node in nodes if node is not subject], protocol, subject, add=add)
    wait_for(
        lambda: all(is_validator(node, protocol, subject) is add for node in nodes),
        f"the votes for {subject.name}, {add}, are counted",
        nodes,
    )
    wait_for_height(nodes, max(node.height() for node in nodes) + len(nodes))


@pytest.mark.parametrize("protocol", RPC_PREFIXES)
def test_mixed_validators_agree_through_kills_votes_and_transactions(tmp_path: Path, protocol: str) -> None:
    besu = besu_program()
    theirs = [BesuNode(f"besu-{i}", tmp_path / f"b{i}", (3000 + i).to_bytes(32), besu) for i in range(2)]
    ours = [LacnodeNode(f"lacnode-{i}", tmp_path / f"l{i}", (2000 + i).to_bytes(32)) for i in range(2)]
    nodes: list[MixedNode] = [*theirs, *ours]
    genesis = besu_genesis(protocol, [node.key.address for node in nodes], SECTION)
    senders = [MixedSender(account.private_key) for account in funded_accounts(2)]
    with running_network(tmp_path, genesis, nodes):
        wait_for_height(nodes, 3)
        # Each sender uses nodes of one kind, and the contract that the other sender deployed.
        entrances: list[Sequence[MixedNode]] = [theirs, ours]
        deployed = [sender.deploy(entrance[0]) for sender, entrance in zip(senders, entrances, strict=True)]
        contracts = [contract_of(nodes[0], hash_) for hash_ in reversed(deployed)]

        def send_on(at: int) -> None:
            for sender, entrance, contract in zip(senders, entrances, contracts, strict=True):
                sender.use(entrance[at], contract)
            last = [sender.sent[-1] for sender in senders]
            wait_for(lambda: all_have_receipts(nodes, last), "the transactions are in blocks", nodes)

        send_on(0)
        excused: dict[bytes, range] = {}
        for victim in (theirs[0], ours[0]):
            excused[victim.key.address] = kill_for_six_blocks(victim, nodes)
            send_on(1)
        for subject in (theirs[1], ours[1]):
            vote_until_counted(subject, nodes, protocol, add=False)
            vote_until_counted(subject, nodes, protocol, add=True)
            send_on(0)
        wait_for_height(nodes, BLOCKS)
        last = min(node.height() for node in nodes)
        late = late_blocks(nodes[0], protocol, 2, last)
        assert differing_blocks(nodes, 0, last) == []
        assert differing_receipts(nodes, [hash_ for sender in senders for hash_ in sender.sent]) == []
        assert [block for block in late if block.number not in excused.get(block.turn, ())] == []


def test_rounds_after_a_stopped_proposer_and_permissions_by_contract(tmp_path: Path) -> None:
    besu = BesuNode("besu", tmp_path / "b", (3000).to_bytes(32), besu_program(), PERMISSIONS)
    ours = [LacnodeNode(f"lacnode-{i}", tmp_path / f"l{i}", (2000 + i).to_bytes(32), PERMISSIONS) for i in range(3)]
    nodes: list[MixedNode] = [besu, *ours]
    permitted, refused = [MixedSender(account.private_key) for account in funded_accounts(2)]
    genesis = besu_genesis("ibft2", [node.key.address for node in nodes], SECTION)
    sender = bytes.fromhex(funded_accounts(1)[0].address[2:])
    genesis["alloc"] |= devnet_permissioning_alloc([sender], [(node.enode, "validator", node.name) for node in nodes])
    with running_network(tmp_path, genesis, nodes):
        wait_for_height(nodes, 3)
        contract = contract_of(besu, permitted.deploy(besu))
        excused: dict[bytes, range] = {}
        for stopped in (ours[0], besu):
            others = [node for node in nodes if node is not stopped]
            first = max(node.height() for node in others) + 1
            stopped.pause()
            permitted.use(others[0], contract)
            wait_for_height(others, first + 8)
            stopped.resume()
            wait_for_height(nodes, max(node.height() for node in others))
            excused[stopped.key.address] = range(first, max(node.height() for node in others) + 2 * len(nodes))
        wait_for(lambda: all_have_receipts(nodes, permitted.sent), "the transactions are in blocks", nodes)
        wait_for_height(nodes, max(node.height() for node in nodes) + 2 * len(nodes))
        raw = refused.sign(to=b"\x5e" * 20)
        # lacnode adds its reason as `data`.
        replies = [node.reply("eth_sendRawTransaction", raw)["error"] for node in nodes]
        errors = {(error["code"], error["message"]) for error in replies}
        last = min(node.height() for node in nodes)
        late = late_blocks(besu, "ibft2", 2, last)
        assert differing_blocks(nodes, 0, last) == []
        assert differing_receipts(nodes, permitted.sent) == []
        assert {block.turn for block in late} >= set(excused)
        assert [block for block in late if block.number not in excused.get(block.turn, ())] == []
        assert errors == {(-32007, "Sender account not authorized to send transactions")}


@pytest.mark.parametrize("protocol", RPC_PREFIXES)
@pytest.mark.parametrize("of_besu", [True, False], ids=["besu", "lacnode"])
def test_each_kind_synchronises_a_chain_that_the_other_kind_made(tmp_path: Path, of_besu: bool, protocol: str) -> None:
    besu = BesuNode("besu", tmp_path / "b", (3000).to_bytes(32), besu_program())
    lacnode = LacnodeNode("lacnode", tmp_path / "l", (2000).to_bytes(32))
    both: tuple[MixedNode, MixedNode] = (besu, lacnode) if of_besu else (lacnode, besu)
    maker, observer = both
    sender = MixedSender(funded_accounts(1)[0].private_key)
    with running_network(tmp_path, besu_genesis(protocol, [maker.key.address], SECTION), [maker], later=[observer]):
        wait_for_height([maker], 1)
        sender.use(maker, contract_of(maker, sender.deploy(maker)))
        wait_for_height([maker], 12)
        observer.start()
        # It follows the new blocks after those that it synchronised.
        wait_for_height(both, 12)
        wait_for_height(both, maker.height() + 3)
        assert differing_blocks(both, 0, min(node.height() for node in both)) == []
        assert differing_receipts(both, sender.sent) == []


def test_the_program_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LACNODE_BESU", raising=False)
    with pytest.raises(pytest.skip.Exception, match="names no Besu program"):
        besu_program()


@pytest.mark.parametrize("protocol", RPC_PREFIXES)
def test_the_networks_of_the_tests_are_ones_that_lacnode_reads(protocol: str) -> None:
    """Without a Besu, too: the genesis of these tests starts a node."""
    spec = parse_genesis(besu_genesis(protocol, [bytes(20)], SECTION))
    assert (spec.protocols, spec.warnings) == (((0, protocol),), ())
