"""The rules for a header, each with its own error (Besu's `IbftBlockHeaderValidationRulesetFactory` and QBFT's).

A proposed block has no seals yet (`check_proposed_header_rules`, Besu's light validation). A block to import has the
commit seals, and is not compared with this node's clock (`check_sealed_header_rules`, Besu's full validation).
docs/spec/ibft2.md has the numbers of the rules. There are no rules for the content of a vote and the value of the
round. Rules for new blocks that Besu does not have are in `chain.block_verifier`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from lacnode.consensus.bft.extra_data import ExtraData
from lacnode.consensus.bft.protocol import BftProtocol
from lacnode.crypto.secp256k1 import SignatureError, recover_address
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH
from lacnode.primitives.rlp import RlpError

MIX_HASH = bytes.fromhex("63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365")
MIN_GAS_LIMIT, MAX_GAS_LIMIT = 5000, 2**63 - 1
CLOCK_TOLERANCE_SECONDS = 1
"""How far the timestamp of a proposal may be ahead of this node's clock."""


class HeaderRefusedError(Exception):
    """A header breaks a rule. `rule` is the stable name of the rule. The text says what was found and what was expected."""

    rule: ClassVar[str] = "header"


# -- rules 1 to 5: the place in the chain, and gas -----------------------------------------------------------------


class DoesNotFollowParentError(HeaderRefusedError):
    """The number of the header is not the parent's plus 1, or its `parent_hash` is not the hash of the parent. The parent
    is known: it is the one of `HeaderContext`."""

    rule = "ancestry"


class GasUsedAboveLimitError(HeaderRefusedError):
    """The used gas is above the gas limit."""

    rule = "gas-used"


class GasLimitOutOfRangeError(HeaderRefusedError):
    """The gas limit is below `MIN_GAS_LIMIT`, or above both `MAX_GAS_LIMIT` and the parent's gas limit."""

    rule = "gas-limit-range"


class GasLimitChangedTooMuchError(HeaderRefusedError):
    """The gas limit is 1/1024 or more away from that of the parent, or from its double in the first block of London. A
    rise up to `HeaderContext.goquorum_gas_limit_floor` is allowed."""

    rule = "gas-limit-delta"


class BaseFeeBeforeLondonError(HeaderRefusedError):
    """The header has a base fee, and London is not active at its height. The base fee from London on is not checked
    here."""

    rule = "base-fee-presence"


# -- rules 6 and 7: time -------------------------------------------------------------------------------------------


class FutureTimestampError(HeaderRefusedError):
    """The timestamp of a proposal is more than `CLOCK_TOLERANCE_SECONDS` ahead of the clock of this node, read in whole
    seconds (rounded down)."""

    rule = "timestamp-future"


class TimestampTooEarlyError(HeaderRefusedError):
    """The timestamp is less than one block period (in whole seconds, rounded down) after the parent's."""

    rule = "timestamp-spacing"


# -- rules 8 to 11: fields that these protocols do not use ----------------------------------------------------------------


class WrongMixHashError(HeaderRefusedError):
    """The mix hash is not the constant `MIX_HASH`."""

    rule = "mix-hash"


class OmmersNotEmptyError(HeaderRefusedError):
    """The ommers hash is not that of an empty list. QBFT does not have this rule."""

    rule = "ommers-hash"


class WrongDifficultyError(HeaderRefusedError):
    """The difficulty is not 1."""

    rule = "difficulty"


class WrongNonceError(HeaderRefusedError):
    """The nonce is none of the protocol's `HeaderForm.nonces`, which is only 0 in IBFT 2.0. QBFT does not have
    this rule.
    """

    rule = "nonce"


# -- rules 12 to 14: validators and seals --------------------------------------------------------------------------


class MalformedExtraDataError(HeaderRefusedError):
    """The extra data cannot be decoded, or the header does not say who created the block."""

    rule = "extra-data"


