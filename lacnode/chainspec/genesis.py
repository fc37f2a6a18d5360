"""Reads Besu's genesis file (`GenesisConfigFile`, `JsonGenesisConfigOptions`).

Upper and lower case of keys do not matter, as in Besu. An unknown key is reported and ignored. A wrong value raises
GenesisError, which names the key, the value and the expected form. This file must not guess.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from lacnode.chainspec import bft_sections, goquorum
from lacnode.chainspec.alloc import GenesisAllocation, GenesisAllocationError, genesis_accounts
from lacnode.chainspec.bft_sections import BftSectionError, Ibft1Section, Ibft2Section, QbftSection, TransitionsSection
from lacnode.chainspec.forks import Fork, ForkSchedule
from lacnode.chainspec.genesis_values import (
    Data,
    GenesisSection,
    HexadecimalQuantity,
    JavaLong,
    Long,
    Nonce,
    OptionalAddress,
    Positive,
    PositiveLong,
    Quantity,
    ShortAddress,
    Word,
    parse_integer,
)
from lacnode.chainspec.goquorum import GoQuorumGenesisError, RewrittenConfig
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.chainspec.permissioning_schedule import PermissioningSchedule
from lacnode.chainspec.spec import (
    CANCUN_BLOBS,
    PRAGUE_BLOBS,
    BlobSchedule,
    ChainSpec,
    DevnetRules,
    GenesisAccount,
    GenesisBlock,
    RequestContracts,
)

MAX_GENESIS_FILE_BYTES = 512 * 2**20
"""The largest genesis file. One with a large alloc has hundreds of megabytes."""

INITIAL_BASE_FEE_WEI = 1_000_000_000


class GenesisError(Exception):
    """The genesis is not usable. The text tells the operator what is wrong."""


class _Blobs(GenesisSection):
    target: Positive | None = None
    max: Positive | None = None
    basefeeupdatefraction: Positive | None = None

    def schedule(self, default: BlobSchedule) -> BlobSchedule:
        """What the section says, and `default` for the rest."""
        return BlobSchedule(
            self.target or default.target,
            self.max or default.max,
            self.basefeeupdatefraction or default.base_fee_update_fraction,
        )


class _BlobSchedule(GenesisSection):
    cancun: _Blobs = _Blobs()
    prague: _Blobs = _Blobs()


class _Suspension(GenesisSection):
    fromblock: PositiveLong
    toblock: PositiveLong


class _Permissioning(GenesisSection):
    adminexemptionblock: Long | None = None
    suspensions: tuple[_Suspension, ...] = ()


class _Lacnode(GenesisSection):
    """Settings of lacnode. Besu ignores them."""

    permissioning: _Permissioning = _Permissioning()
    devnet: bool = False
    stateadministrator: OptionalAddress = None


class _Config(GenesisSection):
    chainid: Quantity = 1
    ibft1: Ibft1Section | None = None
    ibft2: Ibft2Section | None = None
    qbft: QbftSection | None = None
    transitions: TransitionsSection = TransitionsSection()
    lacnode: _Lacnode = _Lacnode()
    contractsizelimit: Positive | None = None
    evmstacksize: Annotated[Positive, Field(lt=2**20)] = 1024
    zerobasefee: bool = False
    fixedbasefee: bool = False
    homesteadblock: Long | None = None
    daoforkblock: Annotated[int, BeforeValidator(parse_integer)] | None = None
    eip150block: Long | None = None
    eip158block: Long | None = None
    byzantiumblock: Long | None = None
    constantinopleblock: Long | None = None
    petersburgblock: Long | None = None
    constantinoplefixblock: Long | None = None
    istanbulblock: Long | None = None
    muirglacierblock: Long | None = None
    berlinblock: Long | None = None
    londonblock: Long | None = None
    arrowglacierblock: Long | None = None
    grayglacierblock: Long | None = None
    mergenetsplitblock: Long | None = None
    shanghaitime: Long | None = None
    cancuntime: Long | None = None
    praguetime: Long | None = None
    blobschedule: _BlobSchedule = _BlobSchedule()
    withdrawalrequestcontractaddress: OptionalAddress = None
    consolidationrequestcontractaddress: OptionalAddress = None
    depositcontractaddress: OptionalAddress = None


class _Genesis(GenesisSection):
    config: _Config
    difficulty: HexadecimalQuantity
    gaslimit: JavaLong
    timestamp: JavaLong = 0
    extradata: Data = b""
    mixhash: Word = bytes(32)
    parenthash: Word = bytes(32)
    nonce: Nonce = 0
    coinbase: ShortAddress = bytes(20)
    basefeepergas: JavaLong | None = None
    blobgasused: JavaLong = 0
    excessblobgas: JavaLong = 0
    parentbeaconblockroot: Word = bytes(32)
    alloc: dict[str, GenesisAllocation] = Field(default_factory=dict)


# Two keys for Petersburg: Besu's own name, and the one of geth.
_BLOCK_FORKS: tuple[tuple[str, Fork], ...] = (
    ("homesteadblock", Fork.HOMESTEAD),
    ("eip150block", Fork.TANGERINE_WHISTLE),
    ("eip158block", Fork.SPURIOUS_DRAGON),
    ("byzantiumblock", Fork.BYZANTIUM),
    ("constantinopleblock", Fork.CONSTANTINOPLE),
    ("petersburgblock", Fork.PETERSBURG),
    ("constantinoplefixblock", Fork.PETERSBURG),
    ("istanbulblock", Fork.ISTANBUL),
    ("muirglacierblock", Fork.MUIR_GLACIER),
    ("berlinblock", Fork.BERLIN),
    ("londonblock", Fork.LONDON),
)
_TIME_FORKS = (("shanghaitime", Fork.SHANGHAI), ("cancuntime", Fork.CANCUN), ("praguetime", Fork.PRAGUE))
# The order in which Besu's `ProtocolScheduleBuilder` compares them. Forks that change nothing here count, too.
_IN_ORDER = (
    *("homesteadblock", "daoforkblock", "eip150block", "eip158block", "byzantiumblock", "constantinopleblock"),
    *("petersburgblock", "constantinoplefixblock", "istanbulblock", "muirglacierblock", "berlinblock", "londonblock"),
    *("arrowglacierblock", "grayglacierblock", "shanghaitime", "cancuntime", "praguetime"),
)
_ID_ONLY_BLOCKS = ("daoforkblock", "arrowglacierblock", "grayglacierblock", "mergenetsplitblock")

_HARMLESS = frozenset(
    [
        *("comment", "version", "number", "gasused", "discovery", "checkpoint"),
        *("eip155block", "eip155hash", "eip150hash", "ecip1017eraround", "terminaltotaldifficulty", "eccurve"),
        "privatekey",
    ]
)
"""Keys that Besu reads, or that genesis files often have, and that change nothing in this node."""


def load_genesis(path: Path) -> ChainSpec:
    """Read the genesis file at `path`. Raises GenesisError, which names the file, if it cannot be read, is too large,
    is not JSON, has `alloc` twice, or is refused by `parse_genesis`. `warnings` of the result name unknown keys, keys
    without an effect, and keys that are given twice."""
    try:
        with path.open("rb") as file:
            # With a bound, and not by the size that the system tells: the file could be a device without an end.
            data = file.read(MAX_GENESIS_FILE_BYTES + 1)
        if len(data) > MAX_GENESIS_FILE_BYTES:
            raise GenesisError(f"larger than {MAX_GENESIS_FILE_BYTES} bytes")
        text = data.decode("utf-8")
        # orjson refuses deep nesting, which would crash Python's own reader. Python's reader keeps numbers above 64 bits.
        orjson.loads(text)
        repeated: set[str] = set()
        document = json.loads(text, object_pairs_hook=partial(_last_of_each, repeated))
    except OSError as error:
        raise GenesisError(f"Unable to load genesis file. {path}: {error.strerror}") from None
    except GenesisError as error:
        raise GenesisError(f"Unable to load genesis file. {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise GenesisError(f"Unable to parse genesis file {path}. It is not JSON: {error}") from None
    try:
        spec = parse_genesis(document)
    except GenesisError as error:
        raise GenesisError(f"Unable to load genesis file. {path}: {error}") from None
    twice = tuple(
        f"{key[:80]} is given twice in one object: the last one counts, as in Besu" for key in sorted(repeated)
    )
    return replace(spec, warnings=(*spec.warnings, *twice))


def parse_genesis(document: Mapping[str, Any]) -> ChainSpec:
    """The specification in a genesis document: JSON as Python objects. The case of keys does not matter. Raises
    GenesisError if a value is wrong or missing, if values contradict each other, or if this node cannot run such a
    network. The text names the key. `warnings` of the result name unknown keys, and keys without an effect."""
    if not isinstance(document, Mapping):
        raise GenesisError(f"a JSON object was expected, not {type(document).__name__}")
    lowered = _lower_keys(document)
    # Before the validation: with another engine, the first missing key of `ibft2` would be a confusing error.
    quorum = _from_goquorum(lowered.get("config"))
    if quorum is not None:
        lowered["config"] = quorum.config
    _check_engine(lowered.get("config"))
    lowered.setdefault("gaslimit", lowered.pop("gastarget", None))
    try:
        genesis = _Genesis.model_validate(lowered)
    except ValidationError as error:
        raise GenesisError(_first_error_text(error)) from None
    config = genesis.config
    if config.constantinoplefixblock is not None and config.petersburgblock is not None:
        raise GenesisError("config.petersburgBlock and config.constantinopleFixBlock are the same; give one")
    _check_order(config)
    block = _block(genesis)
    schedule, protocols = _consensus(config, block.alloc)
    # The original spelling is kept for `admin_nodeInfo`, which shows the object as it was written.
    written: Mapping[str, object] = next((value for key, value in document.items() if key.lower() == "config"), {})
    return ChainSpec(
        chain_id=config.chainid,
        network_id=config.chainid,
        forks=_forks(config, genesis.timestamp, () if quorum is None else quorum.rules.fork_id_blocks),
        contract_size_limit=config.contractsizelimit,
        evm_stack_size=config.evmstacksize,
        zero_base_fee=config.zerobasefee,
        constant_base_fee=0 if config.zerobasefee or config.fixedbasefee else None,
        ibft=schedule,
        protocols=protocols,
        genesis=block,
        config_document=written,
        warnings=(*(() if quorum is None else quorum.warnings), *_warnings(genesis, lowered)),
        request_contracts=_request_contracts(config),
        blob_schedules=(
            config.blobschedule.cancun.schedule(CANCUN_BLOBS),
            config.blobschedule.prague.schedule(PRAGUE_BLOBS),
        ),
        permissioning=_permissioning(config.lacnode.permissioning),
        devnet=_devnet(config.lacnode),
        goquorum=None if quorum is None else quorum.rules,
    )


def _from_goquorum(config: object) -> RewrittenConfig | None:
    """The rewritten `config` of a GoQuorum network, None for another one."""
    if not isinstance(config, Mapping) or not goquorum.is_goquorum(config):
        return None
    try:
        return goquorum.rewrite_goquorum_config(config)
    except GoQuorumGenesisError as error:
        raise GenesisError(str(error)) from None


def _devnet(section: _Lacnode) -> DevnetRules | None:
    if section.devnet:
        return DevnetRules(section.stateadministrator)
    if section.stateadministrator is not None:
        raise GenesisError(
            "config.lacnode.stateAdministrator: only a devnet may have an account that changes the state of others "
            "(config.lacnode.devnet)"
        )
    return None


def _permissioning(section: _Permissioning) -> PermissioningSchedule:
    spans = tuple((step.fromblock, step.toblock) for step in section.suspensions)
    for first, last in spans:
        if last < first:
            raise GenesisError(
                f"config.lacnode.permissioning.suspensions: toBlock {last} must not be before fromBlock {first}"
            )
    return PermissioningSchedule(section.adminexemptionblock, spans)


def _last_of_each(repeated: set[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One JSON object. Keys in `pairs` may differ in case only. Of equal keys the last one counts, at its own place.

    Equal keys are added to `repeated`. Raises GenesisError for two lists of accounts: releases of Besu use different ones.
    """
    # The old entry is removed first, so that the new one has its own place in the order.
    kept: dict[str, tuple[str, Any]] = {}
    for key, item in pairs:
        if kept.pop(key.lower(), None) is not None:
            repeated.add(key)
        kept[key.lower()] = key, item
    if any(key.lower() == "alloc" for key in repeated):
        raise GenesisError("alloc is given twice; leave the one that counts")
    return dict(kept.values())


