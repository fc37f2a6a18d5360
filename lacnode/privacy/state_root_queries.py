"""The questions for state roots between the members of a group, and their answers.

A manager has no state roots itself. The node has them, if it runs in the same process. This module must not decide which
root is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_STATE_ROOT_QUERIES = 64
"""The largest number of queries in one request."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """The state of a group on one node after block `number`.

    `root` is the state root. `tried_digest` is the digest of the markers that the node tried to execute up to there.
    `succeeded_digest` is the digest of those that succeeded. Both digests follow the order of the chain. Root and
    digests have 32 bytes each.
    """

    number: int
    root: bytes
    tried_digest: bytes
    succeeded_digest: bytes


@dataclass(frozen=True, slots=True)
class StateRootQuery:
    """The question for the state of the group `group_id` (32 bytes) after block `number`, or after the last block
    before it that the other node has executed.

    `asker_root` is the asker's own state root (32 bytes).
    """

    group_id: bytes
    number: int
    asker_root: bytes


class StateRootSource(Protocol):
    """A node that knows private states and answers other members' questions. Safe to use from several threads."""

    # Both keys must be members: the asker's, and the one of this manager that the request was made to.
    def answer(self, asker: bytes, own: bytes, question: StateRootQuery, deadline: float) -> GroupState | None:
        """Return the group's state to the key `asker`, on behalf of the key `own` (32 bytes each). The state may be of
        an earlier block than the question.

        None if the node cannot answer before `deadline` (monotonic seconds), or if one of the keys is not a member's.
        StorageError if the node's database fails.
        """


StateRootReplies = Mapping[bytes, Sequence[GroupState | None]]
"""The replies by the key of the manager that answered, in the order of the queries. None for a state unknown there."""


class StateRootClient(Protocol):
    """A client that asks the managers of other members for state roots. Its calls block. Safe to use from several
    threads."""

    @property
    def own_keys(self) -> Sequence[bytes]:
        """The own public keys (32 bytes each) that can ask, the default one first."""

    # All managers are asked in one call. One that is silent must not delay the others.
    def ask(self, own: bytes, questions: Mapping[bytes, Sequence[StateRootQuery]]) -> StateRootReplies:
        """As the own key `own` (32 bytes), ask the manager of each key its queries, at most `MAX_STATE_ROOT_QUERIES`
        each. Return the replies by key, in the order of the queries. None in a reply is a state that is unknown there
        or not given. The result does not have a key whose manager is unknown or gives no usable answer. This blocks for
        the calls. EnclaveError `EnclaveNoMatchingPrivateKey` if `own` is not an own key."""
