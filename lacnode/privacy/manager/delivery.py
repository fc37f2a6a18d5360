"""How payloads and groups get to other managers, to each in its own protocol.

Ours takes a payload together with the boxes that it is to keep for the others. An Orion does not know that path, refuses
it, and is sent the payload alone; a Tessera has a form of its own. Must not store anything, nor choose who receives.
"""

from collections.abc import Iterable, Iterator, Mapping, Set

from lacnode.privacy.keys import KeyPair, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encode_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_group
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED, PeerSender
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH, encode_push_with_boxes
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes


class PayloadDelivery:
    """Over `sender`, and `tessera` where Tesseras are known. Each method gives the URLs of the managers that confirm."""

    def __init__(self, sender: PeerSender, tessera: TesseraNodes | None) -> None:
        self._sender = sender
        self._tessera = tessera

    def tesseras(self, urls: Iterable[str]) -> set[str]:
        """Those of `urls` where a Tessera is."""
        return set() if self._tessera is None else {url for url in urls if self._tessera.has_tessera_at(url)}

    def payload(
        self,
        sealed: EncryptedPayload,
        own: KeyPair,
        parties: Mapping[bytes, int],
        places: Mapping[bytes, str],
        named: Set[bytes],
    ) -> set[str]:
        """Send `sealed` of `own` to the managers at `places` of its recipients, to each the boxes of its own keys by their
        positions in `parties`. Recipients that are `named` are told of one another, to keep each other's boxes."""
        at = _by_url(places, parties)
        theirs = {url: at.pop(url) for url in self.tesseras(at)}
        whole = {
            url: encode_push_with_boxes(_own_part(sealed, at[url]), sealed.key, boxes, own, to)
            for url, to, boxes in _spares(sealed, parties, places, named)
            if url in at
        }
        answers = self._post(PUSH_WITH_BOXES_PATH, whole)
        rest = [url for url in at if answers.get(url, REFUSED) == REFUSED]
        answers = {**answers, **self._post(PUSH_PATH, {url: _own_part(sealed, at[url]) for url in rest})}
        expected = to_base64(sealed.key).encode()
        reached = {url for url, answer in answers.items() if answer == expected}
        return reached if self._tessera is None else reached | self._tessera.push(sealed, theirs)

    def group(self, record: GroupRecord, own: KeyPair, places: Mapping[bytes, str]) -> set[str]:
        """Tell the managers at `places` of its members of a group, as `own`, who is one: with a proof to those that take
        one. An Orion does not know that path, refuses it, and is told without."""
        theirs = self.tesseras(places.values())
        others = {url: member for member, url in places.items() if url not in theirs}
        sealed = {url: encode_proven_group(record, own, member) for url, member in others.items()}
        expected = to_base64(record.id).encode()
        answers = self._post(PUSH_PROVEN_GROUP_PATH, {url: body for url, body in sealed.items() if body is not None})
        rest = [url for url in others if answers.get(url, REFUSED) == REFUSED]
        answers = {**answers, **self._post(PUSH_GROUP_PATH, dict.fromkeys(rest, encode_group(record)))}
        reached = {url for url, answer in answers.items() if answer == expected}
        return reached if self._tessera is None else reached | self._tessera.push_group(record, sorted(theirs))

    def _post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return self._sender.post(path, bodies) if bodies else {}


def _by_url(places: Mapping[bytes, str], parties: Mapping[bytes, int]) -> dict[str, dict[bytes, int]]:
    found: dict[str, dict[bytes, int]] = {}
    for member, url in places.items():
        found.setdefault(url, {})[member] = parties[member]
    return found


def _own_part(sealed: EncryptedPayload, keys: Mapping[bytes, int]) -> bytes:
    """The payload with the boxes of one manager's keys, encoded."""
    return encode_payload(sealed.only(list(keys.values())))


def _spares(
    sealed: EncryptedPayload, parties: Mapping[bytes, int], places: Mapping[bytes, str], named: Set[bytes]
) -> Iterator[tuple[str, bytes, dict[bytes, bytes]]]:
    """The manager of each named recipient, if there is another one: that recipient, and the boxes of the others."""
    for member, url in places.items():
        others = {key: sealed.boxes[parties[key]] for key in named if places.get(key) != url}
        if others and member in named:
            yield url, member, others
