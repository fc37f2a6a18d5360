// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// A call whose cost is chosen by its argument: writes `slots` fresh storage slots and hashes in between.
contract Work {
    mapping(uint256 => uint256) public values;
    uint256 public next;

    event Done(address indexed by, uint256 first, uint256 slots);

    function run(uint256 slots) external {
        uint256 first = next;
        for (uint256 i = 0; i < slots; i++) {
            values[first + i] = uint256(keccak256(abi.encode(first, i, msg.sender)));
        }
        next = first + slots;
        emit Done(msg.sender, first, slots);
    }
}
