"""web3.py with its default settings: an account of the node, one with a key of its own, and an asynchronous client.

Usage: python default_settings.py RPC_URL ARTIFACT PRIVATE_KEY. Prints one JSON object.
"""

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path

from web3 import AsyncHTTPProvider, AsyncWeb3, HTTPProvider, Web3
from web3.exceptions import Web3RPCError
from web3.middleware import ExtraDataToPOAMiddleware, SignAndSendRawMiddlewareBuilder

url, artifact_file, key = sys.argv[1:]
artifact = json.loads(Path(artifact_file).read_text())
recipient = Web3.to_checksum_address("0x" + "cd" * 20)

web3 = Web3(HTTPProvider(url))
# Blocks of every chain with validators need it: their extra data is longer than that of others.
web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
account = web3.eth.accounts[0]
made = (
    web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"]).constructor(1000).transact({"from": account})
)
token = web3.eth.contract(web3.eth.wait_for_transaction_receipt(made)["contractAddress"], abi=artifact["abi"])

# The middleware fills in what is missing, signs, and sends.
owner = web3.eth.account.from_key(key)
web3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(owner), layer=0)
sent = token.functions.transfer(recipient, 42).transact({"from": owner.address})
receipt = web3.eth.wait_for_transaction_receipt(sent)
logs = token.events.Transfer().get_logs(from_block=receipt["blockNumber"])
try:
    token.functions.transfer(recipient, 10**30).transact({"from": owner.address})
    refusal = ""
except Web3RPCError as error:
    refusal = str(error)


async def balance_now() -> int:
    client = AsyncWeb3(AsyncHTTPProvider(url))
    try:
        return int(await client.eth.contract(token.address, abi=artifact["abi"]).functions.balanceOf(recipient).call())
    finally:
        await client.provider.disconnect()


print(
    json.dumps(
        {
            "release": version("web3").split(".")[0],
            "type": web3.eth.get_transaction(sent)["type"],
            "status": receipt["status"],
            "balance": asyncio.run(balance_now()),
            "events": [log["args"]["value"] for log in logs],
            "says_why": "balance too low" in refusal,
            "head": web3.eth.get_block("latest")["number"] >= 2,
            "signed": len(web3.eth.sign(account, text="hello")) > 2,
        }
    )
)
