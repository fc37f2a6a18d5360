"""State roots between the members of a group: what is asked and told. A manager has no roots itself, its node has, where it
runs in the node's process. Must not judge who is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_STATE_ROOT_QUERIES = 64
"""In one request."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a node has of a group after block `number`: the state root, and digests of the markers that it `tried` to
    execute and of those that it has `done` with success, each in order."""

    number: int
    root: bytes
    tried: bytes
    done: bytes


@dataclass(frozen=True, slots=True)
class StateRootQuery:
    """What have you of the group after block `number`, or after your last one before? `root` is the asker's."""

    group_id: bytes
    number: int
    root: bytes


class StateRootSource(Protocol):
    """A node that knows private states. Safe from several threads."""

    def answer(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        """The group's state; None if the node cannot say it before `deadline` (monotonic seconds), or if one of the two
        keys is no member's."""


StateRootReplies = Mapping[bytes, Sequence[GroupState | None]]
"""By key of who answered, in the order of the questions; None for each that is not known there."""


class StateRootClient(Protocol):
    """A way to ask other members. Safe from several threads."""

    @property
    def own_keys(self) -> Sequence[bytes]:
        """The keys that can ask."""

    def ask(self, own: bytes, questions: Mapping[bytes, Sequence[StateRootQuery]]) -> StateRootReplies:
        """As `own`, ask the manager of each key its questions, at most `MAX_STATE_ROOT_QUERIES`."""
