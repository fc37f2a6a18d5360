"""The command that changes rules looks at what a change leads to before it sends one."""

from pathlib import Path

import pytest

from lacnode.cli.errors import UsageError
from lacnode.cli.main import main
from lacnode.cli.permissions.node_client import NodeClient
from lacnode.cli.permissions.transaction_sender import TransactionSender
from lacnode.crypto.node_key import NodeKey, save_node_key
from lacnode.primitives.hexadecimal import to_hex
from lacnode.primitives.keccak import keccak256
from lacnode.rpc.json_rpc_client import CallRefusedError

CONTRACT = b"\x11" * 20


class Node(NodeClient):
    """Answers as a node whose rules look like `outlook` after any change, or that does not know the question."""

    def __init__(self, outlook: dict[str, object] | None) -> None:
        super().__init__("http://127.0.0.1:8545")
        self._outlook = outlook
        self.sent = 0

    def call(self, method: str, *params: object) -> object:
        if method == "lac_simulatePermissionChange":
            if self._outlook is None:
                raise CallRefusedError(method, {"code": -32601, "message": "Method not found"})
            return self._outlook
        if method == "eth_sendRawTransaction":
            self.sent += 1
            return "0x" + bytes(32).hex()
        if method == "eth_getTransactionReceipt":
            return {"blockNumber": "0x7", "status": "0x1"}
        return "0x5208"


def sender(node: Node) -> TransactionSender:
    return TransactionSender(node, NodeKey.from_private_key(keccak256(b"admin")))


def test_a_change_that_locks_every_administrator_out_is_not_sent() -> None:
    node = Node({"succeeds": True, "locksOut": True, "canChange": []})
    with pytest.raises(UsageError, match="no administrator could change the rules any more"):
        sender(node).send_and_wait_for_block(CONTRACT, b"change")
    assert node.sent == 0


@pytest.mark.parametrize("outlook", [{"succeeds": True, "locksOut": False, "canChange": ["0x11"]}, None])
def test_another_change_is_sent_and_so_is_one_that_the_node_cannot_judge(outlook: dict[str, object] | None) -> None:
    node = Node(outlook)
    assert sender(node).send_and_wait_for_block(CONTRACT, b"change") == 7
    assert node.sent == 1


def test_a_node_that_refuses_what_the_command_asks_first_is_named() -> None:
    class ClosedNode(Node):
        def call(self, method: str, *params: object) -> object:
            if method == "eth_gasPrice":
                raise CallRefusedError(method, {"code": -32604, "message": "Method not enabled"})
            return super().call(method, *params)

    with pytest.raises(UsageError, match="does not take the transaction: eth_gasPrice: Method not enabled"):
        sender(ClosedNode(None)).send_and_wait_for_block(CONTRACT, b"change")


def test_ctrl_c_during_the_wait_tells_which_transaction_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[str] = []

    def answer(node: NodeClient, method: str, *params: object) -> object:
        if method == "eth_getTransactionReceipt":
            sent.append(str(params[0]))
            raise KeyboardInterrupt
        return to_hex(CONTRACT.rjust(32, b"\0")) if method == "eth_call" else "0x5208"

    monkeypatch.setattr(NodeClient, "call", answer)
    save_node_key(tmp_path / "key", NodeKey.generate())
    contract = ["--node-contract", to_hex(CONTRACT), "--account-contract", to_hex(CONTRACT)]
    words = ["permissions", *contract, "admins", "add", to_hex(CONTRACT), "--key-file", str(tmp_path / "key")]
    assert main(words) == 130
    assert capsys.readouterr().err == f"interrupted: transaction {sent[0]} was sent, and may be in a block\n"
