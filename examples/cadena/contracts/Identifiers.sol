// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

/// Public: who the administrations are, and proof of what they told each other, without a word of it.
///
/// A decentralised identifier (DID) is registered by the account that controls it; every proof names that account, so
/// whoever is given a record can find out on the chain who issued it, and when.
contract Identifiers {
    mapping(address => string) public identifierOf;
    mapping(bytes32 => address) public controllerOf;

    event Registered(address indexed controller, string identifier);
    event Exchanged(address indexed issuer, bytes32 indexed commitment, bytes32 indexed marker);

    /// Name the calling account; once, and no name twice.
    function register(string calldata identifier) external {
        bytes32 hash = keccak256(bytes(identifier));
        require(bytes(identifier).length > 4 && bytes(identifier).length <= 128, "4 to 128 characters expected");
        require(bytes(identifierOf[msg.sender]).length == 0, "this account has an identifier");
        require(controllerOf[hash] == address(0), "this identifier has a controller");
        identifierOf[msg.sender] = identifier;
        controllerOf[hash] = msg.sender;
        emit Registered(msg.sender, identifier);
    }

    /// Put down that the record with this hash was sent by the private transaction with this marker.
    function prove(bytes32 commitment, bytes32 marker) external {
        require(bytes(identifierOf[msg.sender]).length > 0, "register an identifier first");
        emit Exchanged(msg.sender, commitment, marker);
    }
}
