"""QBFT: validators, their votes, and the blocks that they proposed. Besu's names, and GoQuorum's names for reading.

Where a contract names the validators there are no votes. A method about votes is then "Method not enabled", as in Besu.
"""

from collections.abc import Callable

from lacnode.chain.validator_contract import ValidatorContractError
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.rlp import RlpError
from lacnode.rpc.errors import RpcError, internal_error, invalid_params, method_not_enabled, unknown_block
from lacnode.rpc.method_registry import Method, Params
from lacnode.rpc.methods.ibft import (
    ibft_discardValidatorVote,
    ibft_getPendingVotes,
    ibft_getSignerMetrics,
    ibft_proposeValidatorVote,
)
from lacnode.rpc.parameters import optional, parse_block_number, parse_hash32, required
from lacnode.rpc.read_calls import HasChain, ReadContext, check_time, run_in_reader
from lacnode.rpc.services import RpcServices

DEFAULT_STATUS_BLOCKS = 64
"""The blocks that `istanbul_status` counts if it is given no range, as in GoQuorum."""

MAX_STATUS_BLOCKS = 100_000
"""The most blocks that `istanbul_status` counts."""

_Handler = Callable[[RpcServices, Params], object]


def qbft_getValidatorsByBlockNumber(reading: ReadContext, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) of a block by its number or a tag, and of the next block for
    "pending". None above the head. RpcError if the parameter does not fit, or the validators cannot be read."""
    block = required(params, 0, "block")
    if isinstance(block, str) and block.lower() == "pending":
        return _addresses(_validators_after(reading, reading.chain.head.header))
    return _named_by(reading, reading.chain.header_at(parse_block_number(reading, block)))


def qbft_getValidatorsByBlockHash(reading: ReadContext, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) of the block with a hash, not those after it. None if the
    block is unknown. RpcError if the parameter is no hash, or the validators cannot be read."""
    return _named_by(reading, reading.chain.header_of(parse_hash32(required(params, 0, "block hash"), "block hash")))


def qbft_getRequestTimeoutSeconds(services: RpcServices, params: Params) -> object:
    # A transition does not change it.
    """Return the timeout of round 0 of the next block, in whole seconds, as a number."""
    return services.chain.spec.ibft.parameters_at(services.chain.head.header.number + 1).request_timeout_ms // 1000


def istanbul_getValidators(reading: ReadContext, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) after the block with a number or a tag, the head if there is
    no parameter. RpcError if there is no such block, or the validators cannot be read."""
    return _addresses(_validators_after(reading, _block(reading, params)))


def istanbul_getValidatorsAtHash(reading: ReadContext, params: Params) -> object:
    """Return the validators (addresses as 0x-hexadecimal) after the block with a hash. RpcError if there is no such
    block, or the validators cannot be read."""
    return _addresses(_validators_after(reading, _block_of_hash(reading, params)))


def istanbul_getSignersFromBlock(reading: ReadContext, params: Params) -> object:
    """Return the validator that created a block, and those that sealed it, as 0x-hexadecimal. The names of the fields
    are GoQuorum's. `params` is a number or a tag, the head if it is missing. RpcError if there is no such block, or its
    seals cannot be read."""
    return _signers(reading, _block(reading, params))


def istanbul_getSignersFromBlockByHash(reading: ReadContext, params: Params) -> object:
    """Return the validator that created the block with a hash, and those that sealed it, as 0x-hexadecimal. The names
    of the fields are GoQuorum's. RpcError if there is no such block, or its seals cannot be read."""
    return _signers(reading, _block_of_hash(reading, params))


def istanbul_nodeAddress(services: RpcServices, params: Params) -> object:
    """Return the address of this node as 0x-hexadecimal."""
    return to_hex(services.node.coinbase)


def istanbul_isValidator(services: RpcServices, params: Params) -> object:
    """Return whether this node is a validator after the block with a number or a tag, the head if there is no
    parameter. RpcError if there is no such block, or the validators cannot be read."""
    return services.node.coinbase in _validators_after(services, _block(services, params))


def istanbul_candidates(services: RpcServices, params: Params) -> object:
    """Return the votes that this node wants: address as 0x-hexadecimal to True (add) or False (remove)."""
    return ibft_getPendingVotes(services, params)


def istanbul_status(reading: ReadContext, params: Params) -> object:
    """Return how many blocks each validator created in a range of blocks, and the number of these blocks. `params` are
    the first block of the range and the block after its last one. Without parameters the range is the
    `DEFAULT_STATUS_BLOCKS` blocks before the head. The head and the genesis never count. RpcError if the range is wrong
    or longer than `MAX_STATUS_BLOCKS`, or the validators or a creator cannot be read, and CallTimeoutError if the time
    is over."""
    first, end = _status_range(reading, params)
    last = reading.chain.header_at(end)
    if last is None:
        raise unknown_block()
    counts = {to_hex(validator): 0 for validator in _validators_after(reading, last)}
    for number in range(first, end):
        check_time(reading)
        header = reading.chain.header_at(number)
        if header is None:
            raise internal_error()
        creator = _creator(reading, header)
        counts[creator] = counts.get(creator, 0) + 1
    return {"sealerActivity": counts, "numBlocks": max(0, end - first)}


