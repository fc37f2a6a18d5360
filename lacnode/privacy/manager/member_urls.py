"""Finds the URL of each member's manager, and its proof, before anything is sent there. Must not send payloads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lacnode.privacy.keys import KEY_BYTES, to_base64
from lacnode.privacy.manager.key_proofs import KeyProofs, KeyProofStatus
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes


class MemberUrlError(Exception):
    """Nothing can be sent to a member. `code` is Orion's error code. The text is for the client."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class MemberUrls:
    """The URL of each member's manager, by the member's public key.

    The managers of `silent` members did not answer the question for a proof. The managers of `unproven` members gave no
    proof, and none is needed there.
    """

    urls: Mapping[bytes, str]
    silent: Collection[bytes] = ()
    unproven: Sequence[bytes] = ()

    @property
    def reachable_urls(self) -> dict[bytes, str]:
        """A new dictionary of the URLs by member (public key), without the `silent` members, whose managers did not
        answer the question for a proof."""
        return {member: url for member, url in self.urls.items() if member not in self.silent}

    def members_not_at(self, reached: Collection[str]) -> list[bytes]:
        """Return the members whose manager is not among the URLs `reached`, or did not answer the question for a proof."""
        return [member for member, url in self.urls.items() if member in self.silent or url not in reached]


class MemberUrlFinder:
    """Finds the URLs of members' managers: in the directory `peers`, and for keys that are not there, or not proven
    there, at `tessera` (None without Tesseras), where a key is proven at first contact.

    Without `proofs` no manager is asked for a proof.
    """

    def __init__(self, peers: PeerDirectory, tessera: TesseraNodes | None, proofs: KeyProofs | None) -> None:
        self._peers = peers
        self._tessera = tessera
        self._proofs = proofs

    def find_urls(self, members: Iterable[bytes]) -> MemberUrls:
        """Return the URLs of `members` (public keys of other managers). This blocks for the time of the proofs. A
        manager that does not answer is no error: its member is `silent`.

        MemberUrlError if a member has no known manager, its key has not 32 bytes, or its manager does not prove the
        key. EnclaveError `NoSenderKey` if proofs are required and this manager has no key.
        """
        urls, announced = dict[bytes, str](), dict[bytes, str]()
        for member in members:
            # The directory comes first. A lacnode or Orion manager that claims the key is asked for a proof below.
            url = self._directory_url(member)
            # A key may be at a Tessera and be claimed by another manager too. The claim needs a proof below. If it fails,
            # the Tessera is used, so a false claim cannot keep payloads from the Tessera's users.
            if url is None:
                urls[member] = self._tessera_url(member, f"no manager has said that it has the key {to_base64(member)}")
            else:
                urls[member] = announced[member] = url
        # Without proofs the operator has chosen Orion's rule. All URLs are then used, and the audit log names the keys.
        if self._proofs is None:
            return MemberUrls(urls, unproven=list(announced))
        proof_statuses = self._proofs.query_proof_statuses(announced)
        for member in _keys_with_status(proof_statuses, KeyProofStatus.REFUSED):
            reason = f"the manager at {urls[member]} does not prove its key {to_base64(member)}"
            urls[member] = self._tessera_url(member, reason)
        return MemberUrls(
            urls,
            _keys_with_status(proof_statuses, KeyProofStatus.SILENT),
            _keys_with_status(proof_statuses, KeyProofStatus.UNPROVEN),
        )

    def may_be_announced_unproven(self, members: Sequence[bytes]) -> bool:
        """Return True if another manager may announce a group of `members` (public keys of 32 bytes) without a proof of
        its key: the manager of one of them may be an Orion or a Tessera, which prove no key. Always True without
        `proofs`. Managers may be asked for a proof."""
        if self._proofs is None:
            return True
        at_tessera = {} if self._tessera is None else self._tessera.key_urls
        # Only keys that a manager has named as its own. A stranger can say of thousands of keys that they are at an Orion,
        # and each would be asked for.
        named = [member for member in members if self._peers.is_key_of_called_manager(member)]
        known = {member: url for member in named if (url := self._peers.url_of(member)) is not None}
        return any(member in at_tessera for member in members) or self._proofs.any_manager_may_be_orion(known)

    def _directory_url(self, member: bytes) -> str | None:
        if len(member) != KEY_BYTES:
            text = f"a key of {KEY_BYTES} bytes was expected, found {len(member)}"
            raise MemberUrlError("EnclaveDecodePublicKey", text)
        return self._peers.url_of(member)

    def _tessera_url(self, member: bytes, otherwise: str) -> str:
        # The keys of Tesseras were proven when this manager met them, so they need no proof here.
        url = None if self._tessera is None else self._tessera.url_of(member)
        if url is None:
            raise MemberUrlError("NodeMissingPeerUrl", otherwise)
        return url


def _keys_with_status(proof_statuses: Mapping[bytes, KeyProofStatus], wanted: KeyProofStatus) -> list[bytes]:
    return [key for key, status in proof_statuses.items() if status is wanted]
