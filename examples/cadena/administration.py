"""A customs administration: its node, its account, its identifier on the chain, and what it can say and see."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from hexbytes import HexBytes
from web3.contract import Contract
from web3.types import EventData, TxReceipt

from examples.cadena.records import Record, Status
from examples.private_client import Member

ARTIFACTS = json.loads((Path(__file__).parent / "contracts" / "artifacts.json").read_text("utf-8"))["contracts"]
NOWHERE = "0x" + "00" * 20


@dataclass(frozen=True)
class Exchange:
    """One record that was sent: the marker of the private transaction, and the block that has it."""

    record: Record
    marker: str
    number: int


class Administration:
    """`title` is what it is called in the story."""

    def __init__(self, title: str, member: Member, account: LocalAccount) -> None:
        self.title = title
        self.member = member
        self.account = account
        self.identifier = f"did:lac:devnet:{account.address.lower()}"
        self._private = member.web3.eth.contract(abi=ARTIFACTS["Recognition"]["abi"])

    # -- the public chain --------------------------------------------------------------------------------------------

    def deploy_identifiers(self) -> tuple[str, HexBytes]:
        """Make the registry that all administrations share; its address, and the transaction that made it."""
        factory = self.member.web3.eth.contract(**_code("Identifiers"))
        receipt = self._transact(factory.constructor())
        assert receipt["contractAddress"] is not None
        return receipt["contractAddress"], receipt["transactionHash"]

    def register(self, registry: str) -> None:
        """Put this administration's identifier on the chain."""
        self._transact(self._identifiers(registry).functions.register(self.identifier))

    def prove(self, registry: str, exchange: Exchange) -> HexBytes:
        """Put the hash of what was sent on the chain; the transaction that did."""
        function = self._identifiers(registry).functions.prove
        return self._transact(function(exchange.record.commitment, exchange.marker))["transactionHash"]

    def proofs(self, registry: str) -> list[EventData]:
        """Every proof on the chain, as this administration's node has them."""
        return list(self._identifiers(registry).events.Exchanged().get_logs(from_block=0))

    def verify(self, registry: str, record: Record) -> tuple[str, EventData]:
        """Who issued a record that somebody shows, by the public chain alone, and the proof; LookupError if nobody did."""
        for proof in self.proofs(registry):
            if proof["args"]["commitment"] == record.commitment and proof["args"]["issuer"] == record.issuer:
                return self._identifiers(registry).functions.identifierOf(record.issuer).call(), proof
        raise LookupError("nobody has put this record on the chain")

    def _identifiers(self, registry: str) -> Contract:
        return self.member.web3.eth.contract(registry, abi=ARTIFACTS["Identifiers"]["abi"])

    def _transact(self, call: Any) -> TxReceipt:
        eth = self.member.web3.eth
        nonce = eth.get_transaction_count(self.account.address, "pending")
        fields = call.build_transaction({"from": self.account.address, "gasPrice": 0, "nonce": nonce})
        receipt = eth.wait_for_transaction_receipt(
            eth.send_raw_transaction(self.account.sign_transaction(fields).raw_transaction)
        )
        assert receipt["status"] == 1, f"{self.title}: a public transaction failed"
        return receipt

    # -- what only the partners have -----------------------------------------------------------------------------------

    def arrange(self, partner: "Administration") -> str:
        """Make a group with a partner; its id."""
        keys = [self.member.key, partner.member.key]
        group = {"addresses": keys, "name": "arrangement", "description": "mutual recognition of operators"}
        return str(self.member.ask("priv_createPrivacyGroup", group))

    def deploy_recognition(self, group: str, registry: str) -> str:
        """Make the private contract of a group; its address there."""
        call = self.member.web3.eth.contract(**_code("Recognition")).constructor(registry)
        marker = self.member.send(self.account, group, bytes.fromhex(call.data_in_transaction[2:]))
        return str(self._done(marker)["contractAddress"])

    def issue(self, group: str, contract: str, operator: str, valid_until: int) -> Exchange:
        """Give an operator a certificate."""
        record = Record.new(self.account.address, operator, Status.VALID, valid_until)
        return self._send(group, contract, record, "issue", [operator, valid_until, record.salt])

    def change(self, group: str, contract: str, operator: str, status: Status) -> Exchange:
        """Suspend, reinstate or revoke a certificate of its own."""
        _, _, valid_until, _ = self.certificate(group, contract, operator)
        record = Record.new(self.account.address, operator, status, valid_until)
        return self._send(group, contract, record, "change", [operator, status, record.salt])

    def certificate(
        self, group: str, contract: str, operator: str, block: str = "latest"
    ) -> tuple[str, Status, int, bytes]:
        """Issuer, status, end and last hash of an operator's certificate as of `block`; nothing of it where the contract is
        not known."""
        data = self._private.encode_abi("certificateOf", [operator])
        answer = self.member.call(group, contract, bytes.fromhex(data[2:]), block)
        if not answer:
            return NOWHERE, Status.NONE, 0, b""
        codec = self.member.web3.codec
        ((issuer, status, valid_until, commitment),) = codec.decode(["(address,uint8,uint64,bytes32)"], answer)
        return issuer, Status(status), valid_until, commitment

    def _send(self, group: str, contract: str, record: Record, name: str, values: list[object]) -> Exchange:
        data = bytes.fromhex(self._private.encode_abi(name, values)[2:])
        marker = self.member.send(self.account, group, data, contract)
        return Exchange(record, marker, int(self._done(marker)["blockNumber"], 16))

    def _done(self, marker: str) -> dict[str, Any]:
        receipt = self.member.receipt(marker)
        assert receipt["status"] == "0x1", f"{self.title}: the private transaction of {marker} failed"
        return receipt


def _code(name: str) -> dict[str, Any]:
    return {"abi": ARTIFACTS[name]["abi"], "bytecode": ARTIFACTS[name]["bytecode"]}
