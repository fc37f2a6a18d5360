"""Compares the stored chain with the rules of the genesis file about consensus, at every start.

The genesis hash does not cover `config`. A file that was edited below the head would otherwise give old blocks to another
protocol or to other validators, and the node could neither read nor continue its chain. This file must not repair anything.
"""

from collections.abc import Iterable

from lacnode.chain.block_errors import WrongGenesisError
from lacnode.chain.chain_store import StoredChain
from lacnode.chain.executable_chain import ExecutableChain
from lacnode.chainspec.ibft_schedule import IbftSchedule
from lacnode.consensus.bft.header_rules import (
    MalformedExtraDataError,
    WrongSealsError,
    WrongValidatorsError,
    check_seals,
)
from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError
from lacnode.storage.database import Database
from lacnode.storage.storage_errors import StorageCorruptError

_REMEDY = "the genesis file was changed below the head; put back what it said, nothing was written"


def check_stored_block_forms(database: Database, protocols: ProtocolSchedule) -> None:
    """Return if the stored blocks have the form of their `protocols`, those of the genesis file. Raises
    WrongGenesisError, with block and rule, otherwise. Damage is ignored here, and nothing is written.

    It reads the blocks at which the protocol changes, the blocks before them, and the head. Between two changes all
    blocks have one form. Raises StorageError.
    """
    try:
        with database.read() as snapshot:
            stored = StoredChain(snapshot)
            hash_ = stored.head_hash()
            head = None if hash_ is None else stored.header_of(hash_)
            for number in [] if head is None else _places((height for height, _ in protocols.steps), head.number):
                _check_form(protocols, stored.header_at(number))
    except StorageCorruptError:
        # The repair of the database deals with damage, and it needs a node that starts.
        return


def check_stored_validators(chain: ExecutableChain, head: BlockHeader) -> None:
    """Return if the blocks up to `head` list validators as the genesis file says. Raises WrongGenesisError, with block
    and rule, otherwise. Damage is ignored here. Headers by GoQuorum's rules may list other validators, so their lists
    are not compared: if `head` is one, its seals are compared with the validators.

    It reads the blocks at which the file changes a parameter of consensus or the validators, the blocks before them,
    and the head. Raises StorageError.
    """
    schedule = chain.spec.ibft
    begins = [height for height, _ in (*schedule.steps, *schedule.overrides)]
    try:
        for number in _places(begins, head.number):
            header = chain.header_at(number)
            # Block 0 may list validators although a contract names those of block 1.
            if header is not None and number > 0 and not schedule.parameters_at(number).follows_goquorum:
                _check_listed(schedule, number, chain.protocols.extra_data(header).validators)
        _check_head(chain, head)
    except (StorageCorruptError, KeyError):
        # A damaged or missing header: see `check_stored_block_forms`.
        return


def _places(begins: Iterable[int], last: int) -> list[int]:
    """The blocks to read, ascending, so that the first wrong one is named."""
    return sorted({number for height in begins for number in (height - 1, height) if 0 <= number <= last} | {last})


def _check_form(protocols: ProtocolSchedule, header: BlockHeader | None) -> None:
    # Block 0 is compared by its hash (`open_or_store_genesis`). A missing header is damage.
    if header is None or header.number == 0:
        return
    try:
        protocols.extra_data(header)
    except RlpError as error:
        raise _refusal(header.number, MalformedExtraDataError.rule, str(error)) from None


def _check_listed(schedule: IbftSchedule, number: int, listed: tuple[bytes, ...]) -> None:
    rule, override = WrongValidatorsError.rule, schedule.validators_replaced_at(number)
    by_contract = schedule.parameters_at(number).validator_contract is not None
    if by_contract and listed:
        raise _refusal(number, rule, "its header lists validators, and by the genesis file a contract names them")
    if not by_contract and not listed:
        raise _refusal(number, rule, "its header lists no validators, and by the genesis file no contract names them")
    # The vote in the block before counts on top of a transition, so a set may differ by one validator.
    if override is not None and len(set(override) ^ set(listed)) > 1:
        raise _refusal(number, rule, "its header lists other validators than the transition of this block")


def _check_head(chain: ExecutableChain, head: BlockHeader) -> None:
    """Compare the validators that the head lists with those by votes and transitions up to its parent."""
    parent = chain.header_at(head.number - 1) if head.number else None
    parameters = chain.spec.ibft.parameters_at(head.number)
    if parent is None:
        return
    if parameters.follows_goquorum:
        _check_sealers(chain, head, parent)
        return
    if parameters.validator_contract is not None:
        return
    if chain.tally_after(parent).validators != chain.protocols.extra_data(head).validators:
        text = "its header lists other validators than the votes and transitions before it give"
        raise _refusal(head.number, WrongValidatorsError.rule, text)


def _check_sealers(chain: ExecutableChain, head: BlockHeader, parent: BlockHeader) -> None:
    """Compare the seals of the head with the validators. On GoQuorum's chains the list in a header may be false."""
    try:
        check_seals(chain.protocols.protocol_at(head.number), head, chain.validators_after(parent))
    except WrongSealsError as error:
        raise _refusal(head.number, error.rule, str(error)) from None


def _refusal(number: int, rule: str, text: str) -> WrongGenesisError:
    return WrongGenesisError(f"block {number} breaks the rule {rule}: {text} ({_REMEDY})")
