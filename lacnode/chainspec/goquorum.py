"""Reads what GoQuorum's genesis has in another form than Besu's, and rewrites it in Besu's form.

GoQuorum has one array `config.transitions` for everything, and sections with other defaults. The rewritten `config` goes
through the same checks as one of Besu. What GoQuorum does and this node cannot do is refused with a sentence that names key
and rule. The reference is GoQuorum 24.4 (`params/config.go`, `eth/ethconfig`, `consensus/istanbul/config.go`). Keys are in
lower case here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationError

from lacnode.chainspec.genesis_values import LOWER_CASE, Count, GenesisSection, Long, OptionalAddress, Quantity
from lacnode.chainspec.goquorum_ibft1 import (
    DEFAULT_EPOCH_BLOCKS,
    DEFAULT_PERIOD_SECONDS,
    DEFAULT_TIMEOUT_SECONDS,
    Ibft1Chain,
    Ibft1Parameters,
    Ibft1SectionError,
    read_ibft1_chain,
)
from lacnode.chainspec.goquorum_rules import KILOBYTE_BYTES, GoQuorumRules

SMALLEST_CONTRACT_KILOBYTES, LARGEST_CONTRACT_KILOBYTES = 24, 128
SMALLEST_TRANSACTION_KILOBYTES, LARGEST_TRANSACTION_KILOBYTES = 32, 128

_NO_ADDRESS = bytes(20)
_FORK_ID_KEYS = (
    *("eip155block", "yolov3block", "ewasmblock", "catalystblock", "maxcodesizechangeblock"),
    *("privacyenhancementsblock", "privacyprecompileblock", "enablegaspriceblock"),
)
_WITHOUT_EFFECT = {
    "qip714block": "GoQuorum's permissioning is not followed. This node has Besu's permissioning",
    "ismps": "private states are not executed here",
    "privacyenhancementsblock": "private transactions are not executed here",
    "privacyprecompileblock": "private transactions are not executed here",
}
_WITHOUT_EFFECT_IN_TRANSITION = {
    "enhancedpermissioningenabled": _WITHOUT_EFFECT["qip714block"],
    "privacyenhancementsenabled": _WITHOUT_EFFECT["privacyenhancementsblock"],
    "privacyprecompileenabled": _WITHOUT_EFFECT["privacyprecompileblock"],
    "maxrequesttimeoutseconds": "a round lasts twice as long as the one before",
}


class GoQuorumGenesisError(Exception):
    """A GoQuorum genesis is not usable here. The text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class RewrittenConfig:
    """`config` in Besu's form with keys in lower case, the rules that have no place in it, and sentences for the
    operator."""

    config: dict[str, Any]
    rules: GoQuorumRules
    warnings: tuple[str, ...]


_Mode = Annotated[Literal["blockheader", "contract", ""], LOWER_CASE]
_Beneficiary = Annotated[Literal["fixed", "validator", "validators", "list", "besu", ""], LOWER_CASE]


class _Istanbul(GenesisSection):
    """`config.istanbul`."""

    epoch: Count = 0
    testqbftblock: Long | None = None
    ceil2nby3block: Long | None = None


class _Section(GenesisSection):
    """`config.qbft` and `config.ibft`. 0 means the default."""

    epochlength: Count = 0
    blockperiodseconds: Count = 0
    requesttimeoutseconds: Count = 0
    policy: Count = 0
    ceil2nby3block: Long = 0
    validatorcontractaddress: OptionalAddress = None
    validatorselectionmode: _Mode = ""
    emptyblockperiodseconds: Count | None = None
    validators: tuple[str, ...] = ()
    beneficiarymode: _Beneficiary = ""
    miningbeneficiary: OptionalAddress = None
    maxrequesttimeoutseconds: Count = 0


class _Transition(GenesisSection):
    """An entry of `config.transitions`."""

    block: Long
    algorithm: Annotated[Literal["ibft", "qbft", ""], LOWER_CASE] = ""
    epochlength: Count = 0
    blockperiodseconds: Count = 0
    emptyblockperiodseconds: Count | None = None
    requesttimeoutseconds: Count = 0
    contractsizelimit: Count = 0
    validatorcontractaddress: OptionalAddress = None
    validatorselectionmode: _Mode = ""
    validators: tuple[str, ...] = ()
    minergaslimit: Long = Field(0, alias="miner.gaslimit")
    gaspriceenabled: StrictBool | None = None
    twofplusone: StrictBool = Field(False, alias="2fplus1enabled")
    transactionsizelimit: Count = 0
    blockreward: Quantity | None = None
    beneficiarymode: _Beneficiary = ""
    miningbeneficiary: OptionalAddress = None


