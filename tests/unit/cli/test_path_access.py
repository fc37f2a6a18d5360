"""`--print-paths-and-exit` names what the node's user may not use, in the words that Besu's container looks for."""

import getpass
from pathlib import Path

import pytest

from lacnode.cli.main import main

Output = pytest.CaptureFixture[str]


def said(capsys: Output, *arguments: str) -> list[str]:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out.split("\n")[:-1]


def test_another_user_needs_the_rights_of_others(tmp_path: Path, capsys: Output) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text("{}")
    tmp_path.chmod(0o700)
    genesis.chmod(0o600)
    paths = (f"--data-path={tmp_path}", f"--genesis-file={genesis}")
    expected = [f"PERMISSION_CHECK_PATH:{tmp_path}:READ_WRITE", f"PERMISSION_CHECK_PATH:{genesis}:READ"]
    assert said(capsys, *paths, "--print-paths-and-exit=no-such-user") == expected
    assert said(capsys, "--print-paths-and-exit", "no-such-user", *paths) == expected
    genesis.chmod(0o604)
    assert said(capsys, *paths, "--print-paths-and-exit=no-such-user") == expected[:1]


def test_the_owner_needs_the_rights_of_the_owner(tmp_path: Path, capsys: Output) -> None:
    tmp_path.chmod(0o700)
    assert said(capsys, f"--data-path={tmp_path}", f"--print-paths-and-exit={getpass.getuser()}") == []


def test_what_is_not_there_is_said(tmp_path: Path, capsys: Output) -> None:
    (line,) = said(capsys, f"--data-path={tmp_path / 'none'}", "--print-paths-and-exit")
    assert (
        line == f"Error: Failed checking permissions for path: {tmp_path / 'none'}. Reason: No such file or directory"
    )