def _lower_keys(value: Any, depth: int = 0, keeps_null: bool = False) -> Any:
    """The document with all keys in lower case, as Besu compares them.

    A null is left out, except in `alloc`, where Besu refuses it. Raises GenesisError for too deep nesting.
    """
    # The depth is bounded here, too: `parse_genesis` may get a document that no JSON reader has checked.
    if isinstance(value, Mapping):
        if depth > 20:
            raise GenesisError("nested deeper than any genesis is")
        found = [(str(key).lower(), item) for key, item in value.items() if item is not None or keeps_null]
        lowered = [(key, _lower_keys(item, depth + 1, keeps_null or key == "alloc")) for key, item in found]
        return _last_of_each(set(), lowered)
    if isinstance(value, list):
        return [_lower_keys(item, depth + 1, keeps_null) for item in value]
    return value


def _check_engine(config: object) -> None:
    if not isinstance(config, Mapping):
        raise GenesisError("the object `config` is missing")
    try:
        bft_sections.check_consensus_sections(config)
    except BftSectionError as error:
        raise GenesisError(str(error)) from None
    # Another curve would give other addresses for all keys.
    curve = config.get("eccurve", "secp256k1")
    if curve != "secp256k1":
        raise GenesisError(f"config.ecCurve: this node signs with secp256k1 only (given: {str(curve)[:80]!r})")


