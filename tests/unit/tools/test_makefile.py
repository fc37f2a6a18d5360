"""The folders that `make test` runs are all folders with tests."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_make_test_runs_every_folder_with_tests() -> None:
    lists = re.findall(r"^(?:FAST|SLOW)_TESTS := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    run = [Path(folder) for folders in lists for folder in folders.split()]
    with_tests = {path.relative_to(ROOT).parts[:2] for path in (ROOT / "tests").rglob("test_*.py")}
    assert sorted(folder.parts for folder in run) == sorted(with_tests)
