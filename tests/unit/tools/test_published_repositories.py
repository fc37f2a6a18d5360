"""The program that fetches published configuration files: each repository once, and no half of one."""

import subprocess
from pathlib import Path

import pytest

from tools import published_repositories


def git(repository: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *identity, *words], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit of owner/name, which has one file, on a GitHub that is a folder."""
    repository = tmp_path / "github" / "owner" / "name"
    repository.mkdir(parents=True)
    git(repository, "init", "--quiet")
    (repository / "config.toml").write_text("p2p-port=1\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "one file")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path / 'github'}/.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://github.com/")
    return git(repository, "rev-parse", "HEAD")


def test_a_repository_is_fetched_once(tmp_path: Path, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_repositories, "COMMITS", {"owner/name": commit})
    assert published_repositories.main([str(tmp_path / "published")]) == 0
    file = tmp_path / "published" / "owner+name" / "config.toml"
    assert file.read_text() == "p2p-port=1\n"
    file.write_text("changed by hand")
    assert published_repositories.main([str(tmp_path / "published")]) == 0
    assert file.read_text() == "changed by hand"


def test_one_that_cannot_be_had_is_named_and_leaves_nothing(
    tmp_path: Path, commit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(published_repositories, "COMMITS", {"owner/other": commit, "owner/name": commit})
    assert published_repositories.main([str(tmp_path / "published")]) == 1
    assert capsys.readouterr().err.endswith("not fetched: owner/other\n")
    assert [path.name for path in (tmp_path / "published").iterdir()] == ["owner+name"]
