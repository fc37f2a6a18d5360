// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import "./Rules.sol";
import "./NodeIngress.sol";

/// Who may connect to whom: listed nodes whose groups may connect.
///
/// A node is its key. Address and port are what its operator said when it was listed, and are insisted on only after
/// `insistOnAddress(true)`. Functions that LACChain's rules have too are called alike.
contract NodeRules is Rules {
    struct Place {
        uint32 position; // from 1
        uint8 nodeType; // 0 boot, 1 validator, 2 writer, 3 observer, 4 other
        uint16 port;
        bytes16 ip; // IPv4 in its mapped form
        bytes6 geoHash;
    }

    struct Description {
        bytes32 high;
        bytes32 low;
        string name;
        string organization;
        string did;
    }

    bytes32 private constant PERMITTED = bytes32(type(uint256).max);
    bytes32 private constant REFUSED = bytes32(type(uint256).max >> 1);
    uint256 private constant NO_DIGIT = 16;
    uint256 private constant NO_GAP = 9;

    bool private addressInsisted;
    mapping(bytes32 => Place) private places;
    mapping(bytes32 => bytes32) private groups;
    mapping(bytes32 => bool) private denied;
    mapping(bytes32 => bool) private connectable;
    Description[] private list;

    event NodeAdded(bool nodeAdded, bytes32 enodeHigh, bytes32 enodeLow, bytes16 enodeIp, uint16 enodePort);
    event NodeRemoved(bool nodeRemoved, bytes32 enodeHigh, bytes32 enodeLow, bytes16 enodeIp, uint16 enodePort);
    event NodeDenied(bytes32 enodeHigh, bytes32 enodeLow);
    event NodePardoned(bytes32 enodeHigh, bytes32 enodeLow);
    event ConnectionAdded(bytes32 group, bytes32 otherGroup);
    event ConnectionRemoved(bytes32 group, bytes32 otherGroup);
    event AddressInsisted(bool insisted);

    constructor(Ingress ingress) Rules(ingress) {}

    // -- what nodes ask --------------------------------------------------------------------------------------------

    /// Interface 1: may the first node connect to the second?
    function connectionAllowed(
        bytes32 sourceHigh, bytes32 sourceLow, bytes16 sourceIp, uint16 sourcePort,
        bytes32 targetHigh, bytes32 targetLow, bytes16 targetIp, uint16 targetPort
    ) external view returns (bytes32) {
        bytes32 source = key(sourceHigh, sourceLow);
        bytes32 target = key(targetHigh, targetLow);
        bytes32 word = rule(source, target);
        if (word == "allowed" && addressInsisted) word = addressRule(source, sourceIp, sourcePort, target, targetIp, targetPort);
        return word == "allowed" ? PERMITTED : REFUSED;
    }

    /// The same, with the rule that decides.
    function connectionDecision(
        bytes32 sourceHigh, bytes32 sourceLow, bytes16 sourceIp, uint16 sourcePort,
        bytes32 targetHigh, bytes32 targetLow, bytes16 targetIp, uint16 targetPort
    ) external view returns (bool allowed, bytes32 decidedBy) {
        bytes32 source = key(sourceHigh, sourceLow);
        bytes32 target = key(targetHigh, targetLow);
        decidedBy = rule(source, target);
        if (decidedBy == "allowed" && addressInsisted) {
            decidedBy = addressRule(source, sourceIp, sourcePort, target, targetIp, targetPort);
        }
        allowed = decidedBy == "allowed";
    }

    /// Interface 2 asks about one node, so that groups cannot count.
    function connectionAllowed(string calldata enodeId, string calldata host, uint16 port) external view returns (bool) {
        (bool valid, bytes32 high, bytes32 low) = parseId(bytes(enodeId));
        if (!valid) return false;
        bytes32 node = key(high, low);
        Place memory place = places[node];
        if (place.position == 0 || denied[node]) return false;
        if (!addressInsisted) return true;
        (bool readable, bytes16 ip) = parseIp(bytes(host));
        return readable && place.port == port && place.ip == ip;
    }

    function rule(bytes32 source, bytes32 target) private view returns (bytes32) {
        if (denied[source]) return "source-denied";
        if (denied[target]) return "target-denied";
        if (places[source].position == 0) return "source-unlisted";
        if (places[target].position == 0) return "target-unlisted";
        if (!connectable[pair(groups[source], groups[target])]) return "groups-apart";
        return "allowed";
    }

    function addressRule(
        bytes32 source, bytes16 sourceIp, uint16 sourcePort, bytes32 target, bytes16 targetIp, uint16 targetPort
    ) private view returns (bytes32) {
        if (places[source].ip != sourceIp || places[source].port != sourcePort) return "source-address";
        if (places[target].ip != targetIp || places[target].port != targetPort) return "target-address";
        return "allowed";
    }

    // -- the list --------------------------------------------------------------------------------------------------

    function addEnode(
        bytes32 high, bytes32 low, bytes16 ip, uint16 port, uint8 nodeType, bytes6 geoHash,
        string calldata name, string calldata organization, string calldata did, bytes32 group
    ) external changing returns (bool) {
        bytes32 node = key(high, low);
        require(places[node].position == 0, "the node is listed already");
        require(nodeType <= 4, "a node type from 0 to 4 was expected");
        list.push(Description(high, low, name, organization, did));
        places[node] = Place(uint32(list.length), nodeType, port, ip, geoHash);
        groups[node] = group;
        emit NodeAdded(true, high, low, ip, port);
        tell(false);
        return true;
    }

    /// By key: address and port are there because Besu's function has them.
    function removeEnode(bytes32 high, bytes32 low, bytes16, uint16) external changing returns (bool) {
        bytes32 node = key(high, low);
        Place memory place = places[node];
        require(place.position != 0, "the node is not listed");
        Description storage last = list[list.length - 1];
        places[key(last.high, last.low)].position = place.position;
        list[place.position - 1] = last;
        list.pop();
        delete places[node];
        delete groups[node];
        emit NodeRemoved(true, high, low, place.ip, place.port);
        tell(true);
        return true;
    }

    function getSize() external view returns (uint256) {
        return list.length;
    }

    function getByIndex(uint256 index)
        external
        view
        returns (
            bytes32 high, bytes32 low, bytes16 ip, uint16 port, uint8 nodeType, bytes6 geoHash,
            string memory name, string memory organization, string memory did, bytes32 group
        )
    {
        require(index < list.length, "no node has this index");
        Description storage described = list[index];
        bytes32 node = key(described.high, described.low);
        Place storage place = places[node];
        return (
            described.high, described.low, place.ip, place.port, place.nodeType, place.geoHash,
            described.name, described.organization, described.did, groups[node]
        );
    }

    function nodeOf(bytes32 high, bytes32 low)
        external
        view
        returns (bool listed, uint8 nodeType, bytes32 group, bytes16 ip, uint16 port)
    {
        bytes32 node = key(high, low);
        Place storage place = places[node];
        return (place.position != 0, place.nodeType, groups[node], place.ip, place.port);
    }

    // -- denied by name, groups, addresses -------------------------------------------------------------------------

    /// A denied node connects to nobody, not even as a validator.
    function denyNode(bytes32 high, bytes32 low) external changing returns (bool) {
        bytes32 node = key(high, low);
        require(!denied[node], "the node is denied already");
        denied[node] = true;
        emit NodeDenied(high, low);
        tell(true);
        return true;
    }

    function pardonNode(bytes32 high, bytes32 low) external changing returns (bool) {
        bytes32 node = key(high, low);
        require(denied[node], "the node is not denied");
        denied[node] = false;
        emit NodePardoned(high, low);
        tell(false);
        return true;
    }

    function nodeDenied(bytes32 high, bytes32 low) external view returns (bool) {
        return denied[key(high, low)];
    }

    /// Let the nodes of two groups connect, both ways.
    function addConnection(bytes32 group, bytes32 otherGroup) external changing returns (bool) {
        connectable[pair(group, otherGroup)] = true;
        connectable[pair(otherGroup, group)] = true;
        emit ConnectionAdded(group, otherGroup);
        tell(false);
        return true;
    }

    function removeConnection(bytes32 group, bytes32 otherGroup) external changing returns (bool) {
        delete connectable[pair(group, otherGroup)];
        delete connectable[pair(otherGroup, group)];
        emit ConnectionRemoved(group, otherGroup);
        tell(true);
        return true;
    }

    function mayConnect(bytes32 group, bytes32 otherGroup) external view returns (bool) {
        return connectable[pair(group, otherGroup)];
    }

    function insistOnAddress(bool insisted) external changing returns (bool) {
        addressInsisted = insisted;
        emit AddressInsisted(insisted);
        tell(insisted);
        return true;
    }

    function isAddressInsisted() external view returns (bool) {
        return addressInsisted;
    }

    // -- parts -----------------------------------------------------------------------------------------------------

    /// The ingress says so in an event of its own, if these are its rules.
    function tell(bool addsRestrictions) private {
        if (ingress.getContractAddress("rules") == address(this)) {
            NodeIngress(address(ingress)).emitRulesChangeEvent(addsRestrictions);
        }
    }

    function key(bytes32 high, bytes32 low) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(high, low));
    }

    function pair(bytes32 group, bytes32 otherGroup) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(group, otherGroup));
    }

    /// The halves of a node id of 128 hexadecimal digits.
    function parseId(bytes calldata text) private pure returns (bool valid, bytes32 high, bytes32 low) {
        if (text.length != 128) return (false, 0, 0);
        uint256 half;
        for (uint256 i = 0; i < 128; i++) {
            if (i == 64) {
                high = bytes32(half);
                half = 0;
            }
            uint256 digit = hexDigit(text[i]);
            if (digit == NO_DIGIT) return (false, 0, 0);
            half = (half << 4) | digit;
        }
        return (true, high, bytes32(half));
    }

    function hexDigit(bytes1 character) private pure returns (uint256) {
        uint256 code = uint8(character);
        if (code >= 0x30 && code <= 0x39) return code - 0x30;
        if (code >= 0x61 && code <= 0x66) return code - 0x57;
        if (code >= 0x41 && code <= 0x46) return code - 0x37;
        return NO_DIGIT;
    }

    /// An IP address, as it stands in a URL. No other host can be read: with addresses insisted on, a node that is known
    /// by a name is refused by interface 2.
    function parseIp(bytes calldata text) private pure returns (bool readable, bytes16 ip) {
        uint256 length = text.length;
        if (length > 1 && text[0] == "[" && text[length - 1] == "]") return parseIp6(text[1:length - 1]);
        return parseIp4(text);
    }

    /// An IPv4 address in dotted decimal, in its mapped form.
    function parseIp4(bytes calldata text) private pure returns (bool readable, bytes16 ip) {
        uint256 address4;
        uint256 part;
        uint256 digits;
        uint256 dots;
        for (uint256 i = 0; i < text.length; i++) {
            uint256 character = uint8(text[i]);
            if (character == 0x2e) {
                if (digits == 0) return (false, 0);
                address4 = (address4 << 8) | part;
                (part, digits) = (0, 0);
                dots++;
            } else if (character >= 0x30 && character <= 0x39) {
                part = part * 10 + character - 0x30;
                digits++;
                if (part > 255 || digits > 3) return (false, 0);
            } else {
                return (false, 0);
            }
        }
        if (dots != 3 || digits == 0) return (false, 0);
        return (true, bytes16(uint128((0xffff << 32) | (address4 << 8) | part)));
    }

    /// An IPv6 address: eight groups of up to four hexadecimal digits, or fewer with `::` once for those that are zero.
    function parseIp6(bytes calldata text) private pure returns (bool readable, bytes16 ip) {
        uint256 length = text.length;
        uint256 words; // the groups that are written, the last one lowest
        uint256 count;
        uint256 gap = NO_GAP; // how many of them stand before `::`
        uint256 i;
        if (length > 1 && text[0] == ":" && text[1] == ":") (gap, i) = (0, 2);
        while (i < length) {
            uint256 start = i;
            uint256 group;
            while (i < length && i - start < 4 && hexDigit(text[i]) != NO_DIGIT) group = (group << 4) | hexDigit(text[i++]);
            if (i == start || count == 8) return (false, 0);
            words = (words << 16) | group;
            count++;
            if (i == length) break;
            if (text[i++] != ":" || i == length) return (false, 0);
            if (text[i] == ":") {
                if (gap != NO_GAP) return (false, 0);
                (gap, i) = (count, i + 1);
            }
        }
        if (gap == NO_GAP) return (count == 8, bytes16(uint128(words)));
        if (count == 8) return (false, 0);
        uint256 low = 16 * (count - gap);
        uint256 high = (words >> low) << (16 * (8 - gap));
        return (true, bytes16(uint128(high | (words & ((1 << low) - 1)))));
    }
}
