"""The table of a devnet at the widths of terminals."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from lacnode.devnet.manifest import NetworkShape, make_devnet
from lacnode.devnet.table import NodeRow, make_table


def shown(path: Path, width: int) -> str:
    manifest = make_devnet(path / "net", NetworkShape(1, observers=1), 1.0, 0)
    rows = [NodeRow(node, "starting", 1_234_567, 12, None, 48, 4096, "native") for node in manifest.nodes]
    output = io.StringIO()
    Console(file=output, width=width).print(make_table(rows, [20.25, None], width))
    return output.getvalue()


@pytest.mark.parametrize("width", [80, 131, 132])
def test_nothing_is_cut_off(tmp_path: Path, width: int) -> None:
    text = shown(tmp_path, width)
    assert "…" not in text
    for word in ("validator-1", "observer-1", "starting", "native", "1234567", "4096", "20.25", "blocks/s"):
        assert word in text


def test_a_wide_table_has_the_addresses(tmp_path: Path) -> None:
    assert "0x" in shown(tmp_path, 132)
    assert "0x" not in shown(tmp_path / "narrow", 80)
