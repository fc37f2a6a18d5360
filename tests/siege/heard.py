"""What validators that record have heard of each other, and what of it contradicts itself.

A contradiction is two proposals, two prepares or two commits of one author for one height and round. An honest validator
never signs one, whatever happens to its files.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

from lacnode.consensus.ibft2.payloads import ROUND_CHANGE
from lacnode.devnet.manifest import DevnetNode
from tests.siege.modified_validator import HEARD_FILE

RECORDERS = {f"validator-{number}": "recorder" for number in range(1, 5)}
"""The modification of a network in which every node records."""


class RecordedMessage(NamedTuple):
    """One signed message: addresses and digests as hexadecimal text."""

    author: str
    code: int
    height: int
    round: int
    digest: str


def heard_by(nodes: Iterable[DevnetNode]) -> set[RecordedMessage]:
    """Every message that came to one of `nodes`; a last line that is cut off is left out."""
    messages: set[RecordedMessage] = set()
    for node in nodes:
        file = node.directory / HEARD_FILE
        for line in file.read_text("ascii").splitlines() if file.exists() else ():
            try:
                messages.add(RecordedMessage(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return messages


def contradictions(messages: Iterable[RecordedMessage]) -> list[str]:
    """One sentence for each pair of messages that no honest validator signs."""
    said: dict[tuple[str, int, int, int], str] = {}
    found = []
    for message in sorted(messages):
        if message.code == ROUND_CHANGE:
            continue
        before = said.setdefault(message[:4], message.digest)
        if before != message.digest:
            found.append(
                f"0x{message.author} signed two messages of code {message.code} for height {message.height}, round "
                f"{message.round}"
            )
    return found


def last_height_of(author: str, messages: Iterable[RecordedMessage]) -> int:
    """The highest height at which `author` (hexadecimal, 0x) was heard, -1 if it was not."""
    return max((message.height for message in messages if "0x" + message.author == author), default=-1)
