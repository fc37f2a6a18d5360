// web3.js 4 with its default settings: an account of the node, and one with a key of its own.
// Usage: node web3js.mjs RPC_URL ARTIFACT PRIVATE_KEY. Prints one JSON object.
import { readFileSync } from "node:fs";
import { Web3 } from "web3";

const [url, file, key] = process.argv.slice(2);
const artifact = JSON.parse(readFileSync(file, "utf8"));
const web3 = new Web3(url);
const [account] = await web3.eth.getAccounts();
const token = await new web3.eth.Contract(artifact.abi)
  .deploy({ data: artifact.bytecode, arguments: [1000] })
  .send({ from: account });
const owner = web3.eth.accounts.wallet.add(key)[0];
const recipient = "0x" + "cd".repeat(20);
const receipt = await token.methods.transfer(recipient, 42).send({ from: owner.address });
const events = await token.getPastEvents("Transfer", { fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber });
console.log(
  JSON.stringify({
    type: Number((await web3.eth.getTransaction(receipt.transactionHash)).type),
    balance: (await token.methods.balanceOf(recipient).call()).toString(),
    events: events.length,
  }),
);
