// Hardhat's network helpers: fixtures, time and blocks, over the consensus of the devnet.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const hre = require("hardhat");
const { loadFixture, mine, takeSnapshot, time } = require("@nomicfoundation/hardhat-network-helpers");

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
});
