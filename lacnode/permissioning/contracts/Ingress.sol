// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Who may change the rules.
interface IAdmin {
    function isAuthorized(address account) external view returns (bool);
}

/// The fixed address that nodes ask: it knows by name the contracts that hold the rules, and passes questions on.
/// Functions and events are those of the ingress contracts that Hyperledger Besu's networks have in their genesis.
abstract contract Ingress {
    bytes32 public constant RULES_CONTRACT = "rules";
    bytes32 public constant ADMIN_CONTRACT = "administration";

    mapping(bytes32 => address) internal registered;
    bytes32[] private names;

    event RegistryUpdated(address contractAddress, bytes32 contractName);

    modifier onlyAuthorized() {
        require(isAuthorized(msg.sender), "the sender is no admin");
        _;
    }

    /// Anybody may register contracts until an admin contract is registered; from then on its admins alone.
    function isAuthorized(address account) public view returns (bool) {
        address admin = registered[ADMIN_CONTRACT];
        return admin == address(0) || IAdmin(admin).isAuthorized(account);
    }

    function getContractAddress(bytes32 name) external view returns (address) {
        require(name != 0, "a name is missing");
        return registered[name];
    }

    function setContractAddress(bytes32 name, address contractAddress) external onlyAuthorized returns (bool) {
        require(name != 0, "a name is missing");
        require(contractAddress != address(0), "an address is missing");
        if (registered[name] == address(0)) names.push(name);
        registered[name] = contractAddress;
        emit RegistryUpdated(contractAddress, name);
        return true;
    }

    /// The admin contract can be replaced and not removed: without one, anybody could take the registry over.
    function removeContract(bytes32 name) external onlyAuthorized returns (bool) {
        require(name != ADMIN_CONTRACT, "the admin contract can only be replaced");
        require(registered[name] != address(0), "no contract has this name");
        for (uint256 i = 0; i < names.length; i++) {
            if (names[i] == name) {
                names[i] = names[names.length - 1];
                names.pop();
                break;
            }
        }
        delete registered[name];
        emit RegistryUpdated(address(0), name);
        return true;
    }

    function getAllContractKeys() external view returns (bytes32[] memory) {
        return names;
    }

    function getSize() external view returns (uint256) {
        return names.length;
    }

    function getContractVersion() external pure returns (uint256) {
        return 4000000;
    }

    /// Ask the rules contract with the very bytes of this call, and end with its very answer.
    function passOn(address rules) internal view {
        assembly {
            calldatacopy(0, 0, calldatasize())
            let success := staticcall(gas(), rules, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            switch success
            case 0 { revert(0, returndatasize()) }
            default { return(0, returndatasize()) }
        }
    }
}
