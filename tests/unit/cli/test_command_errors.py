"""Files and texts that a command cannot use end it with one line and no traceback."""

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
