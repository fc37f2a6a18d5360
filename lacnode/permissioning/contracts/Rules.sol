// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Ingress.sol";

/// What both rules contracts have: admins, found through the ingress, and a mode in which nothing changes.
abstract contract Rules {
    Ingress public ingress;
    bool private readOnly;

    event ReadOnly(bool readOnly);

    modifier onlyAdmin() {
        require(ingress.isAuthorized(msg.sender), "the sender is no admin");
        _;
    }

    modifier changing() {
        require(ingress.isAuthorized(msg.sender), "the sender is no admin");
        require(!readOnly, "the rules are read-only");
        _;
    }

    constructor(Ingress ingress_) {
        ingress = ingress_;
    }

    function isReadOnly() external view returns (bool) {
        return readOnly;
    }

    function enterReadOnly() external onlyAdmin returns (bool) {
        require(!readOnly, "the rules are read-only already");
        readOnly = true;
        emit ReadOnly(true);
        return true;
    }

    function exitReadOnly() external onlyAdmin returns (bool) {
        require(readOnly, "the rules are not read-only");
        readOnly = false;
        emit ReadOnly(false);
        return true;
    }

    function getContractVersion() external pure returns (uint256) {
        return 4000000;
    }
}
