// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Ingress.sol";

/// The accounts that may change the rules. There is always one: nobody can remove itself.
contract Admin is IAdmin {
    address[] private admins;
    mapping(address => uint256) private positions; // from 1

    event AdminAdded(bool adminAdded, address account, string message);
    event AdminRemoved(bool adminRemoved, address account);

    modifier onlyAdmin() {
        require(isAuthorized(msg.sender), "the sender is no admin");
        _;
    }

    constructor(address[] memory first) {
        require(first.length != 0, "an admin is missing");
        for (uint256 i = 0; i < first.length; i++) add(first[i]);
    }

    function isAuthorized(address account) public view returns (bool) {
        return positions[account] != 0;
    }

    function getAdmins() external view returns (address[] memory) {
        return admins;
    }

    function addAdmin(address account) external onlyAdmin returns (bool) {
        require(positions[account] == 0, "the account is an admin already");
        add(account);
        return true;
    }

    /// Accounts that are admins already stay so.
    function addAdmins(address[] calldata accounts) external onlyAdmin returns (bool) {
        for (uint256 i = 0; i < accounts.length; i++) {
            if (positions[accounts[i]] == 0) add(accounts[i]);
        }
        return true;
    }

    function removeAdmin(address account) external onlyAdmin returns (bool) {
        require(account != msg.sender, "an admin cannot remove itself");
        uint256 position = positions[account];
        require(position != 0, "the account is no admin");
        address last = admins[admins.length - 1];
        admins[position - 1] = last;
        positions[last] = position;
        admins.pop();
        delete positions[account];
        emit AdminRemoved(true, account);
        return true;
    }

    function add(address account) private {
        require(account != address(0), "the zero address cannot be an admin");
        admins.push(account);
        positions[account] = admins.length;
        emit AdminAdded(true, account, "added");
    }
}
