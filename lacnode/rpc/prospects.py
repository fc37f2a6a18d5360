"""What votes would do: to the network, from where this node stands, and when."""

from lacnode.consensus.quorum import quorum
from lacnode.consensus.set_changes import SetChange
from lacnode.consensus.validators import VoteTally
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.services import RpcServices

RECENT = 3
"""Blocks below the head that a node which has synchronised surely has."""


def dangers_of_vote(services: RpcServices, recipient: bytes, add: bool) -> list[str]:
    """Sentences about what speaks against voting `recipient` (20 bytes) in or out now; empty if nothing does."""
    head = services.chain.head.header
    change = SetChange(services.chain.validators_after(head), recipient, add, _present(services))
    return [*(_newcomer(services, recipient) if add else ()), *change.warnings()]


def pending_votes(services: RpcServices) -> list[dict[str, object]]:
    """Every candidate with votes outstanding: what happens when they are won, who has voted, how many are missing."""
    head = services.chain.head.header
    tally = services.chain.tally_after(head)
    epoch = services.chain.spec.ibft.at(head.number + 1).epoch_length
    wishes = services.ballot.wishes
    subjects = {(recipient, add) for recipient, add in wishes.items()}
    subjects |= {(recipient, True) for recipient, voters in tally.additions.items() if voters}
    subjects |= {(recipient, False) for recipient, voters in tally.removals.items() if voters}
    return [
        _prospect(services, tally, recipient, add)
        | {"ownWish": wishes.get(recipient) is add, "votesVanishAt": hex((head.number // epoch + 1) * epoch)}
        for recipient, add in sorted(subjects)
    ]


def _prospect(services: RpcServices, tally: VoteTally, recipient: bytes, add: bool) -> dict[str, object]:
    voters = (tally.additions if add else tally.removals).get(recipient, frozenset())
    needed = len(tally.validators) // 2 + 1
    change = SetChange(tally.validators, recipient, add, _present(services))
    return {
        "address": to_hex(recipient),
        "add": add,
        "votedBy": [to_hex(voter) for voter in sorted(voters)],
        "votesNeeded": needed,
        "votesMissing": max(0, needed - len(voters)),
        "validatorsAfter": [to_hex(address) for address in change.after],
        "quorumAfter": quorum(len(change.after)) if change.after else 0,
        "warnings": change.warnings(),
    }


def _present(services: RpcServices) -> frozenset[bytes]:
    peers = () if services.network is None else services.network.peers
    return frozenset({peer.address for peer in peers} | {services.coinbase})


def _newcomer(services: RpcServices, recipient: bytes) -> list[str]:
    """What is wrong with somebody who is to become a validator, as far as this node can see."""
    if recipient == services.coinbase:
        return []
    peers = () if services.network is None else services.network.peers
    peer = next((peer for peer in peers if peer.address == recipient), None)
    if peer is None:
        return [f"{to_hex(recipient)} is not connected to this node"]
    number = max(0, services.chain.head.header.number - RECENT)
    if not services.has_block(peer, number):
        return [f"{to_hex(recipient)} is connected but does not have block {number} yet"]
    return []
