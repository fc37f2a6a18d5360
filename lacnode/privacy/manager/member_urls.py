"""Where members' managers are, and how far that is proven, before anything is sent to them. Must not send payloads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lacnode.privacy.keys import KEY_BYTES, to_base64
from lacnode.privacy.manager.key_proofs import KeyProofs, KeyProofStatus
from lacnode.privacy.manager.peer_directory import PeerDirectory
from lacnode.privacy.manager.tessera.tessera_nodes import TesseraNodes


class MemberUrlError(Exception):
    """A member that nothing can be sent to; `code` is Orion's code word, the text is for the client."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class MemberUrls:
    """The URL of each member's manager. `silent` members' managers did not answer when asked for a proof; those of
    `unproven` members have given none."""

    urls: Mapping[bytes, str]
    silent: Collection[bytes] = ()
    unproven: Sequence[bytes] = ()

    @property
    def reachable_urls(self) -> dict[bytes, str]:
        """The URLs of the managers that something may be sent to now."""
        return {member: url for member, url in self.urls.items() if member not in self.silent}

    def not_in(self, reached: Collection[str]) -> list[bytes]:
        """The members whose manager is not among the URLs `reached`."""
        return [member for member, url in self.urls.items() if member in self.silent or url not in reached]


class MemberUrlFinder:
    """Looks them up at the `peers` that are known, and at `tessera`, where a key is proven when it is met. Without `proofs`
    nobody is asked for one."""

    def __init__(self, peers: PeerDirectory, tessera: TesseraNodes | None, proofs: KeyProofs | None) -> None:
        self._peers = peers
        self._tessera = tessera
        self._proofs = proofs

    def of(self, members: Iterable[bytes]) -> MemberUrls:
        """Of `members`, which are keys of others; MemberUrlError. As long as their managers take to prove their keys."""
        urls, announced = dict[bytes, str](), dict[bytes, str]()
        for member in members:
            url = self._announced(member)
            if url is None:
                urls[member] = self._at_tessera(member, f"no manager has said that it has the key {to_base64(member)}")
            else:
                urls[member] = announced[member] = url
        if self._proofs is None:
            return MemberUrls(urls, unproven=list(announced))
        proof_statuses = self._proofs.proof_statuses(announced)
        for member in _of(proof_statuses, KeyProofStatus.REFUSED):
            reason = f"the manager at {urls[member]} does not prove its key {to_base64(member)}"
            urls[member] = self._at_tessera(member, reason)
        return MemberUrls(
            urls, _of(proof_statuses, KeyProofStatus.SILENT), _of(proof_statuses, KeyProofStatus.UNPROVEN)
        )

    def accepts_unproven_group(self, members: Sequence[bytes]) -> bool:
        """Whether the manager of one of `members` may be an Orion or a Tessera, which prove no key when they tell of a
        group."""
        if self._proofs is None:
            return True
        at_tessera = {} if self._tessera is None else self._tessera.places
        known = {member: url for member in members if (url := self._peers.url_of(member)) is not None}
        return any(member in at_tessera for member in members) or self._proofs.accepts_unproven_keys(known)

    def _announced(self, member: bytes) -> str | None:
        if len(member) != KEY_BYTES:
            text = f"a key of {KEY_BYTES} bytes was expected, found {len(member)}"
            raise MemberUrlError("EnclaveDecodePublicKey", text)
        return self._peers.url_of(member)

    def _at_tessera(self, member: bytes, otherwise: str) -> str:
        url = None if self._tessera is None else self._tessera.url_of(member)
        if url is None:
            raise MemberUrlError("NodeMissingPeerUrl", otherwise)
        return url


def _of(proof_statuses: Mapping[bytes, KeyProofStatus], wanted: KeyProofStatus) -> list[bytes]:
    return [key for key, standing in proof_statuses.items() if standing is wanted]
