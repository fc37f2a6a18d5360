// ethers 5 with its default settings: a signer of the node, and one with a key of its own.
// Usage: node ethers5.mjs RPC_URL ARTIFACT. Prints one JSON object.
import { readFileSync } from "node:fs";
import { ethers } from "ethers-v5";

const [url, file] = process.argv.slice(2);
const artifact = JSON.parse(readFileSync(file, "utf8"));
const provider = new ethers.providers.JsonRpcProvider(url);
const signer = provider.getSigner(0);
const token = await new ethers.ContractFactory(artifact.abi, artifact.bytecode, signer).deploy(1000);
await token.deployed();
const owner = ethers.Wallet.fromMnemonic("test test test test test test test test test test test junk").connect(provider);
const receipt = await (await token.connect(owner).transfer("0x" + "cd".repeat(20), 42)).wait();
const signature = await signer.signMessage("hello");
console.log(
  JSON.stringify({
    type: (await provider.getTransaction(receipt.transactionHash)).type,
    balance: (await token.balanceOf("0x" + "cd".repeat(20))).toString(),
    events: (await token.queryFilter("Transfer", receipt.blockNumber, receipt.blockNumber)).length,
    signer: ethers.utils.verifyMessage("hello", signature) === owner.address,
  }),
);