def _status_range(reading: ReadContext, params: Params) -> tuple[int, int]:
    head = reading.chain.head.header.number
    start, end = optional(params, 0), optional(params, 1)
    if (start is None) != (end is None):
        raise invalid_params("pass both the start and the end block number, or neither")
    if start is None or end is None:
        return max(1, head - DEFAULT_STATUS_BLOCKS), head
    first, last = parse_block_number(reading, start), parse_block_number(reading, end)
    if not first <= last <= head:
        raise invalid_params(f"the range from {first} to {last} does not end at the head or before it")
    if last - first > MAX_STATUS_BLOCKS:
        raise invalid_params(f"a range of more than {MAX_STATUS_BLOCKS} blocks")
    return max(1, first), last


def _block(context: HasChain, params: Params) -> BlockHeader:
    given = optional(params, 0)
    header = context.chain.head.header if given is None else context.chain.header_at(parse_block_number(context, given))
    if header is None:
        raise unknown_block()
    return header


def _block_of_hash(reading: ReadContext, params: Params) -> BlockHeader:
    header = reading.chain.header_of(parse_hash32(required(params, 0, "block hash"), "block hash"))
    if header is None:
        raise unknown_block()
    return header


def _named_by(reading: ReadContext, header: BlockHeader | None) -> object:
    if header is None:
        return None
    try:
        return _addresses(reading.chain.validator_sets.validators_of_block(header))
    except ValidatorContractError as error:
        raise _no_validators(error) from None
    except RlpError:
        # The caller cannot correct extra data that the node cannot read.
        raise internal_error() from None


def _validators_after(context: HasChain, header: BlockHeader) -> tuple[bytes, ...]:
    try:
        return context.chain.validator_sets.tally_after(header).validators
    except ValidatorContractError as error:
        raise _no_validators(error) from None


def _no_validators(error: ValidatorContractError) -> RpcError:
    failure = internal_error()
    return RpcError(failure.code, failure.message, str(error))


def _signers(reading: ReadContext, header: BlockHeader) -> object:
    protocol = reading.chain.protocols.protocol_at(header.number)
    try:
        digest, seals = protocol.committed_seal_hash(header), protocol.decode_extra_data(header.extra_data).seals
        sealers = [to_hex(recover_address(digest, seal)) for seal in seals]
    except (RlpError, SignatureError):
        raise internal_error() from None
    return {
        "Number": header.number,
        "Hash": to_hex(protocol.block_hash(header)),
        "Author": _creator(reading, header),
        "Committers": sealers,
    }


def _creator(reading: ReadContext, header: BlockHeader) -> str:
    try:
        return to_hex(reading.chain.protocols.creator(header))
    except RlpError:
        # In IBFT 1 the extra data names the creator. The caller cannot correct it.
        raise internal_error() from None


def _addresses(validators: tuple[bytes, ...]) -> list[str]:
    return [to_hex(validator) for validator in validators]


def _with_votes(handler: _Handler) -> _Handler:
    """The same method, but "Method not enabled" where a contract names the validators of the next block."""

    def only_with_votes(services: RpcServices, params: Params) -> object:
        number = services.chain.head.header.number + 1
        if services.chain.spec.ibft.parameters_at(number).validator_contract is not None:
            raise method_not_enabled()
        return handler(services, params)

    return only_with_votes


QBFT_METHODS = (
    Method("qbft_getValidatorsByBlockNumber", "QBFT", run_in_reader(qbft_getValidatorsByBlockNumber)),
    Method("qbft_getValidatorsByBlockHash", "QBFT", run_in_reader(qbft_getValidatorsByBlockHash)),
    Method("qbft_proposeValidatorVote", "QBFT", _with_votes(ibft_proposeValidatorVote)),
    Method("qbft_discardValidatorVote", "QBFT", _with_votes(ibft_discardValidatorVote)),
    Method("qbft_getPendingVotes", "QBFT", _with_votes(ibft_getPendingVotes)),
    Method("qbft_getSignerMetrics", "QBFT", run_in_reader(ibft_getSignerMetrics)),
    Method("qbft_getRequestTimeoutSeconds", "QBFT", qbft_getRequestTimeoutSeconds),
    Method("istanbul_getValidators", "QBFT", run_in_reader(istanbul_getValidators)),
    Method("istanbul_getValidatorsAtHash", "QBFT", run_in_reader(istanbul_getValidatorsAtHash)),
    Method("istanbul_getSignersFromBlock", "QBFT", run_in_reader(istanbul_getSignersFromBlock)),
    Method("istanbul_getSignersFromBlockByHash", "QBFT", run_in_reader(istanbul_getSignersFromBlockByHash)),
    Method("istanbul_nodeAddress", "QBFT", istanbul_nodeAddress),
    Method("istanbul_isValidator", "QBFT", istanbul_isValidator),
    Method("istanbul_candidates", "QBFT", _with_votes(istanbul_candidates)),
    Method("istanbul_status", "QBFT", run_in_reader(istanbul_status)),
)
