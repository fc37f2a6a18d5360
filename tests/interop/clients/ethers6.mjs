// ethers 6 with its default settings: a signer of the node, and one with a key of its own.
// Usage: node ethers6.mjs RPC_URL ARTIFACT. Prints one JSON object.
import { readFileSync } from "node:fs";
import { ContractFactory, HDNodeWallet, JsonRpcProvider, verifyMessage } from "ethers";

const [url, file] = process.argv.slice(2);
const artifact = JSON.parse(readFileSync(file, "utf8"));
const provider = new JsonRpcProvider(url);
const signer = await provider.getSigner(0);
const token = await new ContractFactory(artifact.abi, artifact.bytecode, signer).deploy(1000n);
await token.waitForDeployment();
const owner = HDNodeWallet.fromPhrase("test test test test test test test test test test test junk").connect(provider);
const receipt = await (await token.connect(owner).transfer("0x" + "cd".repeat(20), 42n)).wait();
const signature = await signer.signMessage("hello");
console.log(
  JSON.stringify({
    type: (await provider.getTransaction(receipt.hash)).type,
    balance: (await token.balanceOf("0x" + "cd".repeat(20))).toString(),
    events: (await token.queryFilter("Transfer", receipt.blockNumber, receipt.blockNumber)).length,
    signer: verifyMessage("hello", signature) === owner.address,
  }),
);
provider.destroy();
