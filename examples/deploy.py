"""Deploy a token on the devnet, transfer some of it, and read the event back.

Run `make devnet` in one terminal and `.venv/bin/python examples/deploy.py` in another.
"""

import json
import subprocess
import sys
from pathlib import Path

from web3 import Web3

TOKEN = json.loads((Path(__file__).parent / "contracts" / "Token.json").read_text())
SUPPLY = 1_000_000 * 10**18


def devnet() -> dict[str, list[dict[str, str]]]:
    """Nodes and accounts of the running devnet."""
    status = [sys.executable, "-m", "lacnode", "devnet", "status", "--json"]
    answer: dict[str, list[dict[str, str]]] = json.loads(
        subprocess.run(status, check=True, stdout=subprocess.PIPE).stdout
    )
    return answer


def main() -> None:
    network = devnet()
    web3 = Web3(Web3.HTTPProvider(network["nodes"][0]["rpc_url"]))
    account = web3.eth.account.from_key(network["accounts"][0]["private_key"])
    other = Web3.to_checksum_address(network["accounts"][1]["address"])

    def send(call):  # type: ignore[no-untyped-def]
        """Sign and send a contract call without paying for gas; its receipt."""
        nonce = web3.eth.get_transaction_count(account.address, "pending")
        transaction = call.build_transaction({"from": account.address, "nonce": nonce, "gasPrice": 0})
        sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
        return web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.1)

    receipt = send(web3.eth.contract(abi=TOKEN["abi"], bytecode=TOKEN["bytecode"]).constructor(SUPPLY))
    token = web3.eth.contract(address=receipt["contractAddress"], abi=TOKEN["abi"])
    print(f"token {token.address} deployed in block {receipt['blockNumber']}")

    receipt = send(token.functions.transfer(other, 5 * 10**18))
    (event,) = token.events.Transfer().process_receipt(receipt)
    print(f"{event['args']['value'] / 10**18} EXT sent to {event['args']['to']} in block {receipt['blockNumber']}")
    print(f"balance there: {token.functions.balanceOf(other).call() / 10**18} EXT")


if __name__ == "__main__":
    main()
