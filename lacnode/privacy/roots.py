"""State roots between the members of a group: asking the others for theirs, and answering.

A manager has no roots itself: its node has, where it runs in the node's process; any other says that it knows none. The
request proves its key (see `proven_requests`) and carries the asker's own roots, which tell the other nothing but to look for
itself. Must not judge who is right.
"""

import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from lacnode.privacy.cbor import CborError, Fields, encode_array, encode_map
from lacnode.privacy.keys import KEY_SIZE
from lacnode.privacy.manager import LocalTransactionManager
from lacnode.privacy.peer_sender import PeerSender
from lacnode.privacy.proven_requests import REFUSED, Allowance, Asked, Proofs, Proven, ask
from lacnode.privacy.transaction_manager import ManagerError

log = structlog.get_logger("privacy")

ROOTS = "/lacnode/roots"
MAX_QUESTIONS = 64
"""In one request."""

REQUESTS = 120
"""A minute and key."""

AT_ONCE = 8
"""Managers asked at once: those that keep us waiting leave room for payloads."""

ID_SIZE, ROOT_SIZE = 16, 32


@dataclass(frozen=True, slots=True)
class Question:
    """What is the group's state root after block `number`? `root` is the asker's."""

    group_id: bytes
    number: int
    root: bytes


class RootSource(Protocol):
    """A node that knows private states. Safe from several threads."""

    def answer(self, asker: bytes, own: bytes, question: Question) -> bytes | None:
        """The group's root; None if the node cannot say it, or if one of the two keys is no member's."""


class Enquiry(Protocol):
    """A way to ask other members. Safe from several threads."""

    @property
    def own_keys(self) -> Sequence[bytes]:
        """The keys that can ask."""

    def ask(self, own: bytes, questions: Mapping[bytes, Sequence[Question]]) -> Mapping[bytes, Sequence[bytes | None]]:
        """As `own`, ask the manager of each key its questions, at most `MAX_QUESTIONS`. The roots are in the order of the
        questions, None for each that is not known there; who does not answer is not in it."""


class RootDesk:
    """Answers other managers: that it knows nothing, until `source` is given."""

    def __init__(self, proofs: Proofs, allowance: Allowance | None = None) -> None:
        self.source: RootSource | None = None
        self._proofs = proofs
        self._allowance = allowance or Allowance(REQUESTS)

    def answer(self, body: bytes) -> bytes:
        """A root for each question, empty where there is none to tell. ManagerError `EnclaveNotPayloadOwner` unless the
        requester proves its key."""
        proven = self._proofs.open(body)
        try:
            id_, questions = _questions(proven.fields)
        except CborError:
            raise ManagerError(REFUSED) from None
        self._allowance.count(proven.requester)
        roots = [self._root(proven, question) or b"" for question in questions]
        return proven.seal(encode_map({"id": id_, "roots": roots}))

    def _root(self, proven: Proven, question: Question) -> bytes | None:
        source = self.source
        return None if source is None else source.answer(proven.requester, proven.own.public, question)


class RootEnquiry:
    """An Enquiry over `sender`. A manager that does not know the request, Orion's, does not answer."""

    def __init__(self, manager: LocalTransactionManager, sender: PeerSender) -> None:
        self._manager = manager
        self._sender = sender

    @property
    def own_keys(self) -> Sequence[bytes]:
        """See Enquiry."""
        return self._manager.keys.public_keys

    def ask(self, own: bytes, questions: Mapping[bytes, Sequence[Question]]) -> Mapping[bytes, Sequence[bytes | None]]:
        """See Enquiry."""
        pair, found = self._manager.keys.sender(own), dict[bytes, Sequence[bytes | None]]()
        for wave in self._waves(questions):
            ids = {key: secrets.token_bytes(ID_SIZE) for key in wave}
            asked = [Asked(key, url, _fields(ids[key], questions[key])) for key, url in wave.items()]
            for one, answer in zip(asked, ask(self._sender, ROOTS, pair, asked), strict=True):
                roots = None if answer is None else _roots(answer, one.url, ids[one.key], len(questions[one.key]))
                if roots is not None:
                    found[one.key] = roots
        return found

    def _waves(self, keys: Mapping[bytes, object]) -> Iterator[Mapping[bytes, str]]:
        """Who is asked at once: every URL once, and not too many."""
        places = {key: url for key in keys if (url := self._manager.view.keys.get(key)) is not None}
        while places:
            once = {url: key for key, url in reversed(places.items())}
            wave = {key: url for url, key in list(once.items())[:AT_ONCE]}
            yield wave
            places = {key: url for key, url in places.items() if key not in wave}


def _fields(id_: bytes, questions: Sequence[Question]) -> dict[str, Any]:
    parts = [encode_map({"group": one.group_id, "number": one.number, "root": one.root}) for one in questions]
    return {"id": id_, "questions": encode_array(parts)}


def _questions(fields: Fields) -> tuple[bytes, list[Question]]:
    id_, items = fields.bytes("id", ID_SIZE), fields.take("questions", list)
    fields.end()
    if len(items) > MAX_QUESTIONS:
        raise CborError(f"questions: at most {MAX_QUESTIONS} were expected, found {len(items)}")
    return id_, [_question(Fields(item, "question")) for item in items]


def _question(fields: Fields) -> Question:
    group_id, number, root = fields.bytes("group", KEY_SIZE), fields.take("number", int), fields.bytes("root", ROOT_SIZE)
    fields.end()
    if not 0 <= number < 1 << 63:
        raise CborError("question.number: a block number was expected")
    return Question(group_id, number, root)


def _roots(answer: Fields, url: str, id_: bytes, count: int) -> list[bytes | None] | None:
    """The roots in an answer to the request with `id_`; None if it is none."""
    try:
        same, roots = hmac.compare_digest(answer.bytes("id", ID_SIZE), id_), answer.take("roots", list)
        answer.end()
        if not same or len(roots) != count or any(type(root) is not bytes for root in roots):
            raise CborError("roots: an answer to each question of this request was expected")
        if any(len(root) not in (0, ROOT_SIZE) for root in roots):
            raise CborError(f"roots: {ROOT_SIZE} bytes or none were expected")
    except CborError as error:
        log.info(f"{url} answers with roots that cannot be used: {error}")
        return None
    return [root or None for root in roots]
