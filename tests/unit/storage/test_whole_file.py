"""Small files that are replaced while others read them."""

import os
import threading
from pathlib import Path

import pytest

from lacnode.storage.atomic_file import replace_text


def test_a_reader_never_finds_a_part(tmp_path: Path) -> None:
    path, texts = tmp_path / "node.pid", ["1" * 9_000 + "\n", "22\n"]
    replace_text(path, texts[0])
    done = threading.Event()
    found = set()

    def read() -> None:
        while not done.is_set():
            found.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(500):
        replace_text(path, texts[number % 2])
    done.set()
    reader.join()
    assert found <= set(texts)
    assert [file.name for file in tmp_path.iterdir()] == ["node.pid"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    replace_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"


def test_a_pipe_gets_the_text(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    replace_text(tmp_path / "pipe", "text")
    reader.join()
    assert got == ["text"]


def test_a_file_in_a_directory_that_is_not_ours_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may write everywhere."""
    path, write = tmp_path / "node.pid", Path.write_text

    def refuse(file: Path, *arguments: str) -> int:
        if file != path:
            raise PermissionError(13, "Permission denied")
        return write(file, *arguments)

    monkeypatch.setattr(Path, "write_text", refuse)
    replace_text(path, "text")
    assert path.read_text() == "text"


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        replace_text(tmp_path / "nowhere" / "file", "text")
