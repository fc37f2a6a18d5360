"""Files of a node follow the generation of the devnet: after a revert no node opens files of an earlier one."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lacnode.devnet.devnet_state import (
    FREE_BYTES,
    GENERATION_FILE,
    STATE_FILE,
    DevnetState,
    DevnetStateError,
    check_space,
    copy_node_files,
    load_state,
    restore_if_due,
    save_state,
    snapshot_directory,
)

NODE = "validator-1"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a node, with a chain and a record of its signatures."""
    node = tmp_path / "nodes" / NODE
    write(node, "one")
    return node


def write(directory: Path, text: str) -> None:
    (directory / "database").mkdir(parents=True, exist_ok=True)
    (directory / "database" / "data.mdb").write_text(text)
    (directory / "consensus.log").write_text(text)


def read(directory: Path) -> tuple[str, str]:
    return (directory / "database" / "data.mdb").read_text(), (directory / "consensus.log").read_text()


def test_the_state_is_the_same_after_reading(tmp_path: Path) -> None:
    assert load_state(tmp_path) == DevnetState()
    state = DevnetState(3, 2, 61.5, None)
    save_state(tmp_path, state)
    assert load_state(tmp_path) == state


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"generation": "x"}', " " * 70_000])
def test_a_damaged_state_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE_FILE).write_text(text)
    with pytest.raises(DevnetStateError, match=STATE_FILE):
        load_state(tmp_path)


def test_a_revert_takes_back_the_chain_and_the_signatures_once(tmp_path: Path, directory: Path) -> None:
    copy_node_files(directory, snapshot_directory(tmp_path, 1, NODE))
    (directory / "key").write_text("key")
    write(directory, "two")
    restore_if_due(tmp_path, directory)
    assert read(directory) == ("two", "two")
    save_state(tmp_path, DevnetState(generation=1, copy=1))
    restore_if_due(tmp_path, directory)
    assert read(directory) == ("one", "one")
    assert (directory / "key").read_text() == "key"
    # The next start keeps what the node has done since.
    write(directory, "three")
    restore_if_due(tmp_path, directory)
    assert read(directory) == ("three", "three")


def test_a_copy_that_did_not_end_begins_again(tmp_path: Path, directory: Path) -> None:
    copy_node_files(directory, snapshot_directory(tmp_path, 1, NODE))
    save_state(tmp_path, DevnetState(generation=1, copy=1))
    # As after a crash: a part is copied, and the generation is not recorded.
    write(directory, "two")
    (directory / "consensus.log").unlink()
    restore_if_due(tmp_path, directory)
    assert read(directory) == ("one", "one")


def test_a_node_that_joined_after_the_snapshot_begins_again_without_a_chain(tmp_path: Path, directory: Path) -> None:
    save_state(tmp_path, DevnetState(generation=1, copy=1))
    restore_if_due(tmp_path, directory)
    assert not (directory / "database").exists()
    assert not (directory / "consensus.log").exists()


def test_a_damaged_generation_is_refused(tmp_path: Path, directory: Path) -> None:
    (directory / GENERATION_FILE).write_text("many")
    save_state(tmp_path, DevnetState(generation=1, copy=1))
    with pytest.raises(DevnetStateError, match=GENERATION_FILE):
        restore_if_due(tmp_path, directory)


def test_a_snapshot_leaves_space_for_the_nodes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The two files of the node have three bytes each.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=FREE_BYTES + 6))
    check_space(directory.parent, [directory])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=FREE_BYTES + 5))
    with pytest.raises(DevnetStateError, match="a snapshot takes 6 bytes"):
        check_space(directory.parent, [directory])
