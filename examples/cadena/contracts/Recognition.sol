// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

interface IIdentifiers {
    function identifierOf(address controller) external view returns (string memory);
}

/// Private: the status of authorised economic operators, between two administrations with an arrangement.
///
/// Whoever issued a certificate is the only one to change it. Each change has a record whose hash goes to the public chain;
/// its salt keeps others from guessing the record from the hash.
contract Recognition {
    enum Status { None, Valid, Suspended, Revoked }

    struct Certificate {
        address issuer;
        Status status;
        uint64 validUntil;
        bytes32 commitment;
    }

    IIdentifiers public immutable identifiers;
    mapping(bytes32 => Certificate) private certificates;

    event Changed(string operator, Status status, bytes32 commitment);

    constructor(IIdentifiers registry) {
        identifiers = registry;
    }

    /// Issue a certificate to an operator, valid until a Unix time.
    function issue(string calldata operator, uint64 validUntil, bytes32 salt) external {
        require(bytes(identifiers.identifierOf(msg.sender)).length > 0, "the issuer has no identifier on the chain");
        Certificate storage certificate = certificates[keccak256(bytes(operator))];
        require(certificate.status == Status.None, "the operator has a certificate");
        require(validUntil > block.timestamp, "it would have expired");
        certificate.issuer = msg.sender;
        certificate.validUntil = validUntil;
        record(certificate, operator, Status.Valid, salt);
    }

    /// Suspend, reinstate or revoke a certificate. Revoking is for good.
    function change(string calldata operator, Status status, bytes32 salt) external {
        Certificate storage certificate = certificates[keccak256(bytes(operator))];
        require(certificate.issuer == msg.sender, "issued by another administration");
        require(certificate.status != Status.Revoked, "revoked certificates stay so");
        require(status != Status.None && status != certificate.status, "no change");
        record(certificate, operator, status, salt);
    }

    /// The issuer, status and end of an operator's certificate, and the hash of its last record.
    function certificateOf(string calldata operator) external view returns (Certificate memory) {
        return certificates[keccak256(bytes(operator))];
    }

    function record(Certificate storage certificate, string calldata operator, Status status, bytes32 salt) private {
        certificate.status = status;
        certificate.commitment =
            keccak256(abi.encode(certificate.issuer, operator, status, certificate.validUntil, salt));
        emit Changed(operator, status, certificate.commitment);
    }
}
