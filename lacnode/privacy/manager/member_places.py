"""Where members' managers are, and how far that is proven, before anything is sent to them. Must not send payloads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from lacnode.privacy.keys import KEY_SIZE, to_text
from lacnode.privacy.manager.key_proofs import KeyProofs, KeyStanding
from lacnode.privacy.manager.peers import Peers
from lacnode.privacy.manager.tessera.nodes import TesseraNodes


class NoPlaceError(Exception):
    """A member that nothing can be sent to; `code` is Orion's code word, the text is for the client."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Places:
    """The URL of each member's manager. `silent` members' managers did not answer when asked for a proof; those of
    `unproven` members have given none."""

    urls: Mapping[bytes, str]
    silent: Collection[bytes] = ()
    unproven: Sequence[bytes] = ()

    @property
    def answering(self) -> dict[bytes, str]:
        """The URLs of the managers that something may be sent to now."""
        return {member: url for member, url in self.urls.items() if member not in self.silent}

    def not_in(self, reached: Collection[str]) -> list[bytes]:
        """The members whose manager is not among the URLs `reached`."""
        return [member for member, url in self.urls.items() if member in self.silent or url not in reached]


class MemberPlaces:
    """Looks them up at the `peers` that are known, and at `tessera`, where a key is proven when it is met. Without `proofs`
    nobody is asked for one."""

    def __init__(self, peers: Peers, tessera: TesseraNodes | None, proofs: KeyProofs | None) -> None:
        self._peers = peers
        self._tessera = tessera
        self._proofs = proofs

    def of(self, members: Iterable[bytes]) -> Places:
        """Of `members`, which are keys of others; NoPlaceError. As long as their managers take to prove their keys."""
        urls, announced = dict[bytes, str](), dict[bytes, str]()
        for member in members:
            url = self._announced(member)
            if url is None:
                urls[member] = self._at_tessera(member, f"no manager has said that it has the key {to_text(member)}")
            else:
                urls[member] = announced[member] = url
        if self._proofs is None:
            return Places(urls, unproven=list(announced))
        standings = self._proofs.standings(announced)
        for member in _of(standings, KeyStanding.REFUSED):
            reason = f"the manager at {urls[member]} does not prove its key {to_text(member)}"
            urls[member] = self._at_tessera(member, reason)
        return Places(urls, _of(standings, KeyStanding.SILENT), _of(standings, KeyStanding.UNPROVEN))

    def may_tell_without_proof(self, members: Sequence[bytes]) -> bool:
        """Whether the manager of one of `members` may be an Orion or a Tessera, which prove no key when they tell of a
        group."""
        if self._proofs is None:
            return True
        at_tessera = {} if self._tessera is None else self._tessera.places
        known = {member: url for member in members if (url := self._peers.url_of(member)) is not None}
        return any(member in at_tessera for member in members) or self._proofs.may_be_told_without(known)

    def _announced(self, member: bytes) -> str | None:
        if len(member) != KEY_SIZE:
            text = f"a key of {KEY_SIZE} bytes was expected, found {len(member)}"
            raise NoPlaceError("EnclaveDecodePublicKey", text)
        return self._peers.url_of(member)

    def _at_tessera(self, member: bytes, otherwise: str) -> str:
        url = None if self._tessera is None else self._tessera.url_of(member)
        if url is None:
            raise NoPlaceError("NodeMissingPeerUrl", otherwise)
        return url


def _of(standings: Mapping[bytes, KeyStanding], wanted: KeyStanding) -> list[bytes]:
    return [key for key, standing in standings.items() if standing is wanted]
