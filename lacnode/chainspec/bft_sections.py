"""The sections of the genesis that say how blocks are agreed on: `ibft2`, `qbft` and their transitions.

They follow Besu's `JsonBftConfigOptions`, `JsonQbftConfigOptions`, `BftFork` and `QbftFork`. A section that contradicts
another one raises BftSectionError, which names the key and the block.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from lacnode.chainspec.genesis_values import (
    LOWER_CASE,
    Count,
    GenesisSection,
    OptionalAddress,
    Positive,
    PositiveLong,
    Quantity,
    ShortAddress,
)
from lacnode.chainspec.ibft_schedule import IbftParameters, IbftSchedule

IBFT1, IBFT2, QBFT = "ibft1", "ibft2", "qbft"
"""The names of the sections, which are the names of the protocols."""


class BftSectionError(Exception):
    """A section about consensus is not usable. The text is one sentence for the operator."""


class Ibft2Section(GenesisSection):
    """The keys of `config.ibft2` in the genesis file, with Besu's defaults. `blockreward` is in wei. If the block
    period is given in milliseconds, the one in seconds has no effect. `requesttimeoutseconds` is the timeout of round
    0, which doubles from round to round. `miningbeneficiary` (20 bytes) is None for the proposer. The limits are
    numbers of messages (see `IbftParameters`)."""

    epochlength: PositiveLong = 30_000
    blockperiodseconds: Positive = 1
    xblockperiodmilliseconds: Positive | None = None
    requesttimeoutseconds: Positive = 1
    gossipedhistorylimit: Count = 1000
    messagequeuelimit: Count = 1000
    duplicatemessagelimit: Count = 100
    futuremessageslimit: Count = 1000
    futuremessagesmaxdistance: Count = 10
    miningbeneficiary: OptionalAddress = None
    blockreward: Quantity = 0


class Ibft1Section(Ibft2Section):
    """The section that `goquorum` makes of `config.istanbul` or `config.ibft`. `followsgoquorum`: GoQuorum's validators
    make the blocks (see `IbftParameters`)."""

    followsgoquorum: bool = Field(False, alias="goquorum.blocks")


class QbftSection(Ibft2Section):
    """The keys of `config.qbft` in the genesis file. `startblock` is None if QBFT begins at block 0.
    `xemptyblockperiodseconds` is Besu's key for the period of empty blocks, and `emptyblockperiodseconds` is GoQuorum's key
    for the same. `validatorcontractaddress` (20 bytes) is None if headers name the validators."""

    startblock: Count | None = None
    validatorcontractaddress: OptionalAddress = None
    xemptyblockperiodseconds: Count | None = None
    emptyblockperiodseconds: Count | None = None
    # Besu has no such key. `goquorum` writes it under this name.
    followsgoquorum: bool = Field(False, alias="goquorum.blocks")


class Ibft2Transition(GenesisSection):
    """An entry of `config.transitions.ibft2`: what changes from `block` on. A key that is None stays as it was, except
    that a given blank `miningbeneficiary` means the proposer again.

    `validators` replace the whole set that agrees on block `block`. The vote in the block before counts on top of them,
    and so do later votes. `parameters_by_height` raises BftSectionError for two entries with the same `block`.
    """

    block: PositiveLong
    blockperiodseconds: Positive | None = None
    xblockperiodmilliseconds: Positive | None = None
    blockreward: Quantity | None = None
    miningbeneficiary: OptionalAddress = None
    validators: Annotated[tuple[ShortAddress, ...], Field(min_length=1)] | None = None


class QbftTransition(Ibft2Transition):
    """An entry of `config.transitions.qbft`: what changes from `block` on. A key that is None stays as it was, except
    that a given blank `miningbeneficiary` means the proposer again.

    `validatorselectionmode` says who names the validators from then on. `contract` needs `validatorcontractaddress`,
    also if a contract named them before. `blockheader` needs `validators`. `parameters_by_height` raises
    BftSectionError if these are missing. Without a mode, `validatorcontractaddress` has no effect.
    `xemptyblockperiodseconds` is Besu's key for the period of empty blocks, and `emptyblockperiodseconds` GoQuorum's
    for the same. `epochlength` and `requesttimeoutseconds` are not read from a file: `goquorum` sets them.
    """

    validatorselectionmode: Annotated[Literal["blockheader", "contract"], LOWER_CASE] | None = None
    validatorcontractaddress: OptionalAddress = None
    xemptyblockperiodseconds: Count | None = None
    emptyblockperiodseconds: Count | None = None
    # Besu has no such keys. `goquorum` writes them under these names.
    epochlength: PositiveLong | None = Field(None, alias="goquorum.epochlength")
    requesttimeoutseconds: Positive | None = Field(None, alias="goquorum.requesttimeoutseconds")


class TransitionsSection(GenesisSection):
    """The lists of `config.transitions` in the genesis file, one for each protocol, in the order of the file. `ibft1`
    is made by `goquorum`."""

    ibft1: tuple[QbftTransition, ...] = ()
    ibft2: tuple[Ibft2Transition, ...] = ()
    qbft: tuple[QbftTransition, ...] = ()


def check_consensus_sections(config: Mapping[str, Any]) -> None:
    """Check that `config` has a section of IBFT 1, IBFT 2.0 or QBFT, and none of ethash or clique. Raises
    BftSectionError if this node cannot run the network.

    `config` has its keys in lower case. Call this before the keys of the sections are validated: a network of another
    kind then gets this error, and not one about the first missing key of `ibft2`.
    """
    for engine in ("ethash", "clique"):
        if engine in config:
            raise BftSectionError(
                f"config.{engine}: this node runs IBFT 2.0 (config.ibft2) and QBFT (config.qbft) networks only"
            )
    if not config.keys() & {IBFT1, IBFT2, QBFT}:
        raise BftSectionError(
            "config.ibft2 and config.qbft are missing: this node runs IBFT 2.0 and QBFT networks only"
        )


def protocols_by_height(first: Ibft2Section | None, qbft: QbftSection | None) -> tuple[tuple[int, str], ...]:
    """The name of the protocol (`IBFT1`, `IBFT2` or `QBFT`) from each height on, as (height, name), ascending from
    height 0. Raises BftSectionError if both sections are given and `startblock` of QBFT is missing or 0, and if
    `startblock` is above 0 without `first`.

    `first` is the section of IBFT 2.0 or of IBFT 1, None for a network that begins with QBFT. `qbft` is None for one
    without QBFT. The caller has checked that one of the two is given (`check_consensus_sections`).
    """
    name = _name_of_first(first)
    if qbft is None:
        return ((0, name),)
    if first is None:
        if qbft.startblock:
            raise BftSectionError(
                f"config.qbft.startBlock is {qbft.startblock}, but no other section says who makes the blocks before it"
            )
        return ((0, QBFT),)
    if not qbft.startblock:
        raise BftSectionError(
            "config has both ibft2 and qbft: config.qbft.startBlock must name the first block of QBFT, at least 1"
        )
    return ((0, name), (qbft.startblock, QBFT))


def _name_of_first(first: Ibft2Section | None) -> str:
    return IBFT1 if isinstance(first, Ibft1Section) else IBFT2


def parameters_by_height(
    first: Ibft2Section | None, qbft: QbftSection | None, transitions: TransitionsSection
) -> IbftSchedule:
    """The parameters by height, and the heights at which transitions replace the validators. `first` is the section of
    IBFT 2.0 or of IBFT 1. One of `first` and `qbft` may be None. A transition that comes after the last block of its
    protocol has no effect. Raises BftSectionError for two transitions of one block, a transition before its protocol
    begins, and other contradictions."""
    steps: list[tuple[int, IbftParameters]] = []
    overrides: list[tuple[int, tuple[bytes, ...]]] = []
    sections: dict[str, tuple[Ibft2Section | None, Sequence[Ibft2Transition]]] = {
        IBFT1: (first, transitions.ibft1),
        IBFT2: (first, transitions.ibft2),
        QBFT: (qbft, transitions.qbft),
    }
    for begins, name in protocols_by_height(first, qbft):
        own_steps, own_overrides = _steps(name, begins, *sections[name])
        # IBFT 2.0 ends where QBFT begins. Its later transitions have no effect, and `warnings` says so.
        steps = [step for step in steps if step[0] < begins] + own_steps
        overrides = [override for override in overrides if override[0] < begins] + own_overrides
    return IbftSchedule(tuple(steps), tuple(overrides))


def ineffective_key_warnings(
    ibft2: Ibft2Section | None, qbft: QbftSection | None, transitions: TransitionsSection
) -> Iterator[str]:
    """Yield sentences for the operator. There is one for each list of transitions without the section of its protocol,
    each transition of IBFT 2.0 that comes when QBFT has begun, each `validatorcontractaddress` without a mode, and each
    `validators` while a contract names the validators. One more is for a change to QBFT at which Besu counts other
    votes. Other keys without an effect are not found here. Raises BftSectionError for a transition of QBFT that
    contradicts itself."""
    for name, section, listed in ((IBFT2, ibft2, transitions.ibft2), (QBFT, qbft, transitions.qbft)):
        if section is None and listed:
            yield f"config.transitions.{name} has no effect: there is no config.{name}"
    ends = None if ibft2 is None or qbft is None else qbft.startblock
    for step in transitions.ibft2:
        if ends is not None and step.block >= ends:
            yield f"config.transitions.ibft2 (block {step.block}) has no effect: QBFT begins at block {ends}"
    if ibft2 is not None and ends and (ends - 1) % ibft2.epochlength:
        yield (
            f"config.qbft.startBlock: block {ends - 1} is no epoch block of config.ibft2. Votes that are open there count "
            "on, but Besu drops them. If Besu nodes are in the network, let no vote be open, or begin after an epoch block"
        )
    if qbft is not None:
        yield from _contract_warnings(qbft, transitions.qbft)


def _contract_warnings(section: QbftSection, listed: Sequence[QbftTransition]) -> Iterator[str]:
    contract = section.validatorcontractaddress
    for step in sorted(listed, key=lambda step: step.block):
        place = f"config.transitions.qbft (block {step.block})"
        if step.validatorselectionmode is None and step.validatorcontractaddress is not None:
            yield f"{place}: validatorContractAddress has no effect without validatorSelectionMode"
        contract = _contract_after(contract, step)
        if contract is not None and step.validators is not None:
            yield f"{place}: validators has no effect while a contract names the validators"


def _steps(
    name: str, begins: int, section: Ibft2Section | None, listed: Sequence[Ibft2Transition]
) -> tuple[list[tuple[int, IbftParameters]], list[tuple[int, tuple[bytes, ...]]]]:
    """The parameters of one section from `begins` on, and the heights at which it replaces the validators."""
    assert section is not None
    parameters = _parameters(section)
    if not parameters.follows_goquorum:
        # Besu counts the epochs of a second protocol from the last block of the first one. GoQuorum goes on counting.
        parameters = replace(parameters, epoch_begins=max(0, begins - 1))
    # Each step has the full parameters, so a transition changes only what it names.
    steps: dict[int, IbftParameters] = {begins: parameters}
    overrides, named = [], set[int]()
    for step in sorted(listed, key=lambda step: step.block):
        if step.block in named:
            raise BftSectionError(f"config.transitions.{name}: two transitions for block {step.block}")
        if step.block < begins:
            raise BftSectionError(
                f"config.transitions.{name}: block {step.block} is before config.{name}.startBlock ({begins})"
            )
        named.add(step.block)
        parameters = _apply_transition(parameters, step)
        steps[step.block] = parameters
        if step.validators is not None and parameters.validator_contract is None:
            overrides.append((step.block, tuple(sorted(set(step.validators)))))
    return list(steps.items()), overrides


def _parameters(section: Ibft2Section) -> IbftParameters:
    return IbftParameters(
        block_period_ms=section.xblockperiodmilliseconds or section.blockperiodseconds * 1000,
        empty_block_period_ms=_empty_block_period_ms(section, "config.qbft") or 0,
        request_timeout_ms=section.requesttimeoutseconds * 1000,
        epoch_length=section.epochlength,
        follows_goquorum=isinstance(section, Ibft1Section | QbftSection) and section.followsgoquorum,
        block_reward=section.blockreward,
        mining_beneficiary=section.miningbeneficiary,
        validator_contract=section.validatorcontractaddress if isinstance(section, QbftSection) else None,
        gossiped_history_limit=section.gossipedhistorylimit,
        message_queue_limit=section.messagequeuelimit,
        duplicate_message_limit=section.duplicatemessagelimit,
        future_messages_limit=section.futuremessageslimit,
        future_messages_max_distance=section.futuremessagesmaxdistance,
    )


def _apply_transition(parameters: IbftParameters, step: Ibft2Transition) -> IbftParameters:
    """The parameters after a transition. A missing key keeps its value. An empty beneficiary means the coinbase again."""
    # Besu's key in milliseconds has precedence. It is for development networks.
    period = step.xblockperiodmilliseconds
    if period is None and step.blockperiodseconds is not None:
        period = step.blockperiodseconds * 1000
    empty_period = _empty_block_period_ms(step, f"config.transitions.qbft (block {step.block})")
    changes: dict[str, Any] = {}
    if period is not None:
        changes["block_period_ms"] = period
    if empty_period is not None:
        changes["empty_block_period_ms"] = empty_period
    if step.blockreward is not None:
        changes["block_reward"] = step.blockreward
    if "miningbeneficiary" in step.model_fields_set:
        changes["mining_beneficiary"] = step.miningbeneficiary
    if isinstance(step, QbftTransition):
        changes["validator_contract"] = _contract_after(parameters.validator_contract, step)
        changes["epoch_length"] = step.epochlength or parameters.epoch_length
        if step.requesttimeoutseconds is not None:
            changes["request_timeout_ms"] = step.requesttimeoutseconds * 1000
    return replace(parameters, **changes)


def _contract_after(contract: bytes | None, step: QbftTransition) -> bytes | None:
    """The contract that names the validators after a transition, None if headers do. Raises BftSectionError."""
    place = f"config.transitions.qbft (block {step.block})"
    if step.validatorselectionmode is None:
        return contract
    if step.validatorselectionmode == "contract":
        if step.validatorcontractaddress is None:
            raise BftSectionError(f"{place}: validatorSelectionMode contract needs validatorContractAddress")
        return step.validatorcontractaddress
    # The headers of a contract's blocks name no validators, so there is nothing to go on from.
    if step.validators is None:
        raise BftSectionError(f"{place}: validatorSelectionMode blockheader needs validators, at least one")
    return None


def _empty_block_period_ms(section: Ibft2Section | Ibft2Transition, place: str) -> int | None:
    """The period of empty blocks in milliseconds, None if it is not given. Raises BftSectionError for two values."""
    if not isinstance(section, QbftSection | QbftTransition):
        return None
    besu, goquorum = section.xemptyblockperiodseconds, section.emptyblockperiodseconds
    if besu is not None and goquorum is not None and besu != goquorum:
        raise BftSectionError(
            f"{place}: xemptyBlockPeriodSeconds ({besu}) and emptyBlockPeriodSeconds ({goquorum}) are the same; give one"
        )
    seconds = goquorum if besu is None else besu
    return None if seconds is None else seconds * 1000
