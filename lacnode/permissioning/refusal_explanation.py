"""Explains why a rules contract refuses a connection or a transaction. The contract is asked more than the one
question whose answer is yes or no.

lacnode's own rules contracts name the rule. Besu's standard contracts and LACChain's show their lists. For any other
contract there is only the answer. An explanation takes several calls. It is for refusals that people read, and not for
every transaction.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from lacnode.p2p.wire.enode import Enode, url_host
from lacnode.permissioning.abi import (
    RULES_NAME,
    UnexpectedAnswerError,
    UnsupportedNodeError,
    decode_ip,
    decode_registered_address,
    encode_enode_words,
    encode_node_call,
    encode_registered_call,
    encode_transaction_call,
)
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.listed_nodes import Ask, read_node_count, read_node_entries
from lacnode.permissioning.time_limited_reader import TimeLimitedReader
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

T = TypeVar("T")

EXPLANATION_SECONDS = 2.0
"""The time limit of one call."""

ALL_CALLS_SECONDS = 5.0
"""The time limit of all calls of one explanation."""

SILENCE_SECONDS = 60.0
"""The time in which a contract is not asked after an explanation that took all its time."""

OWN_CONNECTION = keccak256(
    b"connectionDecision(bytes32,bytes32,bytes16,uint16,bytes32,bytes32,bytes16,uint16)"
)[:4]  # fmt: skip
OWN_TRANSACTION = keccak256(b"transactionDecision(address,address,uint256,uint256,uint256,bytes)")[:4]
NODE_OF = keccak256(b"nodeOf(bytes32,bytes32)")[:4]
ENODE_LISTED_V1, ENODE_LISTED_V2 = bytes.fromhex("296453cd"), bytes.fromhex("88c3ca4e")
ACCOUNT_LISTED = (bytes.fromhex("0f68f0b3"), bytes.fromhex("b5a68b92"))
TARGET_LISTED = bytes.fromhex("9b1877ad")

WORDS_ENTRY = 4 * 32
"""The least size of an entry of interface 1: two words of the id, the address, the port."""

MAX_HOST_CHARACTERS = 253
"""The longest host of an entry of interface 2, which is the longest name in DNS. A longer one is no host."""

LACCHAIN_GAS, LACCHAIN_GAS_PER_BYTE = 300_000, 105
LACCHAIN_RELAY = (bytes.fromhex("1416862c"), bytes.fromhex("3ef54cef"))
"""`relayMetaTx` and `deployMetaTx`. LACChain's rules check their arguments."""