class WrongValidatorsError(HeaderRefusedError):
    """The extra data lists other validators than those of this height, or not in ascending order. Or it has a list or a
    vote although a contract names the validators."""

    rule = "validators"


class CoinbaseNotValidatorError(HeaderRefusedError):
    """The creator of the block is not a validator of this height. In IBFT 2.0 and QBFT the creator is the coinbase."""

    rule = "coinbase"


class WrongSealsError(HeaderRefusedError):
    """There are fewer commit seals than the protocol needs (`HeaderForm.seals_needed`), or more than there are
    validators. Or one is not of a validator of this height, recovers to no address, or is a second one of a
    validator."""

    rule = "commit-seals"


@dataclass(frozen=True, slots=True)
class HeaderContext:
    """The facts that decide about a header, besides the header itself.

    `parent_hash` is the on-chain hash of `parent` (32 bytes), by the protocol of its height. `validators` is the set after
    `parent`, ascending (20-byte addresses). `now` is the clock of this node in Unix seconds. Only proposals are compared
    with it. `base_fee_market`: London is active at this height. `london_activation`: London starts at this height.
    `lists_validators`: the extra data lists the validators. Otherwise a contract names them. `goquorum_gas_limit_floor`: a
    block may rise to this gas limit in one step, as GoQuorum's nodes do. `by_goquorum`: validators of GoQuorum decided or
    prepared the block. They compare neither the gas limit nor the list of validators, so neither is checked.
    """

    parent: BlockHeader
    parent_hash: bytes
    validators: tuple[bytes, ...]
    now: float
    block_period_ms: int
    base_fee_market: bool = False
    london_activation: bool = False
    lists_validators: bool = True
    goquorum_gas_limit_floor: int = 0
    by_goquorum: bool = False


def check_proposed_header_rules(protocol: BftProtocol, header: BlockHeader, context: HeaderContext) -> None:
    """Check a proposed header by all rules but that of the seals, which it does not have yet. Its timestamp is compared
    with the clock of this node. Raises the HeaderRefusedError of the first rule that `header` breaks."""
    # The order is that of the rule numbers, so the first broken rule is the same on every node.
    _check_place_and_gas(header, context)
    _check_clock(header, context.now)
    _check_spacing(header, context.parent, context.block_period_ms)
    _check_constants(protocol, header)
    _check_validators(protocol, header, context)


def check_sealed_header_rules(protocol: BftProtocol, header: BlockHeader, context: HeaderContext) -> None:
    """Check a header with its commit seals by all rules but that of the clock of this node: a quorum has sealed the
    timestamp, so this node must accept it. Raises the HeaderRefusedError of the first broken rule."""
    check_all_but_seals_and_clock(protocol, header, context)
    check_seals(protocol, header, context.validators)


def check_all_but_seals_and_clock(protocol: BftProtocol, header: BlockHeader, context: HeaderContext) -> None:
    """Check a header by the rules of `check_sealed_header_rules`, without the seals, which the caller has verified
    before or verifies afterwards. Raises the HeaderRefusedError of the first broken rule.

    The clock of this node is not used. A quorum sealed this timestamp. If the timestamp is in the future for this node,
    the clock of this node is wrong. Refusing the block would keep this node from a block that is final.
    """
    _check_place_and_gas(header, context)
    _check_spacing(header, context.parent, context.block_period_ms)
    _check_constants(protocol, header)
    _check_validators(protocol, header, context)


def seconds_beyond_clock_tolerance(header: BlockHeader, now: float) -> float:
    """Seconds by which the timestamp of `header` is later than the latest one that a proposal may have at `now` (Unix
    seconds): `now` in whole seconds plus `CLOCK_TOLERANCE_SECONDS`. 0.0 if it is not later."""
    return max(0.0, header.timestamp - (int(now) + CLOCK_TOLERANCE_SECONDS))


