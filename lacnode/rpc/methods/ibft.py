"""IBFT: validators, their votes, and the blocks that they proposed."""

from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.rpc import results
from lacnode.rpc.errors import dangerous_vote, internal_error, invalid_params
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.parameters import (
    UNSET_TAGS,
    optional,
    parse_address,
    parse_block_number,
    parse_boolean,
    parse_hash32,
    required,
)
from lacnode.rpc.read_calls import ReadContext, check_time, run_in_reader
from lacnode.rpc.services import RpcServices
from lacnode.rpc.vote_preview import find_vote_warnings

DEFAULT_RANGE_BLOCKS = 100


def ibft_getValidatorsByBlockNumber(services: RpcServices, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) in the header of a block, by its number or a tag. None above
    the head. RpcError if the parameter does not fit, or the header cannot be read."""
    number = parse_block_number(services, required(params, 0, "block"))
    return _validators(services.chain.protocols, services.chain.header_at(number))


def ibft_getValidatorsByBlockHash(services: RpcServices, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) in the header of a block, by its hash (32 bytes). None if
    there is no such block. RpcError if the parameter does not fit, or the header cannot be read."""
    return _validators(
        services.chain.protocols,
        services.chain.header_of(parse_hash32(required(params, 0, "block hash"), "block hash")),
    )


def _validators(protocols: ProtocolSchedule, header: BlockHeader | None) -> object:
    if header is None:
        return None
    try:
        return [to_hex(validator) for validator in protocols.extra_data(header).validators]
    except RlpError:
        # The caller cannot correct extra data that the node cannot read.
        raise internal_error() from None


def ibft_proposeValidatorVote(services: RpcServices, params: Params) -> object:
    """Vote from now on for an address to become a validator (true) or to stop being one (false). Return True. `params`
    are the address, that flag and, if wanted, true to vote in spite of a warning. RpcError if a parameter does not fit,
    or if the vote may harm the network, unless the third parameter is true. Besu has no such check. It asks peers for
    up to 5 seconds."""
    recipient = parse_address(required(params, 0, "address"))
    add = parse_boolean(required(params, 1, "add"), "add")
    insists = optional(params, 2)
    if insists is None or not parse_boolean(insists, "insist"):
        dangers = find_vote_warnings(services, recipient, add)
        if dangers:
            raise dangerous_vote(dangers)
    services.vote_proposer.propose(recipient, add)
    return True


def ibft_discardValidatorVote(services: RpcServices, params: Params) -> object:
    """Stop voting about the address in `params`. Return True, also if there was no vote. RpcError if the parameter does
    not fit."""
    services.vote_proposer.discard(parse_address(required(params, 0, "address")))
    return True


def ibft_getPendingVotes(services: RpcServices, params: Params) -> object:
    """Return the votes that this node wants: address as 0x-hexadecimal to True (add) or False (remove). Votes of other
    validators are not in it."""
    return {to_hex(recipient): add for recipient, add in services.vote_proposer.wanted_votes.items()}


def ibft_getSignerMetrics(reading: ReadContext, params: Params) -> object:
    """Return how many blocks of a range each validator proposed, and the number of its last one there, as 0x
    quantities. The proposer is read from the coinbase: a block of IBFT 1 counts for the address that it votes about. A
    validator after the range that proposed none has 0 for both.

    The range goes from the first parameter up to the second one, which is not included. It ends before the head in each
    case. Without parameters it is the `DEFAULT_RANGE_BLOCKS` blocks before the head.

    RpcError if the range is empty or a parameter does not fit, and CallTimeoutError if the time is over.
    """
    head = reading.chain.head.header.number
    start, end = optional(params, 0), optional(params, 1)
    first = max(0, head - DEFAULT_RANGE_BLOCKS) if start is None else _range_number(reading, start)
    last = head if end is None else min(head, _range_number(reading, end))
    if first >= last:
        raise invalid_params(f"the range from {first} to {last} is empty")
    counts: dict[bytes, tuple[int, int]] = {}
    header = None
    for number in range(first, last):
        check_time(reading)
        header = reading.chain.header_at(number)
        if header is None:
            raise internal_error()
        # The coinbase of an IBFT 2.0 block is its proposer.
        count, _ = counts.get(header.coinbase, (0, 0))
        counts[header.coinbase] = (count + 1, number)
    # Validators that proposed no block are part of the answer. They are the ones that an operator looks for.
    for validator in () if header is None else reading.chain.validators_after(header):
        counts.setdefault(validator, (0, 0))
    return [
        {
            "address": to_hex(proposer),
            "proposedBlockCount": results.quantity(count),
            "lastProposedBlockNumber": results.quantity(number),
        }
        for proposer, (count, number) in counts.items()
    ]


def _range_number(reading: ReadContext, value: object) -> int:
    if isinstance(value, str) and value.lower() in UNSET_TAGS:
        raise internal_error()
    return parse_block_number(reading, value)


IBFT_METHODS = (
    Method("ibft_getValidatorsByBlockNumber", "IBFT", ibft_getValidatorsByBlockNumber),
    Method("ibft_getValidatorsByBlockHash", "IBFT", ibft_getValidatorsByBlockHash),
    Method("ibft_proposeValidatorVote", "IBFT", ibft_proposeValidatorVote),
    Method("ibft_discardValidatorVote", "IBFT", ibft_discardValidatorVote),
    Method("ibft_getPendingVotes", "IBFT", ibft_getPendingVotes),
    Method("ibft_getSignerMetrics", "IBFT", run_in_reader(ibft_getSignerMetrics)),
)
