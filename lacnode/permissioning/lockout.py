"""Who can still change the rules: the accounts that are administrators and may send to the contracts that hold the rules.

If there is none, the network's permissions cannot be changed by a transaction any more. Must not send anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from lacnode.permissioning.abi import (
    ADMIN_NAME,
    IS_AUTHORIZED,
    RULES_NAME,
    UnexpectedAnswerError,
    decode_address,
    decode_node_answer,
    encode_registered_call,
)
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

ANSWER_SECONDS = 2.0
CHANGE_GAS = 1_000_000
"""Gas limit of a change, as the rules are asked about it."""

MAX_ADMINS = 100
"""Administrators that are looked at."""

_LISTS = (keccak256(b"getAdmins()")[:4], keccak256(b"getOwners()")[:4])


@dataclass(frozen=True, slots=True)
class ChangeSimulation:
    """What a change of the rules would lead to: whether its transaction succeeds, and which administrators could still
    change the rules after it. `can_lock_out` is False where there is no admin contract, so that nobody can be locked out."""

    succeeds: bool
    can_change: tuple[bytes, ...]
    can_lock_out: bool

    @property
    def locks_out(self) -> bool:
        """Whether no administrator could change the rules any more."""
        return self.succeeds and self.can_lock_out and not self.can_change


class PermissionContracts:
    """The ingress at an address and the contracts that are registered in it, as of the state after `header`."""

    def __init__(self, reader: ContractReader, contract: AccountContract, header: BlockHeader) -> None:
        self._reader = reader
        self._contract = contract
        self._header = header
        self._admin = self._registered(ADMIN_NAME)
        rules = self._registered(RULES_NAME)
        self._holders = [holder for holder in (contract.address, rules, self._admin) if holder is not None]

    @property
    def has_admins(self) -> bool:
        """Whether an admin contract is registered."""
        return self._admin is not None

    def admins(self) -> tuple[bytes, ...]:
        """The administrators that the admin contract lists; empty if it lists none."""
        for question in _LISTS:
            try:
                (found,) = decode(["address[]"], self._ask(self._admin, question) or b"")
            except (DecodingError, OverflowError, ValueError):
                continue
            return tuple(bytes.fromhex(text[2:]) for text in found[:MAX_ADMINS])
        return ()

    def find_accounts_able_to_change(self, accounts: Sequence[bytes]) -> tuple[bytes, ...]:
        """Those of `accounts` that are administrators and may call every contract that holds rules."""
        return tuple(account for account in accounts if self._is_admin(account) and self._may_call_all(account))

    def _is_admin(self, account: bytes) -> bool:
        try:
            return decode_node_answer(self._ask(self._admin, IS_AUTHORIZED + account.rjust(32, b"\0")) or b"")
        except UnexpectedAnswerError:
            return False

    def _may_call_all(self, account: bytes) -> bool:
        try:
            return all(
                self._contract.decide(
                    UnsignedTransaction(to=holder, gas_limit=CHANGE_GAS), account, self._header, ANSWER_SECONDS
                ).allowed
                for holder in self._holders
            )
        except ContractUnreadableError:
            return False

    def _registered(self, name: bytes) -> bytes | None:
        try:
            return decode_address(self._ask(self._contract.address, encode_registered_call(name)) or b"")
        except UnexpectedAnswerError:
            return None

    def _ask(self, contract: bytes | None, data: bytes) -> bytes | None:
        if contract is None:
            return None
        try:
            return self._reader.read(contract, data, self._header, ANSWER_SECONDS).output
        except ContractUnreadableError:
            return None