def check_seals(protocol: BftProtocol, header: BlockHeader, validators: tuple[bytes, ...]) -> None:
    """Check rule 14: enough distinct validators sealed this block in this round (`HeaderForm.seals_needed`), none of them
    twice, and no other address did.

    Raises WrongSealsError, or RlpError if the extra data is malformed. `validators` are those of the height (20-byte
    addresses).
    """
    seals = protocol.decode_extra_data(header.extra_data).seals
    if len(seals) > len(validators):
        # Before any recovery: a header may carry thousands of seals, and each costs the recovery of a signature.
        raise WrongSealsError(f"{len(seals)} commit seals where there are {len(validators)} validators")
    digest = protocol.committed_seal_hash(header)
    # The digest has the round in it. A seal for the same block in another round does not count: the validators that gave
    # it may have left that round for another block.
    try:
        sealers = {recover_address(digest, seal) for seal in seals}
    except SignatureError as error:
        raise WrongSealsError(f"a commit seal recovers to no address: {error}") from None
    if len(sealers) != len(seals):
        # Two different signatures of one key would otherwise count as two validators.
        raise WrongSealsError("one validator sealed twice")
    strangers = sealers.difference(validators)
    # As in Besu, one wrong seal spoils the block even if a quorum of others is there.
    if strangers:
        raise WrongSealsError(f"sealed by 0x{min(strangers).hex()}, which is no validator of this height")
    needed = protocol.headers.seals_needed(len(validators), header.number)
    if len(sealers) < needed:
        raise WrongSealsError(f"{len(sealers)} commit seals where {needed} are needed{protocol.headers.seals_hint}")


def _check_place_and_gas(header: BlockHeader, context: HeaderContext) -> None:
    """Check rules 1 to 5."""
    _check_ancestry(header, context.parent, context.parent_hash)
    _check_gas(header, context)


def _check_ancestry(header: BlockHeader, parent: BlockHeader, parent_hash: bytes) -> None:
    if header.number != parent.number + 1:
        raise DoesNotFollowParentError(f"number {header.number} does not follow the parent's {parent.number}")
    # The on-chain hash: nodes may hold the parent with different rounds and seals.
    if header.parent_hash != parent_hash:
        raise DoesNotFollowParentError(f"parent hash 0x{header.parent_hash.hex()} is not that of block {parent.number}")


def _check_gas(header: BlockHeader, context: HeaderContext) -> None:
    if header.gas_used > header.gas_limit:
        raise GasUsedAboveLimitError(f"gas used {header.gas_used} is above the gas limit {header.gas_limit}")
    if not context.by_goquorum:
        _check_gas_limit(header, context)
    if header.base_fee is not None and not context.base_fee_market:
        raise BaseFeeBeforeLondonError("a base fee before London")


def _check_gas_limit(header: BlockHeader, context: HeaderContext) -> None:
    parent_limit = context.parent.gas_limit
    # A decided block of GoQuorum may be above the range. The limit then comes down step by step.
    if not MIN_GAS_LIMIT <= header.gas_limit <= max(MAX_GAS_LIMIT, parent_limit):
        raise GasLimitOutOfRangeError(f"gas limit {header.gas_limit} is not between {MIN_GAS_LIMIT} and 2^63-1")
    # The elasticity of London doubles the gas limit of its first block (EIP-1559).
    reference = parent_limit * 2 if context.london_activation else parent_limit
    # Only a rise may be larger. Otherwise one proposer could let the limit fall until no transaction fits a block.
    is_rise_to_floor = reference <= header.gas_limit <= context.goquorum_gas_limit_floor
    if not is_rise_to_floor and abs(header.gas_limit - reference) >= reference // 1024:
        raise GasLimitChangedTooMuchError(f"gas limit {header.gas_limit} is 1/1024 or more away from {reference}")