class RefusalExplainer:
    """Explains the refusals of the contract at `address` (20 bytes): an ingress contract or the rules contract itself.
    It asks the contract on the state after the block of `header`. Each call has `EXPLANATION_SECONDS`, and an explanation
    has `ALL_CALLS_SECONDS`. A contract that needed more is not asked for `SILENCE_SECONDS`. No method raises an error of
    the contract. Safe to use from several threads. `clock` returns monotonic seconds.
    """

    def __init__(self, reader: ContractReader, address: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._address = address
        self._clock = clock
        self._silent_until_seconds = -math.inf

    def explain_connection(self, refusal: Decision, source: Enode, destination: Enode, header: BlockHeader) -> Decision:
        """Return a copy of `refusal` with the reasons of the rules contract about the two nodes. Its `source` is then
        the rules contract. If no reason is found, also because no question is answered in time, the `reason` of the
        copy says that both nodes may be listed, but not in groups that may connect.

        The contract is asked on the state after the block of `header`. If the ingress has no rules contract, the copy
        has its `reason` lengthened by that, and the `source` of `refusal`. `refusal` itself if the contract was slow
        lately.
        """
        return self._within_time(
            lambda questions: questions.explain_connection(refusal, source, destination, header), refusal
        )

    def explain_transaction(
        self, refusal: Decision, transaction: TransactionCall, sender: bytes, header: BlockHeader
    ) -> Decision:
        """Return a copy of `refusal` with the reasons of the rules contract about the sender (20 bytes), the target,
        the price and the gas. Its `source` is then the rules contract.

        The contract is asked on the state after the block of `header`. `refusal` itself if no reason is found, if no
        question is answered in time, or if the contract was slow lately. If the ingress has no rules contract, the copy
        has its `reason` lengthened by that, and the `source` of `refusal`.
        """
        return self._within_time(
            lambda questions: questions.explain_transaction(refusal, transaction, sender, header), refusal
        )

    def find_other_listed_address(self, enode: Enode, header: BlockHeader) -> str | None:
        """Return the `host:port` at which lacnode's own rules contract lists the id of `enode`, if `enode` has another
        host or port. None if they are equal, the id is not listed, the rules are not lacnode's, the contract gives no
        answer, or it was slow lately.

        These rules decide by the id alone. A difference is a hint that the node has moved.
        """
        return self._within_time(lambda questions: questions.find_other_listed_address(enode, header), None)

    def _within_time(self, explain: Callable[["_Questions"], T], otherwise: T) -> T:
        # Each refused connection of a stranger is explained, before the next connection is decided about. A slow list of
        # 500 entries would hold up all others for a quarter of an hour each time.
        if self._clock() < self._silent_until_seconds:
            return otherwise
        reader = TimeLimitedReader(self._reader, ALL_CALLS_SECONDS, self._clock)
        try:
            return explain(_Questions(reader, self._address))
        finally:
            if not reader.seconds_left:
                self._silent_until_seconds = self._clock() + SILENCE_SECONDS


class _Questions:
    """The questions of one explanation to the contract at `address` (20 bytes). See `RefusalExplainer`."""

    def __init__(self, reader: ContractReader, address: bytes) -> None:
        self._reader = reader
        self._address = address

    def explain_connection(self, refusal: Decision, source: Enode, destination: Enode, header: BlockHeader) -> Decision:
        rules = self._rules(header)
        if rules is None:
            return _no_rules(refusal)
        # lacnode's own rules name the rule that refused. With other rules the reasons are found by more questions, and
        # they are guesses: each sentence says a fact that is true of the lists.
        own = self._own_connection(rules, source, destination, header)
        reasons = [own] if own else list(self._connection_reasons(rules, source, destination, header))
        return _explained(refusal, rules, reasons)

    def explain_transaction(
        self, refusal: Decision, transaction: TransactionCall, sender: bytes, header: BlockHeader
    ) -> Decision:
        rules = self._rules(header)
        if rules is None:
            return _no_rules(refusal)
        # The arguments are those of `transactionAllowed`. Only the selector differs, so the encoding is used again.
        own = self._own_rule_sentence(rules, OWN_TRANSACTION + encode_transaction_call(transaction, sender)[4:], header)
        reasons = [own] if own else list(self._transaction_reasons(rules, transaction, sender, header))
        return _explained(refusal, rules, reasons)

    def find_other_listed_address(self, enode: Enode, header: BlockHeader) -> str | None:
        rules = self._rules(header)
        output = None if rules is None else self._ask(rules, NODE_OF + enode.id, header)
        if output is None or len(output) != 5 * 32 or not any(output[:32]):
            return None
        listed = _host_and_port(output[96:160])
        return None if listed == enode.host_and_port else listed

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, contract: bytes, data: bytes, header: BlockHeader) -> bytes | None:
        """Return the output, None if the contract does not have the function or gives no answer."""
        try:
            return self._reader.read(contract, data, header, EXPLANATION_SECONDS).output
        except ContractUnreadableError:
            return None

    def _says_no(self, contract: bytes, data: bytes, header: BlockHeader) -> bool:
        # A missing function is neither yes nor no. Only the exact word for `false` is an answer of no.
        return self._ask(contract, data, header) == bytes(32)

    def _rules(self, header: BlockHeader) -> bytes | None:
        """Return the contract that is registered in the ingress. The address itself if it is not an ingress."""
        output = self._ask(self._address, encode_registered_call(RULES_NAME), header)
        if output is None:
            return self._address
        try:
            return decode_registered_address(output)
        except UnexpectedAnswerError:
            return self._address

    def _own_rule_sentence(self, rules: bytes, data: bytes, header: BlockHeader) -> str | None:
        """Return the sentence for the rule that one of lacnode's own contracts names."""
        output = self._ask(rules, data, header)
        if output is None or len(output) != 64 or any(output[:32]):
            return None
        # The contract gives the name of the rule as text in a word. A future contract may have a new name.
        word = output[32:].rstrip(b"\0").decode("ascii", "replace")
        return OWN_RULES.get(word, f"the contract's rule {word!r} refuses")

    # -- connections ---------------------------------------------------------------------------------------------------

    def _own_connection(self, rules: bytes, source: Enode, destination: Enode, header: BlockHeader) -> str | None:
        try:
            data = OWN_CONNECTION + encode_enode_words(source) + encode_enode_words(destination)
        except UnsupportedNodeError:
            return None
        return self._own_rule_sentence(rules, data, header)

    def _connection_reasons(
        self, rules: bytes, source: Enode, destination: Enode, header: BlockHeader
    ) -> Iterator[str]:
        unlisted = [enode for enode in (source, destination) if self._is_unlisted(rules, enode, header)]
        for enode in unlisted:
            elsewhere = self._listed_host_and_port(rules, enode.id, header)
            # An address that changed is the most frequent cause of a refusal, so the listed address is shown.
            hint = f"; its key is listed with {elsewhere}" if elsewhere else ""
            yield f"{enode.short_text} is not in the contract's list with this address and port{hint}"
        if not unlisted:
            yield "both nodes may be listed, but not in groups that may connect"

    def _is_unlisted(self, rules: bytes, enode: Enode, header: BlockHeader) -> bool:
        """Return True if the contract's list does not have the node with this address and port.

        LACChain's rules have no function for this question, so the list itself is read.
        """
        try:
            if self._says_no(rules, ENODE_LISTED_V1 + encode_enode_words(enode), header):
                return True
        except UnsupportedNodeError:
            return False
        if self._says_no(rules, ENODE_LISTED_V2 + encode_node_call(enode)[4:], header):
            return True
        place = self._listed_host_and_port(rules, enode.id, header)
        # An empty list is no answer: the contract may have no such list.
        return read_node_count(self._asker(rules, header)) > 0 and place != enode.host_and_port

    def _asker(self, rules: bytes, header: BlockHeader) -> Ask:
        return lambda data: self._ask(rules, data, header)

    def _listed_host_and_port(self, rules: bytes, id_: bytes, header: BlockHeader) -> str | None:
        """Return the `host:port` that the list has for the node `id_` (64 bytes). None if the list does not have it."""
        # The entry has the form of interface 1 (words) or of interface 2 (ABI strings). Which one is not known here.
        for entry in read_node_entries(self._asker(rules, header)):
            if entry[:64] == id_ and len(entry) >= WORDS_ENTRY:
                return _host_and_port(entry[64:128])
            # An entry of another form is skipped. A list may mix old and new entries after a migration.
            try:
                listed, host, port = decode(["string", "string", "uint16"], entry)
            except (DecodingError, OverflowError, ValueError):
                continue
            if listed.lower() == id_.hex() and len(host) <= MAX_HOST_CHARACTERS and host.isprintable():
                return f"{host}:{port}"
        return None

    # -- transactions --------------------------------------------------------------------------------------------------

    def _transaction_reasons(
        self, rules: bytes, transaction: TransactionCall, sender: bytes, header: BlockHeader
    ) -> Iterator[str]:
        # Besu's and LACChain's rules have different functions for the same question. A missing function gives no answer,
        # so both can be asked.
        account = encode(["address"], [sender])
        if any(self._says_no(rules, selector + account, header) for selector in ACCOUNT_LISTED):
            yield f"{to_hex(sender)} is not in the contract's list of accounts"
        # Only LACChain's rules have a list of targets. Their other rules (price, gas, relay) are checked only if the
        # contract shows by this answer that it is LACChain's. On another network they would be false reasons.
        target = transaction.to or bytes(20)
        knows_target = self._ask(rules, TARGET_LISTED + encode(["address"], [target]), header)
        if knows_target is not None:
            yield from _lacchain_reasons(transaction, target, knows_target)