def _first_error_text(error: ValidationError) -> str:
    """The first error of pydantic as a sentence."""
    # One error at a time: a wrong key often causes several errors, and the first one is the cause.
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "missing" else f" (given: {str(first['input'])[:80]!r})"
    return f"{place}: {message}{given}"


def _check_order(config: _Config) -> None:
    """Check that each fork starts at the block of the one before, or later (Besu's `ProtocolScheduleBuilder`)."""
    last, last_name = 0, ""
    # Forks by time are compared with forks by block, too: a timestamp is always larger than a block number.
    for name in _IN_ORDER:
        begins = getattr(config, name)
        if begins is None or (name == "daoforkblock" and begins <= 0):
            continue
            # Besu allows -1 for the DAO fork, as a sign that it never starts.
        if begins < last:
            raise GenesisError(f"config.{name} is {begins}, but must not be before config.{last_name} ({last})")
        last, last_name = begins, name


def _forks(config: _Config, timestamp: int, more_id_blocks: tuple[int, ...]) -> ForkSchedule:
    def places(names: tuple[str, ...]) -> list[int]:
        # The fork id counts each place once, however many forks start there.
        values = (getattr(config, name) for name in names)
        return sorted({value for value in values if value is not None})

    by_block = tuple((getattr(config, name), fork) for name, fork in _BLOCK_FORKS if getattr(config, name) is not None)
    by_time = tuple((getattr(config, name), fork) for name, fork in _TIME_FORKS if getattr(config, name) is not None)
    id_blocks = places((*(name for name, _ in _BLOCK_FORKS), *_ID_ONLY_BLOCKS))
    id_times = places(tuple(name for name, _ in _TIME_FORKS))
    return ForkSchedule(
        by_block,
        by_time,
        # A fork that the genesis block has passed already does not count (EIP-2124, EIP-6122).
        tuple(sorted({place for place in (*id_blocks, *more_id_blocks) if place > 0})),
        tuple(place for place in id_times if place > timestamp),
    )