class _CodeSize(GenesisSection):
    block: Long
    size: Count


class _Config(GenesisSection):
    chainid: Quantity = 1
    isquorum: StrictBool = False
    txnsizelimit: Count = 0
    maxcodesize: Count = 0
    maxcodesizechangeblock: Long | None = None
    maxcodesizeconfig: tuple[_CodeSize, ...] = ()
    enablegaspriceblock: Long | None = None
    constantinopleblock: Long | None = None
    eip155block: Long | None = None
    yolov3block: Long | None = None
    ewasmblock: Long | None = None
    catalystblock: Long | None = None
    privacyenhancementsblock: Long | None = None
    privacyprecompileblock: Long | None = None
    qbft: _Section | None = None
    ibft: _Section | None = None
    istanbul: _Istanbul | None = None
    transitions: tuple[_Transition, ...] = ()


def is_goquorum(config: Mapping[str, Any]) -> bool:
    """Whether `config`, with keys in lower case, is that of a GoQuorum network: it has `istanbul`, `ibft`, a true
    `isquorum`, or a list of transitions."""
    if config.keys() & {"istanbul", "ibft"}:
        return True
    return config.get("isquorum") is True or isinstance(config.get("transitions"), list)


def rewrite_goquorum_config(config: Mapping[str, Any]) -> RewrittenConfig:
    """`config`, with keys in lower case, in Besu's form. The argument is not changed. Raises GoQuorumGenesisError if a
    value is wrong, or asks for what this node cannot do."""
    # An object `transitions` is Besu's form. The same file may serve both kinds of nodes.
    listed = config.get("transitions", [])
    own = {key: value for key, value in config.items() if key != "transitions" or isinstance(listed, list)}
    try:
        read = _Config.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise GoQuorumGenesisError(f"config.{place}: {first['msg'].removeprefix('Value error, ')}") from None
    _check(read)
    try:
        ibft1 = _ibft1(config, read)
    except Ibft1SectionError as error:
        raise GoQuorumGenesisError(str(error)) from None
    warnings = (*_warnings(config, read), *(() if ibft1 is None else ibft1.warnings))
    return RewrittenConfig(_in_besus_form(config, read, ibft1), _rules(read), warnings)


def _ibft1(config: Mapping[str, Any], read: _Config) -> Ibft1Chain | None:
    """The sections of a chain that begins with IBFT 1. None for a chain of QBFT alone."""
    if read.istanbul is None and read.ibft is None:
        return None
    # A section of Besu's kind beside one of these is a contradiction, too.
    given = [name for name in ("istanbul", "ibft", "qbft") if name in config]
    if len(given) > 1:
        raise GoQuorumGenesisError(
            f"config has {' and '.join(given)}: one section is for block 1, and config.transitions names later protocols"
        )
    if read.istanbul is not None:
        parameters, test_block = Ibft1Parameters(read.istanbul.epoch), read.istanbul.testqbftblock
    else:
        assert read.ibft is not None
        ibft, test_block = read.ibft, None
        empty = ibft.emptyblockperiodseconds
        parameters = Ibft1Parameters(ibft.epochlength, ibft.blockperiodseconds, ibft.requesttimeoutseconds, empty)
    return read_ibft1_chain(config[given[0]], given[0], parameters, read.transitions, test_block)


# -- what is refused ---------------------------------------------------------------------------------------------------


def _check(config: _Config) -> None:
    if config.isquorum and config.chainid == 1:
        # The v of a transaction of chain 1 is the one that marks a private transaction.
        raise GoQuorumGenesisError("config.chainId is 1, which GoQuorum does not allow with config.isQuorum")
    _check_sizes(config)
    for first, second in pairwise(config.transitions):
        if second.block < first.block:
            raise GoQuorumGenesisError(
                f"config.transitions: block {second.block} comes after block {first.block}; the order must ascend"
            )
    if config.qbft is not None:
        _check_section(config.qbft)
    if config.ibft is not None and _contract(config.ibft) is not None:
        raise GoQuorumGenesisError("config.ibft.validatorContractAddress: blocks of IBFT 1 name their validators here")
    for step in config.transitions:
        _check_transition(step)


