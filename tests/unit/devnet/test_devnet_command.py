"""Options of `lacnode devnet` count before and after the verb."""

from pathlib import Path

import pytest

from lacnode.devnet.devnet_command import main


@pytest.mark.parametrize(
    "words", [["--data-path", "there", "stop"], ["stop", "--data-path", "there"]], ids=["before", "after"]
)
def test_the_data_path_is_the_one_that_was_given(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert "no devnet under there" in capsys.readouterr().err


def test_without_one_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stop"]) == 1
    assert "no devnet under devnet-data" in capsys.readouterr().err
