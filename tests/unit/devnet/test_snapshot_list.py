"""Which snapshots can be reverted to, and which copies stay on the disk."""

from pathlib import Path

import pytest

from lacnode.devnet.devnet_state import DevnetStateError
from lacnode.devnet.snapshot_list import MAX_SNAPSHOTS, NetworkSnapshot, SnapshotList


def snapshot(copy: int) -> NetworkSnapshot:
    return NetworkSnapshot(copy, 7, "ab", 0.0)


def copies(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def taken(path: Path, snapshots: SnapshotList) -> tuple[int, int]:
    copy = snapshots.new_copy_number()
    (path / str(copy)).mkdir()
    return snapshots.add(snapshot(copy)), copy


def test_a_revert_forgets_the_snapshot_and_the_later_ones(tmp_path: Path) -> None:
    snapshots = SnapshotList(tmp_path, None)
    ids = [snapshots.add(snapshot(copy)) for copy in (1, 2, 3)]
    assert snapshots.find(ids[1]) == snapshot(2)
    snapshots.record_revert(ids[1])
    assert snapshots.restored == snapshot(2)
    assert snapshots.find(ids[1]) is None
    assert snapshots.find(ids[2]) is None
    assert snapshots.find(ids[0]) == snapshot(1)


def test_an_id_is_never_used_again(tmp_path: Path) -> None:
    snapshots = SnapshotList(tmp_path, None)
    first = snapshots.add(snapshot(1))
    snapshots.record_revert(first)
    assert snapshots.add(snapshot(1)) > first


def test_the_copy_of_the_last_revert_stays_for_a_node_that_is_down(tmp_path: Path) -> None:
    snapshots = SnapshotList(tmp_path, None)
    first, first_copy = taken(tmp_path, snapshots)
    taken(tmp_path, snapshots)
    snapshots.record_revert(first)
    _, third_copy = taken(tmp_path, snapshots)
    assert copies(tmp_path) == {str(first_copy), str(third_copy)}
    # Also for the next coordinator, which has no list of snapshots.
    again = SnapshotList(tmp_path, first_copy)
    assert copies(tmp_path) == {str(first_copy)}
    assert again.new_copy_number() > first_copy


def test_their_number_is_bounded(tmp_path: Path) -> None:
    snapshots = SnapshotList(tmp_path, None)
    ids = [taken(tmp_path, snapshots)[0] for _ in range(MAX_SNAPSHOTS + 2)]
    assert len(copies(tmp_path)) == MAX_SNAPSHOTS
    assert snapshots.find(ids[1]) is None
    assert snapshots.find(ids[2]) is not None


def test_a_reset_forgets_all_snapshots_and_its_empty_copy_stays(tmp_path: Path) -> None:
    snapshots = SnapshotList(tmp_path, None)
    first, _ = taken(tmp_path, snapshots)
    copy = snapshots.new_empty_copy()
    snapshots.record_reset(snapshot(copy))
    assert snapshots.find(first) is None
    assert copies(tmp_path) == {str(copy)}
    assert list((tmp_path / str(copy)).iterdir()) == []
    # A node that is down during the reset follows it, so the number must not be given to another copy.
    assert SnapshotList(tmp_path, copy).new_copy_number() > copy


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The endpoint for developers answers with this text."""
    (tmp_path / "snapshots").write_text("no directory")
    snapshots = SnapshotList(tmp_path / "snapshots", None)
    with pytest.raises(DevnetStateError, match=f"{tmp_path}/snapshots/1 cannot be made: .*Not a directory"):
        snapshots.new_empty_copy()
