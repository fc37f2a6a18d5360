// Deploys a token with ethers, transfers some of it, and hears of it over WebSocket.
// Usage: node ethers.mjs RPC_URL WS_URL PRIVATE_KEY ARTIFACT. Prints one JSON object.
import { readFileSync } from "node:fs";
import { ContractFactory, Interface, JsonRpcProvider, Wallet, WebSocketProvider } from "ethers";

const [rpcUrl, wsUrl, key, artifactFile] = process.argv.slice(2);
const artifact = JSON.parse(readFileSync(artifactFile, "utf8"));
// ethers keeps an answer for 250 ms; a block may be made within that, and the nonce it remembers be used by then.
const provider = new JsonRpcProvider(rpcUrl, undefined, { polling: true, pollingInterval: 100, cacheTimeout: -1 });
const socket = new WebSocketProvider(wsUrl);
const wallet = new Wallet(key, provider);
const free = { gasPrice: 0, type: 0 };
const recipient = "0x" + "cd".repeat(20);

const head = new Promise((resolve) => socket.once("block", resolve));
const factory = new ContractFactory(artifact.abi, artifact.bytecode, wallet);
const token = await factory.deploy(10n ** 24n, free);
await token.waitForDeployment();
const address = await token.getAddress();

const topics = new Interface(artifact.abi).encodeFilterTopics("Transfer", [wallet.address, recipient]);
let tell;
const pushed = new Promise((resolve) => (tell = resolve));
await socket.once({ address, topics }, tell);
await socket.send("eth_chainId", []); // Answered after the subscription, which ethers does not wait for.
const receipt = await (await token.transfer(recipient, 42n, free)).wait();
const logs = await provider.getLogs({ address, topics, fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber });

console.log(
  JSON.stringify({
    status: receipt.status,
    balance: (await token.balanceOf(recipient)).toString(),
    logs: logs.length,
    pushedTransaction: (await pushed).transactionHash,
    transaction: receipt.hash,
    head: await head,
    chainId: (await provider.getNetwork()).chainId.toString(),
  }),
);
await socket.destroy();
provider.destroy();
