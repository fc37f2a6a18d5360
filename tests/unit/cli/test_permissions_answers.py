"""`lacnode permissions` against a node that refuses its calls, is away, or answers in another shape: the user reads one
line and no traceback."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lacnode.cli.main import main
from lacnode.cli.permissions.rule_contracts import call_data
from lacnode.permissioning.abi import RULES_NAME, encode_registered_call
from lacnode.primitives.hexadecimal import to_hex
from tests.support.answering_server import answering

INGRESS, RULES, KEY = "0x" + "11" * 20, "22" * 20, "ab" * 32
ENODE, NAMED = f"enode://{'ab' * 64}@10.0.0.1:30303", f"enode://{'ab' * 64}@node.example:30303"
NOT_ENABLED = {"code": -32604, "message": "Method not enabled"}

LOOKS = [
    ["explain", "--node", ENODE],
    ["explain", "--sender", INGRESS],
    ["refused"],
    *([kind, "list"] for kind in ("nodes", "accounts", "admins")),
    ["nodes", "list", "--node-contract", INGRESS],
]

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def answers(results: dict[str, object], other: object) -> Answer:
    """Answer methods by `results`, and all others by `other`. A result that has a `code` is an error."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        result = results.get(request["method"], other)
        name = "error" if isinstance(result, dict) and "code" in result else "result"
        return {"jsonrpc": "2.0", "id": 1, name: result}

    return answer


def rules_of_interface_1(request: dict[str, Any]) -> dict[str, Any]:
    """Answer as a node does whose rules are Besu's standard contract of interface 1, and that has a free account."""
    questions = {
        to_hex(encode_registered_call(RULES_NAME)): "0x" + RULES.rjust(64, "0"),
        to_hex(call_data("enodeInWhitelist(bytes32,bytes32,bytes16,uint16)", bytes(32), bytes(32), bytes(16), 0)): "0x"
        + "0" * 64,
    }
    if request["method"] == "eth_call":
        found = questions.get(request["params"][0]["data"], "0x")
        return {"jsonrpc": "2.0", "id": 1, "result": found}
    return answers({"lac_simulatePermissionChange": {"locksOut": False}}, "0x1")(request)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "admin.key"
    file.write_text(KEY)
    return file


def error_of(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Run the command, which must fail, and return the line that it prints before the way to the help."""
    assert main(["permissions", *words]) == 1
    line, _, rest = capsys.readouterr().err.partition("\n")
    assert rest.strip().startswith("To display full help")
    assert line.isprintable()
    return line


@pytest.mark.parametrize("words", [LOOKS[0], LOOKS[1], LOOKS[2], LOOKS[6]], ids=" ".join)
def test_a_node_without_the_api_group_is_to_get_it(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with answering(answers({}, NOT_ENABLED)) as url:
        line = error_of(capsys, [*words, "--rpc", url])
    assert f"add {'ETH' if words[0] == 'nodes' else 'LAC'} to its --rpc-http-api" in line


@pytest.mark.parametrize("shape", [None, "word", 7, [7], {"allowed": "yes"}, {"nodeContract": 7}, {"code": 1}], ids=str)
@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_answers_of_another_shape_are_named(
    capsys: pytest.CaptureFixture[str], words: list[str], shape: object
) -> None:
    with answering(answers({}, shape)) as url:
        assert error_of(capsys, [*words, "--rpc", url])


@pytest.mark.parametrize("is_first", [True, False], ids=["before the verb", "after it"])
@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_a_node_that_is_away_is_named_with_the_option(
    capsys: pytest.CaptureFixture[str], words: list[str], is_first: bool
) -> None:
    with answering(answers({}, None)) as url:
        pass
    line = error_of(capsys, ["--rpc", url, *words] if is_first else [*words, "--rpc", url])
    assert line.startswith(url)
    assert "--rpc names the HTTP JSON-RPC of a running node" in line


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "https://127.0.0.1", "127.0.0.1:8545"])
def test_a_url_that_is_none_is_named(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert "--rpc must be a URL like" in error_of(capsys, ["refused", "--rpc", url])


@pytest.mark.parametrize("verb", ["add", "remove"])
def test_a_name_is_refused_where_the_contract_takes_addresses(
    capsys: pytest.CaptureFixture[str], key_file: Path, verb: str
) -> None:
    with answering(rules_of_interface_1) as url:
        words = ["nodes", verb, NAMED, "--key-file", str(key_file), "--node-contract", INGRESS, "--rpc", url]
        assert "give the enode with the IP address" in error_of(capsys, words)


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_chainId", "eth_getTransactionCount", "eth_gasPrice"])
@pytest.mark.parametrize("shape", [None, "word", "-0x1", {}])
def test_no_change_is_sent_with_what_is_no_quantity(
    capsys: pytest.CaptureFixture[str], key_file: Path, method: str, shape: object
) -> None:
    sent: list[str] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        sent.append(request["method"])
        return answers({method: shape}, None)(request) if request["method"] == method else rules_of_interface_1(request)

    with answering(answer) as url:
        words = ["nodes", "add", ENODE, "--key-file", str(key_file), "--node-contract", INGRESS, "--rpc", url]
        assert f"answers {method} with" in error_of(capsys, words)
    assert "eth_sendRawTransaction" not in sent


@pytest.mark.parametrize("receipt", [NOT_ENABLED, {"status": "0x1"}, {"blockNumber": "soon"}])
def test_a_change_whose_receipt_is_kept_back_is_said_to_be_sent(
    capsys: pytest.CaptureFixture[str], key_file: Path, receipt: object
) -> None:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["method"] == "eth_getTransactionReceipt":
            return answers({}, receipt)(request)
        return rules_of_interface_1(request)

    with answering(answer) as url:
        words = ["nodes", "add", ENODE, "--key-file", str(key_file), "--node-contract", INGRESS, "--rpc", url]
        assert "was sent" in error_of(capsys, words)