def _check_sizes(config: _Config) -> None:
    _check_range("txnSizeLimit", config.txnsizelimit, SMALLEST_TRANSACTION_KILOBYTES, LARGEST_TRANSACTION_KILOBYTES)
    _check_range("maxCodeSize", config.maxcodesize, SMALLEST_CONTRACT_KILOBYTES, LARGEST_CONTRACT_KILOBYTES)
    if config.maxcodesizeconfig and (config.maxcodesize or config.maxcodesizechangeblock is not None):
        raise GoQuorumGenesisError("config.maxCodeSizeConfig and config.maxCodeSize are both given; give one")
    for entry in config.maxcodesizeconfig:
        _check_range(
            f"maxCodeSizeConfig (block {entry.block}).size",
            entry.size or 1,
            SMALLEST_CONTRACT_KILOBYTES,
            LARGEST_CONTRACT_KILOBYTES,
        )
    for first, second in pairwise(config.maxcodesizeconfig):
        if second.block < first.block:
            raise GoQuorumGenesisError("config.maxCodeSizeConfig: the blocks must ascend")
    if config.maxcodesizeconfig and any(step.contractsizelimit for step in config.transitions):
        raise GoQuorumGenesisError(
            "config.maxCodeSizeConfig and transitions.contractSizeLimit are both given; give one"
        )


def _check_range(name: str, kilobytes: int, smallest: int, largest: int) -> None:
    if kilobytes and not smallest <= kilobytes <= largest:
        raise GoQuorumGenesisError(f"config.{name}: {smallest} to {largest} kilobytes were expected, not {kilobytes}")


def _check_section(section: _Section) -> None:
    place = "config.qbft"
    if section.policy:
        raise GoQuorumGenesisError(f"{place}.policy is {section.policy}: this node proposes by turns (policy 0) only")
    if section.ceil2nby3block > 1:
        raise GoQuorumGenesisError(
            f"{place}.ceil2Nby3Block is {section.ceil2nby3block}: blocks before it need 2f+1 seals, this node needs "
            "ceil(2n/3) in every block"
        )
    _check_beneficiary(place, section)
    contract = _contract(section)
    if contract is not None and section.validatorselectionmode != "contract":
        # Besu takes the contract, and the two kinds of nodes would have different validators.
        raise GoQuorumGenesisError(
            f"{place}.validatorContractAddress without validatorSelectionMode contract: GoQuorum takes the validators "
            "of the headers, and Besu those of the contract"
        )
    if contract is None and section.validatorselectionmode == "contract":
        raise GoQuorumGenesisError(f"{place}: validatorSelectionMode contract needs validatorContractAddress")


def _check_beneficiary(place: str, part: _Section | _Transition) -> None:
    if part.miningbeneficiary not in (None, _NO_ADDRESS) or part.beneficiarymode in ("fixed", "list", "besu"):
        # Besu gives the beneficiary to contracts as COINBASE. GoQuorum gives them the proposer.
        raise GoQuorumGenesisError(
            f"{place}.miningBeneficiary: only the proposer (beneficiaryMode validator) can receive the fees here, because "
            "COINBASE is the proposer in GoQuorum"
        )


def _check_transition(step: _Transition) -> None:
    place = f"config.transitions (block {step.block})"
    if step.twofplusone:
        raise GoQuorumGenesisError(f"{place}.2FPlus1Enabled: this node needs ceil(2n/3) seals in every block")
    if step.algorithm == "ibft":
        raise GoQuorumGenesisError(
            f"{place}.algorithm ibft: name the protocol of the first block in a section of config"
        )
    _check_range(
        f"transitions (block {step.block}).contractSizeLimit",
        step.contractsizelimit,
        SMALLEST_CONTRACT_KILOBYTES,
        LARGEST_CONTRACT_KILOBYTES,
    )
    _check_range(
        f"transitions (block {step.block}).transactionSizeLimit",
        step.transactionsizelimit,
        SMALLEST_TRANSACTION_KILOBYTES,
        LARGEST_TRANSACTION_KILOBYTES,
    )
    _check_beneficiary(place, step)
    _check_selection(place, step)


