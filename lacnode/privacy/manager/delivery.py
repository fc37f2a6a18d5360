"""The delivery of payloads and groups to other managers, to each in its own protocol.

A lacnode manager accepts a payload together with recovery boxes. An Orion does not know that path and refuses it. It then
receives the payload alone. A Tessera has its own form. This module must not store anything or choose the recipients.
"""

from collections.abc import Iterable, Iterator, Mapping, Set

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encode_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_group
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerSender
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH, encode_push_with_boxes
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes


class PayloadDelivery:
    """Sends over `sender`, and over `tessera` to Tesseras. Each method returns the URLs of the managers that confirmed."""

    def __init__(self, sender: PeerSender, tessera: TesseraNodes | None) -> None:
        self._sender = sender
        self._tessera = tessera

    def find_tesseras(self, urls: Iterable[str]) -> set[str]:
        """Return those of `urls` that are Tesseras."""
        return set() if self._tessera is None else {url for url in urls if self._tessera.has_tessera_at(url)}

    def deliver_payload(
        self,
        sealed: EncryptedPayload,
        own: KeyPair,
        parties: Mapping[bytes, int],
        places: Mapping[bytes, str],
        named: Set[bytes],
    ) -> set[str]:
        """Send `sealed` of `own` to the managers of its recipients. Return the URLs that confirmed it.

        `places` are the URLs by recipient. `parties` are the positions of the boxes by recipient. Each manager receives the
        boxes of its own keys. Recipients in `named` are revealed to each other, so that they can keep recovery boxes.
        """
        at = _boxes_by_url(places, parties)
        theirs = {url: at.pop(url) for url in self.find_tesseras(at)}
        whole = {
            url: encode_push_with_boxes(_encode_own_part(sealed, at[url]), sealed.key, boxes, own, to)
            for url, to, boxes in _recovery_boxes(sealed, parties, places, named)
            if url in at
        }
        # The protocol of a manager is not known in advance. The path of lacnode is tried first. A refusal means Orion.
        answers = self._post(PUSH_WITH_BOXES_PATH, whole)
        # A manager without an answer is not tried on Orion's path. It would cost a second timeout.
        rest = [url for url in at if answers.get(url, REFUSED_REPLY) == REFUSED_REPLY]
        answers = {**answers, **self._post(PUSH_PATH, {url: _encode_own_part(sealed, at[url]) for url in rest})}
        # The right answer is the key of the payload. Any other text means that the manager stored something else.
        expected = to_base64(sealed.key).encode()
        reached = {url for url, answer in answers.items() if answer == expected}
        return reached if self._tessera is None else reached | self._tessera.push(sealed, theirs)

    def announce_group(self, record: GroupRecord, own: KeyPair, places: Mapping[bytes, str]) -> set[str]:
        """Announce a group to the managers at `places` (URLs by member) as the member `own`. Return the URLs that confirmed.

        A lacnode manager receives a proof. An Orion does not know that path, refuses it, and receives no proof.
        """
        theirs = self.find_tesseras(places.values())
        # One message for each URL is enough, to any of its members.
        others = {url: member for member, url in places.items() if url not in theirs}
        sealed = {url: encode_proven_group(record, own, member) for url, member in others.items()}
        expected = to_base64(record.id).encode()
        answers = self._post(PUSH_PROVEN_GROUP_PATH, {url: body for url, body in sealed.items() if body is not None})
        rest = [url for url in others if answers.get(url, REFUSED_REPLY) == REFUSED_REPLY]
        answers = {**answers, **self._post(PUSH_GROUP_PATH, dict.fromkeys(rest, encode_group(record)))}
        reached = {url for url, answer in answers.items() if answer == expected}
        return reached if self._tessera is None else reached | self._tessera.push_group(record, sorted(theirs))

    def _post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return self._sender.post(path, bodies) if bodies else {}


def _boxes_by_url(places: Mapping[bytes, str], parties: Mapping[bytes, int]) -> dict[str, dict[bytes, int]]:
    found: dict[str, dict[bytes, int]] = {}
    for member, url in places.items():
        found.setdefault(url, {})[member] = parties[member]
    return found


def _encode_own_part(sealed: EncryptedPayload, keys: Mapping[bytes, int]) -> bytes:
    """Encode the payload with the boxes of one manager's keys."""
    return encode_payload(sealed.only(list(keys.values())))


def _recovery_boxes(
    sealed: EncryptedPayload, parties: Mapping[bytes, int], places: Mapping[bytes, str], named: Set[bytes]
) -> Iterator[tuple[str, bytes, dict[bytes, bytes]]]:
    """Yield for each named recipient its manager's URL, the recipient, and the boxes of the named recipients elsewhere."""
    for member, url in places.items():
        # A key at the same manager needs no recovery box: both keys share one store.
        others = {key: sealed.boxes[parties[key]] for key in named if places.get(key) != url}
        if others and member in named:
            yield url, member, others
