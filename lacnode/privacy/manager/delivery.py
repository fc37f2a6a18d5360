"""The delivery of payloads and groups to other managers, to each in its own protocol.

A lacnode manager accepts a payload together with recovery boxes. An Orion does not know that path and refuses it. It then
receives the payload alone. A Tessera has its own form. This module must not store anything or choose the recipients.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cache

from lacnode.privacy.keys import KeyPair, KeyRing, to_base64
from lacnode.privacy.manager.encrypted_payload import EncryptedPayload, encode_orion_payload
from lacnode.privacy.manager.group_record import GroupRecord, encode_orion_group
from lacnode.privacy.manager.member_urls import MemberUrlError, MemberUrlFinder, MemberUrls
from lacnode.privacy.manager.peer_paths import PUSH_GROUP_PATH, PUSH_PATH
from lacnode.privacy.manager.peer_sender import REFUSED_REPLY, PeerSender
from lacnode.privacy.manager.proven_group import PUSH_PROVEN_GROUP_PATH, encode_proven_group
from lacnode.privacy.manager.recovery_boxes import PUSH_WITH_BOXES_PATH, encode_push_with_boxes, make_recovery_box
from lacnode.privacy.manager.tessera.tessera_group import has_same_id_at_tessera
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes
from lacnode.privacy.transaction_manager import EnclaveError

MEMBERS_NAMED_IN_MESSAGES = 10
"""The largest number of recipients in one error text."""


class PayloadDelivery:
    """Sends payloads and groups to the managers that `url_finder` finds: over `sender`, and over `tessera` to Tesseras.
    It blocks, so the event loop must not call it."""

    def __init__(
        self, keys: KeyRing, sender: PeerSender, tessera: TesseraNodes | None, url_finder: MemberUrlFinder
    ) -> None:
        self._keys = keys
        self._sender = sender
        self._tessera = tessera
        self._url_finder = url_finder

    def find_urls(self, members: Iterable[bytes]) -> MemberUrls:
        """Return the URLs of the managers of those `members` (public keys) that are not own keys. EnclaveError
        `NodeMissingPeerUrl` if the manager of one is unknown or does not prove the key, `EnclaveDecodePublicKey` if a
        key has not 32 bytes, `NoSenderKey` if proofs are required and this manager has no key.

        A manager that does not answer is no error: its member is `silent`. This blocks for the time in which the
        managers prove their keys.
        """
        others = [member for member in members if self._keys.find_pair(member) is None]
        try:
            return self._url_finder.find_urls(others)
        except MemberUrlError as error:
            raise EnclaveError(error.code, str(error)) from None

    def may_be_announced_unproven(self, members: Sequence[bytes]) -> bool:
        """Return True if another manager may announce a group of `members` (public keys of 32 bytes) without a proof of
        its key: the manager of one of them may be an Orion or a Tessera, which prove no key. Always True if no proofs
        are required here. Managers may be asked for a proof."""
        return self._url_finder.may_be_announced_unproven(members)

    def require_same_id_at_tesseras(self, record: GroupRecord, urls: Iterable[str]) -> None:
        """Check that a Tessera at one of `urls` computes the same id for the group of `record`. Other managers always
        do. EnclaveError `EnclavePrivacyGroupIdCreation` if it does not. No manager is called."""
        # The members of a Tessera would get another group id from their Tessera. Payloads would never find their group.
        if self._find_tesseras(urls) and not has_same_id_at_tessera(record.members, record.seed):
            raise EnclaveError(
                "EnclavePrivacyGroupIdCreation", "the group is too large for a Tessera, which would name it otherwise"
            )

    def _find_tesseras(self, urls: Iterable[str]) -> set[str]:
        """Return those of `urls` where the operator has named a Tessera. No manager is called."""
        return set() if self._tessera is None else {url for url in urls if self._tessera.has_tessera_at(url)}

    def deliver_payload(
        self,
        sealed: EncryptedPayload,
        own: KeyPair,
        box_positions: Mapping[bytes, int],
        urls_by_key: Mapping[bytes, str],
        revealed_keys: Set[bytes],
    ) -> set[str]:
        """Send `sealed` of `own` to the managers of its recipients. Return the URLs that confirmed it. A manager that
        refuses or does not answer is left out, and no error is raised.

        `box_positions` and `urls_by_key` have for each recipient (a public key) the position of its box and the URL of
        its manager. Each manager receives the boxes of its own keys. The recipients in `revealed_keys` are revealed to
        each other, so that they can keep recovery boxes.
        """
        at = _boxes_by_url(urls_by_key, box_positions)
        theirs = {url: at.pop(url) for url in self._find_tesseras(at)}
        whole = {
            url: encode_push_with_boxes(_encode_own_part(sealed, at[url]), sealed.key, boxes, own, to)
            for url, to, boxes in _recovery_boxes(sealed, own, box_positions, urls_by_key, revealed_keys)
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
        return reached if self._tessera is None else reached | self._tessera.push_payload(sealed, theirs)

    def announce_group(self, record: GroupRecord, own: KeyPair, urls_by_key: Mapping[bytes, str]) -> set[str]:
        """Announce a group to the managers in `urls_by_key` (URLs by member) as the member `own`. Return the URLs that
        confirmed it. A manager that refuses or does not answer is left out, and no error is raised.

        A lacnode manager receives a proof. An Orion does not know that path, refuses it, and receives no proof.
        """
        theirs = self._find_tesseras(urls_by_key.values())
        # One message for each URL is enough, to any of its members.
        others = {url: member for member, url in urls_by_key.items() if url not in theirs}
        sealed = {url: encode_proven_group(record, own, member) for url, member in others.items()}
        expected = to_base64(record.id).encode()
        answers = self._post(PUSH_PROVEN_GROUP_PATH, {url: body for url, body in sealed.items() if body is not None})
        rest = [url for url in others if answers.get(url, REFUSED_REPLY) == REFUSED_REPLY]
        answers = {**answers, **self._post(PUSH_GROUP_PATH, dict.fromkeys(rest, encode_orion_group(record)))}
        reached = {url for url, answer in answers.items() if answer == expected}
        return reached if self._tessera is None else reached | self._tessera.push_group(record, sorted(theirs))

    def _post(self, path: str, bodies: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return self._sender.post(path, bodies) if bodies else {}


def _boxes_by_url(urls_by_key: Mapping[bytes, str], box_positions: Mapping[bytes, int]) -> dict[str, dict[bytes, int]]:
    found: dict[str, dict[bytes, int]] = {}
    for member, url in urls_by_key.items():
        found.setdefault(url, {})[member] = box_positions[member]
    return found


def _encode_own_part(sealed: EncryptedPayload, keys: Mapping[bytes, int]) -> bytes:
    """Encode the payload with the boxes of one manager's keys."""
    return encode_orion_payload(sealed.with_boxes_at(list(keys.values())))


def _recovery_boxes(
    sealed: EncryptedPayload,
    own: KeyPair,
    box_positions: Mapping[bytes, int],
    urls_by_key: Mapping[bytes, str],
    revealed_keys: Set[bytes],
) -> Iterator[tuple[str, bytes, dict[bytes, bytes]]]:
    """Yield for each revealed recipient its manager's URL, the recipient, and the recovery boxes of the revealed recipients
    elsewhere."""
    masked = cache(lambda key: make_recovery_box(sealed, box_positions[key], own, key))
    for member, url in urls_by_key.items():
        # A key at the same manager needs no recovery box: both keys share one store.
        others = {key: masked(key) for key in revealed_keys if urls_by_key.get(key) != url}
        if others and member in revealed_keys:
            yield url, member, others


def keys_for_error_text(members: Sequence[bytes]) -> str:
    """Return public keys in base64 for an error text, with commas: at most `MEMBERS_NAMED_IN_MESSAGES`, and the number
    of the others."""
    more = f" and {len(members) - MEMBERS_NAMED_IN_MESSAGES} more" if len(members) > MEMBERS_NAMED_IN_MESSAGES else ""
    return ", ".join(map(to_base64, members[:MEMBERS_NAMED_IN_MESSAGES])) + more