def _check_selection(place: str, step: _Transition) -> None:
    if step.validators:
        raise GoQuorumGenesisError(
            f"{place}.validators: GoQuorum's nodes do not agree from which block on they are valid; use votes instead"
        )
    if step.validatorselectionmode == "blockheader":
        raise GoQuorumGenesisError(
            f"{place}.validatorSelectionMode blockheader: GoQuorum's nodes do not agree on the validators after it"
        )
    contract = _contract(step)
    if (contract is None) != (step.validatorselectionmode != "contract"):
        raise GoQuorumGenesisError(
            f"{place}: validatorSelectionMode contract and validatorContractAddress come together"
        )


# -- Besu's form -------------------------------------------------------------------------------------------------------


def _in_besus_form(config: Mapping[str, Any], read: _Config, ibft1: Ibft1Chain | None) -> dict[str, Any]:
    rewritten = {key: value for key, value in config.items() if key not in _OWN_KEYS}
    # geth reads a missing Petersburg as one at the block of Constantinople.
    if read.constantinopleblock is not None and not config.keys() & {"petersburgblock", "constantinoplefixblock"}:
        rewritten["petersburgblock"] = read.constantinopleblock
    if read.qbft is not None:
        rewritten["qbft"] = _besus_section(config["qbft"], read.qbft)
    if ibft1 is not None:
        rewritten.update(ibft1.sections)
    if isinstance(config.get("transitions"), list) or read.qbft is None or read.qbft.validators:
        rewritten["transitions"] = _besus_transitions(read, ibft1)
    return rewritten


def _besus_transitions(read: _Config, ibft1: Ibft1Chain | None) -> dict[str, Any]:
    entries: dict[int, dict[str, Any]] = {}
    if read.qbft is not None and read.qbft.validators:
        entries[1] = {"validators": list(read.qbft.validators)}
    for step in read.transitions:
        for block, entry in _besus(step):
            # GoQuorum may have several entries for one block. The last one wins.
            entries.setdefault(block, {}).update(entry)
    if ibft1 is None:
        return {"qbft": [{"block": block, **entry} for block, entry in entries.items()]}
    begins = ibft1.qbft_begins
    # The section of QBFT begins with what was valid before it.
    return {
        "ibft1": [{"block": block, **entry} for block, entry in entries.items() if begins is None or block < begins],
        "qbft": [
            {"block": block, **entry} for block, entry in entries.items() if begins is not None and block > begins
        ],
    }


_OWN_KEYS = frozenset(
    [
        *("istanbul", "ibft", "isquorum", "txnsizelimit", "maxcodesize", "maxcodesizechangeblock", "maxcodesizeconfig"),
        *_FORK_ID_KEYS,
        *_WITHOUT_EFFECT,
    ]
)
_OWN_SECTION_KEYS = frozenset(
    [
        *("policy", "ceil2nby3block", "validatorcontractaddress", "validatorselectionmode", "validators"),
        *("beneficiarymode", "miningbeneficiary", "maxrequesttimeoutseconds"),
    ]
)


def _besus_section(given: Mapping[str, Any], section: _Section) -> dict[str, Any]:
    # Keys of Besu alone stay: one file may serve both kinds of nodes.
    rewritten = {key: value for key, value in given.items() if key not in _OWN_SECTION_KEYS}
    rewritten["goquorum.blocks"] = True
    rewritten["epochlength"] = section.epochlength or DEFAULT_EPOCH_BLOCKS
    rewritten["blockperiodseconds"] = section.blockperiodseconds or DEFAULT_PERIOD_SECONDS
    rewritten["requesttimeoutseconds"] = section.requesttimeoutseconds or DEFAULT_TIMEOUT_SECONDS
    if (contract := _contract(section)) is not None:
        rewritten["validatorcontractaddress"] = "0x" + contract.hex()
    return rewritten


