"""The node contract: which nodes may connect. Supports Besu's interface 1 (one question a pair) and 2 (one a node).

This module gives the contract's answer alone. `node_permissions` has the rules for a young chain and a stopped chain.
"""

from collections.abc import Callable

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.abi import (
    RULES_NAME,
    UnexpectedAnswerError,
    UnsupportedNodeError,
    decode_connection_answer,
    decode_node_answer,
    decode_registered_address,
    encode_connection_call,
    encode_node_call,
    encode_registered_call,
)
from lacnode.permissioning.contract_answer_cache import ContractAnswerCache
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256

RULE = "node-contract"
MAX_NODE_ANSWERS = 4096
INTERFACE_VERSIONS = (1, 2)

NODE_DENIED = keccak256(b"nodeDenied(bytes32,bytes32)")[:4]


class NodeContract:
    """The node rules behind the contract at `address` (20 bytes), which is usually an ingress. `version` is its
    interface, 1 or 2. Safe to use from several threads.

    `host_names_of` returns the host names that are known for an IP address (text), for interface 2. It must not block.
    In the methods `seconds` is the time limit of each call, and the contract is read on the state after the block of
    `header`.
    """

    def __init__(
        self,
        reader: ContractReader,
        address: bytes,
        version: int = 1,
        host_names_of: Callable[[str], tuple[str, ...]] = lambda host: (),
    ) -> None:
        self.address = address
        self.version = version
        self._host_names_of = host_names_of
        self._reader = reader
        self._answers = ContractAnswerCache(reader, address, MAX_NODE_ANSWERS)
        self._answers_of_rules: ContractAnswerCache | None = None

    def decide(self, source: Enode, destination: Enode, header: BlockHeader, seconds: float) -> Decision:
        """Decide whether `source` may connect to `destination`, on the state after the block of `header`. Each call has
        `seconds`.

        A contract that does not exist, does not answer or gives an unexpected answer refuses. No error is raised for
        it.
        """
        try:
            refused = self._find_refusal(source, destination, header, seconds)
            # An error would have to be handled by each caller, and a connection has no safe answer but a refusal.
            # Besu refuses too. `node_permissions` has the exceptions that let a network recover.
        except (UnsupportedNodeError, UnexpectedAnswerError, ContractUnreadableError) as error:
            return self._decision(False, header, f"the contract {_error_clause(error)}, which permits no connection")
        if refused is None:
            return self._decision(True, header, "the contract permits this connection")
        return self._decision(False, header, refused)

    def lists_as_denied(self, node_id: bytes, header: BlockHeader, seconds: float) -> bool:
        """Return True if the rules contract lists the node `node_id` (64 bytes) as denied, on the state after the block
        of `header`. Each call has `seconds`.

        Only lacnode's own rules contracts have such a list. False if no rules contract is registered, or if a contract
        does not answer.
        """
        try:
            # The question goes to the rules contract, not to the ingress. Besu's ingress does not have this function.
            rules = decode_registered_address(self._answers.ask(encode_registered_call(RULES_NAME), header, seconds))
            if rules is None:
                return False
            answers = self._answers_of_rules
            # One rules contract. The ingress may name another one after the next block, and in any number of blocks.
            if answers is None or answers.contract != rules:
                answers = self._answers_of_rules = ContractAnswerCache(self._reader, rules, MAX_NODE_ANSWERS)
            return decode_node_answer(answers.ask(NODE_DENIED + node_id, header, seconds))
        except (ContractUnreadableError, UnexpectedAnswerError):
            return False

    def gives_answer(self, source: Enode, destination: Enode, header: BlockHeader, seconds: float) -> bool:
        """Return True if the contract answers the question about the two nodes, with yes or with no.

        The contract is read on the state after the block of `header`. Each call has `seconds`. The result is also True
        if the interface cannot express the question: that is not a fault of the contract.
        """
        try:
            self._find_refusal(source, destination, header, seconds)
        except (UnexpectedAnswerError, ContractUnreadableError):
            return False
        except UnsupportedNodeError:
            pass
        return True

    def can_encode_question(self, source: Enode, destination: Enode) -> bool:
        """Return True if the interface can express the question. False for a host name with interface 1. The contract
        is not asked."""
        try:
            return self.version != 1 or bool(encode_connection_call(source, destination))
        except UnsupportedNodeError:
            return False

    def find_problem(self, header: BlockHeader, seconds: float) -> str | None:
        """Return a sentence that says what is wrong with the contract, None if it answers by its interface. For the
        check at the start.

        It is asked about Besu's test node on the state after the block of `header`. Each call has `seconds`. An answer
        of no is not a problem. A missing contract is one.
        """
        try:
            self._find_refusal(_BESU_TEST_NODE, _BESU_TEST_NODE, header, seconds)
        except (UnexpectedAnswerError, ContractUnreadableError) as error:
            return (
                f"node permissioning contract at address {to_hex(self.address)} does not match the expected interface "
                f"version {self.version}: it {_error_clause(error)}"
            )
        return None

    def _find_refusal(self, source: Enode, destination: Enode, header: BlockHeader, seconds: float) -> str | None:
        if self.version == 1:
            output = self._answers.ask(encode_connection_call(source, destination), header, seconds)
            if decode_connection_answer(output):
                return None
            return f"the contract refuses {source} a connection to {destination}"
        for enode in (source, destination):
            if not self._is_permitted(enode, header, seconds):
                return f"the contract does not permit {enode}"
        return None

    def _is_permitted(self, enode: Enode, header: BlockHeader, seconds: float) -> bool:
        # The contract compares strings. An operator may have listed the node with its host name, but a connection
        # shows its IP address alone. So each known name of the address is tried too.
        hosts = (enode.host, *self._host_names_of(enode.host))
        calls = (encode_node_call(Enode(enode.id, host, enode.tcp, None)) for host in hosts)
        return any(decode_node_answer(self._answers.ask(call, header, seconds)) for call in calls)

    def _decision(self, allowed: bool, header: BlockHeader, reason: str) -> Decision:
        return Decision(allowed, RULE, to_hex(self.address), header.number, reason)


def _error_clause(error: Exception) -> str:
    if isinstance(error, UnexpectedAnswerError):
        return f"gives an unexpected answer: {error}"
    return f"cannot be asked: {error}" if isinstance(error, UnsupportedNodeError) else str(error)


_BESU_TEST_NODE = Enode(
    bytes.fromhex(
        "6f8a80d14311c39f35f516fa664deaaaa13e85b2f7493f37f6144d86991ec012"
        "937307647bd3b9a82abe2974e1407241d54947bbb39763a4cac9f77166ad92a0"
    ),
    "10.3.58.6",
    30303,
    None,
)
"""The node that Besu asks about at the start to see whether the contract answers."""