def _lacchain_reasons(transaction: TransactionCall, target: bytes, knows_target: bytes) -> Iterator[str]:
    if knows_target == bytes(32):
        what = "the creation of contracts" if transaction.to is None else f"the target {to_hex(target)}"
        yield f"{what} is not in the contract's list of targets"
    if transaction.gas_price:
        yield f"the gas price must be 0 and is {transaction.gas_price}"
    least = len(transaction.data) * LACCHAIN_GAS_PER_BYTE + LACCHAIN_GAS
    if transaction.gas_limit < least:
        yield f"the gas limit must be at least {least} for this payload and is {transaction.gas_limit}"
    if transaction.data[:4] in LACCHAIN_RELAY:
        yield "a relayed transaction must name its gas limit, this sender as its node, and a time that has not passed"


OWN_RULES = {
    "source-unlisted": "the connecting node's key is not in the contract's list",
    "target-unlisted": "the other node's key is not in the contract's list",
    "source-denied": "the connecting node is on the contract's list of denied nodes",
    "target-denied": "the other node is on the contract's list of denied nodes",
    "groups-apart": "the two nodes are in groups that may not connect",
    "source-address": "the connecting node's address or port is not the listed one, and the contract insists on it",
    "target-address": "the other node's address or port is not the listed one, and the contract insists on it",
    "sender-unlisted": "the sender is not in the contract's list of accounts",
    "no-deploy-right": "the sender may not create contracts",
    "target-not-allowed": "the target is not in the contract's list of targets",
    "gas-ceiling": "the gas limit is above the contract's ceiling",
}
"""The sentence for each rule name of lacnode's own contracts."""


def _no_rules(refusal: Decision) -> Decision:
    return replace(refusal, reason=f"{refusal.reason}: no rules are registered in it")


def _explained(refusal: Decision, rules: bytes, reasons: list[str]) -> Decision:
    if not reasons:
        return refusal
    return replace(refusal, source=to_hex(rules), reason="; ".join(reasons))


def _host_and_port(words: bytes) -> str:
    """Return the `host:port` of two whole words of interface 1: the address and the port."""
    return f"{url_host(decode_ip(words[:16]))}:{int.from_bytes(words[32:64])}"
