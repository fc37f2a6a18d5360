// Hardhat's network helpers: fixtures, time and blocks, over the consensus of the devnet.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const hre = require("hardhat");
const {
  getStorageAt, loadFixture, mine, setBalance, setCode, setNonce, setStorageAt, takeSnapshot, time,
} = require("@nomicfoundation/hardhat-network-helpers");

const artifact = JSON.parse(readFileSync(process.env.ARTIFACT, "utf8"));
const recipient = "0x" + "ef".repeat(20);

async function deployed() {
  const [owner] = await hre.ethers.getSigners();
  const token = await new hre.ethers.ContractFactory(artifact.abi, artifact.bytecode, owner).deploy(1000n);
  return { token, owner };
}

describe("a token on the devnet", () => {
  it("is deployed by the first fixture", async () => {
    const { token, owner } = await loadFixture(deployed);
    await token.transfer(recipient, 10n);
    assert.equal(await token.balanceOf(owner.address), 990n);
  });

  it("is as it was when the fixture is loaded again", async () => {
    const { token, owner } = await loadFixture(deployed);
    assert.equal(await token.balanceOf(recipient), 0n);
    assert.equal(await token.balanceOf(owner.address), 1000n);
  });

  it("sees the time that the helpers set", async () => {
    const snapshot = await takeSnapshot();
    const before = await time.latest();
    await time.increaseTo(before + 3600);
    assert.equal(await time.latest(), before + 3600);
    assert.ok((await time.increase(60)) >= before + 3660);
    const height = await time.latestBlock();
    await mine(3);
    assert.equal(await time.latestBlock(), height + 3);
    await snapshot.restore();
    assert.equal(await time.latest(), before);
  });

  it("has the state that the helpers set", async () => {
    const { provider } = hre.ethers;
    const place = "0x" + "5e".repeat(20);
    await setBalance(place, 7n);
    await setNonce(place, 3);
    await setCode(place, "0x60005460005260206000f3");
    await setStorageAt(place, 0, 42);
    assert.equal(await provider.getBalance(place), 7n);
    assert.equal(await provider.getTransactionCount(place), 3);
    assert.equal(BigInt(await getStorageAt(place, 0)), 42n);
    assert.equal(BigInt(await provider.call({ to: place })), 42n);
    await setBalance(place, 2n);
    assert.equal(await provider.getBalance(place), 2n);
  });

  it("takes calls of an impersonated contract", async () => {
    const { token } = await loadFixture(deployed);
    const holder = "0x" + "6e".repeat(20);
    await setCode(holder, "0x00");
    await token.transfer(holder, 5n);
    const signer = await hre.ethers.getImpersonatedSigner(holder);
    const sent = await token.connect(signer).transfer(recipient, 2n);
    assert.equal((await sent.wait()).status, 1);
    assert.equal(await token.balanceOf(holder), 3n);
  });
});