def _check_clock(header: BlockHeader, now: float) -> None:
    if seconds_beyond_clock_tolerance(header, now) > 0:
        raise FutureTimestampError(
            f"timestamp {header.timestamp} is {header.timestamp - now:.1f} s ahead of this node's clock; "
            "one of the two clocks is wrong"
        )


def _check_spacing(header: BlockHeader, parent: BlockHeader, block_period_ms: int) -> None:
    # The period may be below one second. The rule then allows equal timestamps, as in Besu.
    spacing = block_period_ms // 1000
    if header.timestamp < parent.timestamp + spacing:
        raise TimestampTooEarlyError(
            f"timestamp {header.timestamp} is less than {spacing} s after the parent's {parent.timestamp}"
        )


def _check_constants(protocol: BftProtocol, header: BlockHeader) -> None:
    if header.mix_hash != MIX_HASH:
        raise WrongMixHashError(f"mix hash 0x{header.mix_hash.hex()} is not the constant of this protocol")
    if protocol.checks_ommers_and_nonce and header.ommers_hash != EMPTY_OMMERS_HASH:
        raise OmmersNotEmptyError("the ommers hash is not that of an empty list")
    if header.difficulty != 1:
        raise WrongDifficultyError(f"difficulty {header.difficulty} is not 1")
    if protocol.checks_ommers_and_nonce and header.nonce not in protocol.headers.nonces:
        raise WrongNonceError(f"nonce 0x{header.nonce.hex()} is not one of this protocol")


def check_with_unknown_validators(protocol: BftProtocol, header: BlockHeader, context: HeaderContext) -> None:
    """Check what can be checked of a header while its validators are unknown: a contract names them, and the state before
    the block is not here yet. The creator of the block, its seals and the clock are not checked, and
    `context.validators` is not used. Raises the HeaderRefusedError of the first broken rule."""
    _check_place_and_gas(header, context)
    _check_spacing(header, context.parent, context.block_period_ms)
    _check_constants(protocol, header)
    _check_list(_extra_data(protocol, header), context)


def _check_validators(protocol: BftProtocol, header: BlockHeader, context: HeaderContext) -> None:
    _check_list(_extra_data(protocol, header), context)
    # The votes of the creator count, and the rotation of proposers goes on from it.
    try:
        creator = protocol.headers.creator(header)
    except RlpError as error:
        raise MalformedExtraDataError(str(error)) from None
    if creator not in context.validators:
        raise CoinbaseNotValidatorError(f"the creator 0x{creator.hex()} is no validator of this height")


def _check_list(extra: ExtraData, context: HeaderContext) -> None:
    if context.by_goquorum:
        return
    if context.lists_validators:
        _check_listed(extra.validators, context.validators)
    else:
        _check_lists_no_validators(extra)


def _extra_data(protocol: BftProtocol, header: BlockHeader) -> ExtraData:
    try:
        return protocol.decode_extra_data(header.extra_data)
    except RlpError as error:
        raise MalformedExtraDataError(str(error)) from None


def _check_lists_no_validators(extra: ExtraData) -> None:
    if extra.validators:
        raise WrongValidatorsError("the extra data lists validators, but a contract names them")
    if extra.vote is not None:
        raise WrongValidatorsError("the extra data has a vote, but a contract names the validators")


def _check_listed(listed: tuple[bytes, ...], validators: tuple[bytes, ...]) -> None:
    # Two rules: a list in another order is a fault of the encoding, and gets its own text.
    if any(first >= second for first, second in pairwise(listed)):
        raise WrongValidatorsError("the validators in the extra data are not ascending without duplicates")
    if listed != validators:
        raise WrongValidatorsError(
            f"the extra data lists {_short_list(listed)}, the votes up to the parent give {_short_list(validators)}"
        )


def _short_list(addresses: tuple[bytes, ...]) -> str:
    listed = ["0x" + address.hex() for address in addresses[:10]]
    return "[" + ", ".join(listed if len(addresses) <= 10 else [*listed, "..."]) + "]"
