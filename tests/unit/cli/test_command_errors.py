"""Files and texts that a command cannot use end it with one line and no traceback."""

import io
from pathlib import Path

import pytest

from lacnode.cli import evm_command
from lacnode.cli.main import main

GENESIS = '{"config": {"ibft2": {}}, "gasLimit": "0x1000000", "difficulty": "0x1"}'


@pytest.mark.parametrize("text", ["[]", "7", '{"genesis": []}', f'{{"genesis": {GENESIS}, "nodes": []}}'])
def test_a_file_that_is_no_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(evm_command, "why_no_library", lambda: None)
    file = tmp_path / "difference.json"
    file.write_text(text)
    assert main(["evm", "replay", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"{file} is not a difference that a node wrote")


def test_a_password_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["password", "hash", "--password=\udcff"]) == 2
    assert capsys.readouterr().err.startswith("--password must be UTF-8 text")


def test_a_devnet_that_cannot_be_written_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["devnet", "--data-path", str(file / "net"), "--validators", "1"]) == 1
    assert capsys.readouterr().err.startswith("devnet: ")


@pytest.mark.parametrize("number", ["1_0", " 1", "٣", "²", "x", "9223372036854775808", "9" * 5000])
@pytest.mark.parametrize("option", ["start-block", "end-block"])
def test_a_block_number_that_is_no_long_is_refused(
    capsys: pytest.CaptureFixture[str], option: str, number: str
) -> None:
    assert main(["blocks", "export", "--to=there", f"--{option}={number}"]) == 2
    assert capsys.readouterr().err.startswith(f"Invalid value for option '--{option}': '{number[:80]}' is not a long\n")


@pytest.mark.parametrize("number", ["1_0", " 9", "٣", "²", "+9", "9" * 5000])
def test_a_range_of_blocks_that_are_no_numbers_is_refused(capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert main(["database", "verify", "--execute", "1", number]) == 2
    assert capsys.readouterr().err.startswith("--execute FROM TO: two block numbers were expected\n")


def test_a_managers_key_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path of the manager's directory is nearly as long as a path may be, and those of its keys are longer."""
    missing = 4070 - len(str(tmp_path))
    directory = tmp_path.joinpath(*["d" * 99] * (missing // 100), "d" * (missing % 100))
    assert main(["devnet", "--data-path", str(directory), "--validators", "1", "--writers", "1", "--privacy"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("devnet: ")
    assert told.endswith("manager.key cannot be written: File name too long\n")


class Prompt:
    """A terminal, whose password prompt is ended by `error`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        self._error = error
        monkeypatch.setattr("sys.stdin", self)
        monkeypatch.setattr("getpass.getpass", self.ask)

    def isatty(self) -> bool:
        return True

    def ask(self, question: str) -> str:
        raise self._error


class TestNoPassword:
    """`privacy-manager -g` makes no key, and says why, where it gets no password."""

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_at_ctrl_d(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        Prompt(monkeypatch, EOFError())
        assert main(["privacy-manager", "-g", "mine"]) == 1
        assert capsys.readouterr().err.startswith("no password for mine: ")
        assert list(Path().iterdir()) == []

    def test_at_ctrl_c(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        Prompt(monkeypatch, KeyboardInterrupt())
        assert main(["privacy-manager", "-g", "mine"]) == 130
        assert capsys.readouterr().err == "interrupted\n"
        assert list(Path().iterdir()) == []

    def test_with_a_closed_input(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Python has None for a standard input that the shell has closed."""
        monkeypatch.setattr("sys.stdin", None)
        assert main(["privacy-manager", "-g", "mine"]) == 1
        assert capsys.readouterr().err.startswith("no password for mine: ")
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
    def test_of_bytes_that_are_no_text(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], errors: str
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8", errors))
        assert main(["privacy-manager", "-g", "mine"]) == 1
        assert capsys.readouterr().err.startswith("the password for mine must be UTF-8 text")
        assert list(Path().iterdir()) == []


def test_extra_data_from_a_closed_input_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["rlp", "decode"]) == 1
    assert capsys.readouterr().err.startswith("Unable to read standard input: it is closed\n")
