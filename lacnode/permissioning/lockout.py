"""The lockout check: which administrators can still change the rules.

Such an account is an administrator and may send transactions to the contracts that hold the rules. Without one, no
transaction can change the permissions of the network. This module must not send anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from lacnode.permissioning.abi import (
    ADMIN_NAME,
    RULES_NAME,
    UnexpectedAnswerError,
    decode_node_answer,
    decode_registered_address,
    encode_is_authorized_call,
    encode_registered_call,
)
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.time_limited_reader import TimeLimitedReader
from lacnode.permissioning.transaction_call import UnsignedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import keccak256

ANSWER_SECONDS, ALL_ANSWERS_SECONDS = 2.0, 10.0
"""The time limits of one answer and of all answers of one check."""

CHANGE_GAS = 1_000_000
"""The gas limit of a change. The account rules are asked about a transaction with this limit."""

MAX_ADMINS = 100
"""The largest number of administrators that are checked."""

# lacnode's and Besu's admin contract have `getAdmins()`. LACChain's has `getOwners()`.
_LISTS = (keccak256(b"getAdmins()")[:4], keccak256(b"getOwners()")[:4])


@dataclass(frozen=True, slots=True)
class ChangeSimulation:
    """The result of a simulated change of the rules.

    `succeeds` says whether the transaction of the change succeeds. `admins_able_to_change` are the accounts (20 bytes
    each) that could change the rules on the state after it: the sender and the listed administrators are looked at.
    `has_admin_contract` is False if no account contract is set, or no admin contract is registered after it. In that
    case there is no lockout (`would_lock_out`).
    """

    succeeds: bool
    admins_able_to_change: tuple[bytes, ...]
    has_admin_contract: bool

    @property
    def would_lock_out(self) -> bool:
        """Whether the change succeeds and no administrator could change the rules after it. False without an admin
        contract."""
        # A transaction that fails changes nothing. It must not raise the alarm.
        return self.succeeds and self.has_admin_contract and not self.admins_able_to_change


class PermissionContracts:
    """The ingress contract of `contract` and the contracts that are registered in it, on the state after the block of
    `header`. Each call has `ANSWER_SECONDS`, and all calls together have `ALL_ANSWERS_SECONDS` from the construction
    on. No method raises an error of the contracts: a missing answer counts as a refusal."""

    def __init__(self, reader: ContractReader, contract: AccountContract, header: BlockHeader) -> None:
        # The contracts may be anything, and a hundred administrators are asked about.
        self._reader = TimeLimitedReader(reader, ALL_ANSWERS_SECONDS)
        self._contract = contract
        self._header = header
        self._admin = self._registered(ADMIN_NAME)
        rules = self._registered(RULES_NAME)
        # A change of the rules may need a call of any of the three: a new rules contract is registered in the ingress,
        # a list is in the rules contract, an administrator is in the admin contract.
        self._holders = [holder for holder in (contract.address, rules, self._admin) if holder is not None]

    @property
    def has_admin_contract(self) -> bool:
        """Whether an admin contract is registered. False if the ingress gives no valid answer."""
        return self._admin is not None

    def admins(self) -> tuple[bytes, ...]:
        """Return the administrators (20 bytes each) that the admin contract lists, in its order, at most `MAX_ADMINS`.
        Empty if there is no admin contract, or if it gives no list."""
        # The contract may be any contract. Each list function is tried, and an output that does not decode is skipped.
        for question in _LISTS:
            try:
                (found,) = decode(["address[]"], self._ask(self._admin, question) or b"")
            except (DecodingError, OverflowError, ValueError):
                continue
            return tuple(bytes.fromhex(text[2:]) for text in found[:MAX_ADMINS])
        return ()

    def find_accounts_able_to_change(self, accounts: Sequence[bytes]) -> tuple[bytes, ...]:
        """Return the `accounts` (20 bytes each) that are administrators and may call every contract that holds rules,
        in their order.

        The account contract decides with the gas limit `CHANGE_GAS`. An account is left out if a contract gives no
        answer about it.
        """
        # Both conditions are needed. An administrator that the account rules refuse cannot send the correction.
        return tuple(account for account in accounts if self._is_admin(account) and self._may_call_all(account))

    def _is_admin(self, account: bytes) -> bool:
        try:
            # No answer counts as no. This check warns of a lockout, and a false alarm is the smaller mistake.
            return decode_node_answer(self._ask(self._admin, encode_is_authorized_call(account)) or b"")
        except UnexpectedAnswerError:
            return False

    def _may_call_all(self, account: bytes) -> bool:
        try:
            # All of them, and not any of them: a correction may need each of these contracts.
            return all(
                self._reader.seconds_left > 0
                and self._contract.decide(
                    UnsignedTransaction(to=holder, gas_limit=CHANGE_GAS),
                    account,
                    self._header,
                    min(ANSWER_SECONDS, self._reader.seconds_left),
                ).allowed
                for holder in self._holders
            )
        except ContractUnreadableError:
            return False

    def _registered(self, name: bytes) -> bytes | None:
        try:
            return decode_registered_address(self._ask(self._contract.address, encode_registered_call(name)) or b"")
        except UnexpectedAnswerError:
            return None

    def _ask(self, contract: bytes | None, data: bytes) -> bytes | None:
        if contract is None:
            return None
        try:
            return self._reader.read(contract, data, self._header, ANSWER_SECONDS).output
        except ContractUnreadableError:
            return None
