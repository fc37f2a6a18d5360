"""One deliberate fault: which text of which file is replaced by what, and which tests must fail then."""

from dataclasses import dataclass
from pathlib import Path


class StaleMutantError(Exception):
    """The text that a mutant replaces is not in its file exactly once: the code has changed, and the mutant must follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`file` is relative to the root of the repository, `old` occurs in it once. `tests` are arguments of pytest."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def check(self, root: Path) -> None:
        """StaleMutantError unless this mutant can be applied to the tree at `root`."""
        count = (root / self.file).read_text().count(self.old) if (root / self.file).exists() else 0
        if count != 1:
            raise StaleMutantError(f"the text to replace is {count} times in {self.file}")

    def text(self, root: Path) -> str:
        """The file with the fault in it."""
        return (root / self.file).read_text().replace(self.old, self.new)