def _consensus(config: _Config, alloc: Iterable[GenesisAccount]) -> tuple[IbftSchedule, tuple[tuple[int, str], ...]]:
    """The parameters by height, and the names of the protocols by height."""
    try:
        schedule = bft_sections.parameters_by_height(config.ibft1 or config.ibft2, config.qbft, config.transitions)
        protocols = bft_sections.protocols_by_height(config.ibft1 or config.ibft2, config.qbft)
    except BftSectionError as error:
        raise GenesisError(str(error)) from None
    contract = schedule.parameters_at(1).validator_contract
    if contract is not None and not any(account.address == contract and account.code for account in alloc):
        # Without validators there is no block 1, and no block that could deploy the contract.
        raise GenesisError(
            f"config.qbft.validatorContractAddress: alloc has no code at 0x{contract.hex()}, so block 1 has no validators"
        )
    return schedule, protocols


def _request_contracts(config: _Config) -> RequestContracts | None:
    """The contracts that Prague needs. Raises GenesisError, like Besu 25.5, if the genesis does not name all three."""
    if config.praguetime is None:
        return None
    withdrawal, consolidation = config.withdrawalrequestcontractaddress, config.consolidationrequestcontractaddress
    if withdrawal is None or consolidation is None or config.depositcontractaddress is None:
        raise GenesisError(
            "config.pragueTime needs config.withdrawalRequestContractAddress, "
            "config.consolidationRequestContractAddress and config.depositContractAddress"
        )
    return RequestContracts(withdrawal, consolidation, config.depositcontractaddress)


