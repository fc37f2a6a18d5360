"""The effects of votes on the validator set, as far as this node can see them."""

from lacnode.consensus.bft.quorum import quorum
from lacnode.consensus.bft.validator_set_change import ValidatorSetChange
from lacnode.consensus.bft.vote_tally import VoteTally
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.connected_validators import ConnectedValidators, find_connected_validators
from lacnode.rpc.services import RpcServices


def find_vote_warnings(services: RpcServices, recipient: bytes, add: bool) -> list[str]:
    """Return sentences with reasons against voting `recipient` (20 bytes) in (`add`) or out now. The list is empty if
    there are none. It asks peers for up to 5 seconds, so a worker thread must call it."""
    validators = services.chain.validators_after(services.chain.head.header)
    here = find_connected_validators(services, {*validators, recipient})
    change = ValidatorSetChange(validators, recipient, add, here.having_block)
    return [*(_newcomer(here, recipient) if add else ()), *change.warnings()]


def preview_pending_votes(services: RpcServices) -> list[dict[str, object]]:
    """Return one JSON object for each change with pending votes (an address, to be added or removed), in the order of
    the addresses: who has voted, how many votes are missing, and the effects of success. A change that only this node
    wishes is in the list too, but its wish is no vote before a block has it. Empty if there are none.

    ValidatorContractError if a contract has to name the validators and names no usable ones. It asks peers for up to 5
    seconds, so a worker thread must call it.
    """
    head = services.chain.head.header
    tally = services.chain.tally_after(head)
    vanish_at = services.chain.spec.ibft.parameters_at(head.number + 1).first_epoch_block_above(head.number)
    wanted_votes = services.vote_proposer.wanted_votes
    # This node's own wishes count too, even if no block carries them yet.
    subjects = {(recipient, add) for recipient, add in wanted_votes.items()}
    subjects |= {(recipient, True) for recipient, voters in tally.additions.items() if voters}
    subjects |= {(recipient, False) for recipient, voters in tally.removals.items() if voters}
    here = find_connected_validators(services, {*tally.validators, *(recipient for recipient, _ in subjects)})
    return [
        _prospect(tally, here, recipient, add)
        # All votes are dropped at the first block of each epoch.
        | {"ownWish": wanted_votes.get(recipient) is add, "votesVanishAt": hex(vanish_at)}
        for recipient, add in sorted(subjects)
    ]


def _prospect(tally: VoteTally, here: ConnectedValidators, recipient: bytes, add: bool) -> dict[str, object]:
    voters = (tally.additions if add else tally.removals).get(recipient, frozenset())
    needed = len(tally.validators) // 2 + 1
    change = ValidatorSetChange(tally.validators, recipient, add, here.having_block)
    return {
        "address": to_hex(recipient),
        "add": add,
        "votedBy": [to_hex(voter) for voter in sorted(voters)],
        "votesNeeded": needed,
        "votesMissing": max(0, needed - len(voters)),
        "validatorsAfter": [to_hex(address) for address in change.validators_after],
        "quorumAfter": quorum(len(change.validators_after)) if change.validators_after else 0,
        "warnings": change.warnings(),
    }


def _newcomer(here: ConnectedValidators, recipient: bytes) -> list[str]:
    """Return what is wrong with a node that is to become a validator, as far as this node can see."""
    # A new validator that is away raises the quorum without giving a vote, and can stop the network.
    if recipient not in here.connected:
        return [f"{to_hex(recipient)} is not connected to this node"]
    if recipient not in here.having_block:
        return [f"{to_hex(recipient)} is connected but does not have block {here.number} yet"]
    return []