def _besus(step: _Transition) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries of Besu's `transitions.qbft` that do what `step` does, each with its block."""
    entry: dict[str, Any] = {
        key: value
        for key, value in (
            ("goquorum.epochlength", step.epochlength or None),
            ("blockperiodseconds", step.blockperiodseconds or None),
            ("emptyblockperiodseconds", step.emptyblockperiodseconds),
            ("goquorum.requesttimeoutseconds", step.requesttimeoutseconds or None),
            ("blockreward", step.blockreward),
        )
        if value is not None
    }
    if entry:
        yield max(1, step.block), entry
    contract = _contract(step)
    if contract is not None:
        # GoQuorum asks the contract after the block of the transition, so the first validators are those of the next.
        named = {"validatorselectionmode": "contract", "validatorcontractaddress": "0x" + contract.hex()}
        yield step.block + 1, named


def _contract(part: _Section | _Transition) -> bytes | None:
    # GoQuorum writes the address of zeros where there is no contract.
    return None if part.validatorcontractaddress == _NO_ADDRESS else part.validatorcontractaddress


# -- rules and warnings ------------------------------------------------------------------------------------------------


def _rules(read: _Config) -> GoQuorumRules:
    counted = {getattr(read, key) for key in _FORK_ID_KEYS} - {None, 0}
    contract_sizes = [(entry.block, entry.size) for entry in read.maxcodesizeconfig]
    if read.maxcodesize:
        contract_sizes = [(read.maxcodesizechangeblock or 0, read.maxcodesize)]
    contract_sizes += [(step.block, step.contractsizelimit) for step in read.transitions if step.contractsizelimit]
    transaction_sizes = [(0, read.txnsizelimit)] if read.txnsizelimit else []
    transaction_sizes += [
        (step.block, step.transactionsizelimit) for step in read.transitions if step.transactionsizelimit
    ]
    return GoQuorumRules(
        contract_sizes=_in_bytes(contract_sizes),
        transaction_sizes=_in_bytes(transaction_sizes),
        gas_prices=_gas_prices(read),
        has_private_transactions=read.isquorum,
        two_thirds_begins=_two_thirds_begins(read),
        # GoQuorum's nodes read it at the parent of a new block.
        gas_limit_floors=tuple((step.block + 1, step.minergaslimit) for step in read.transitions if step.minergaslimit),
        fork_id_blocks=tuple(sorted(counted)),
    )


def _two_thirds_begins(config: _Config) -> int | None:
    # Without the key the section `istanbul` stays with 2f+1, and the section `ibft` has ceil(2n/3) from block 0 on.
    if config.istanbul is not None:
        return config.istanbul.ceil2nby3block
    return 0 if config.ibft is None else config.ibft.ceil2nby3block


def _in_bytes(steps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    return tuple((block, kilobytes * KILOBYTE_BYTES) for block, kilobytes in sorted(steps))


def _gas_prices(config: _Config) -> tuple[tuple[int, bool], ...]:
    if not config.isquorum:
        return ((0, True),)
    begins = config.enablegaspriceblock
    switched = [(step.block, step.gaspriceenabled) for step in config.transitions if step.gaspriceenabled is not None]
    # A transition cannot take back what the key has allowed.
    kept = [(block, on or (begins is not None and block >= begins)) for block, on in switched]
    return tuple(sorted([*kept, *([(begins, True)] if begins is not None else [])]))


def _warnings(config: Mapping[str, Any], read: _Config) -> Iterator[str]:
    for key, reason in _WITHOUT_EFFECT.items():
        value = config.get(key)
        if value is not None and value is not False:
            yield f"config.{key} has no effect: {reason}"
    if read.qbft is not None and read.qbft.maxrequesttimeoutseconds:
        yield "config.qbft.maxRequestTimeoutSeconds has no effect: a round lasts twice as long as the one before"
    if "londonblock" in config:
        yield "config.londonBlock: GoQuorum's nodes end at Berlin. They cannot follow the chain from this block on"
    for step in read.transitions:
        if step.minergaslimit:
            yield f"config.transitions (block {step.block}).miner.gaslimit: own blocks follow the option target-gas-limit"
        for key in step.model_extra or {}:
            reason = _WITHOUT_EFFECT_IN_TRANSITION.get(key, "unknown key")
            yield f"config.transitions (block {step.block}).{key} has no effect: {reason}"