def _block(genesis: _Genesis) -> GenesisBlock:
    config = genesis.config

    def active(time: int | None) -> bool:
        return time is not None and time <= genesis.timestamp

    london = config.londonblock == 0
    return GenesisBlock(
        parent_hash=genesis.parenthash,
        coinbase=genesis.coinbase,
        difficulty=genesis.difficulty,
        gas_limit=genesis.gaslimit,
        timestamp=genesis.timestamp,
        extra_data=genesis.extradata,
        mix_hash=genesis.mixhash,
        nonce=genesis.nonce.to_bytes(8),
        base_fee=genesis.basefeepergas
        if genesis.basefeepergas is not None
        else INITIAL_BASE_FEE_WEI
        if london
        else None,
        shanghai=active(config.shanghaitime),
        cancun=active(config.cancuntime),
        prague=active(config.praguetime),
        alloc=_alloc(genesis.alloc),
        blob_gas_used=genesis.blobgasused,
        excess_blob_gas=genesis.excessblobgas,
        parent_beacon_block_root=genesis.parentbeaconblockroot,
    )


def _alloc(alloc: Mapping[str, GenesisAllocation]) -> tuple[GenesisAccount, ...]:
    try:
        return genesis_accounts(alloc)
    except GenesisAllocationError as error:
        raise GenesisError(str(error)) from None


def _warnings(genesis: _Genesis, lowered: Mapping[str, Any]) -> Iterator[str]:
    if "transitions" in lowered:
        yield "`transitions` is outside `config`. Besu and this node do not look there, so it has no effect"
    config = genesis.config
    yield from bft_sections.ineffective_key_warnings(config.ibft2, config.qbft, config.transitions)
    sections: list[tuple[str, BaseModel]] = [
        ("", genesis),
        ("config.", genesis.config),
        ("config.lacnode.", genesis.config.lacnode),
        ("config.lacnode.permissioning.", genesis.config.lacnode.permissioning),
        *(
            ("config.lacnode.permissioning.suspensions.", step)
            for step in genesis.config.lacnode.permissioning.suspensions
        ),
        *_consensus_sections(genesis.config),
    ]
    # An unknown key is no error in Besu, but it is often a misspelt one.
    for place, section in sections:
        for key in section.model_extra or {}:
            if key not in _HARMLESS and key != "transitions":
                yield f"unknown key {place}{key}: it has no effect"


def _consensus_sections(config: _Config) -> Iterator[tuple[str, BaseModel]]:
    for name, section in (("ibft2", config.ibft2), ("qbft", config.qbft)):
        if section is not None:
            yield f"config.{name}.", section
    yield "config.transitions.", config.transitions
    steps = [
        *(("ibft2", step) for step in config.transitions.ibft2),
        *(("qbft", step) for step in config.transitions.qbft),
    ]
    for name, step in steps:
        yield f"config.transitions.{name} (block {step.block}): ", step
