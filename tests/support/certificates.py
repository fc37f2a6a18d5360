"""Certificates for 127.0.0.1, as files: by themselves, by a root, out of their time."""

import datetime
import ssl
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

Issuer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(path: Path, name: str, issuer: Issuer | None = None, days: int = 1, named: str | None = None) -> Path:
    """`name`.pem and `name`.key, signed by the issuer or a root by itself; good for `days` from now, or until then. Its
    common name is `named`, or `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, named or name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer[0].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key if issuer is None else issuer[1], hashes.SHA256())
    )
    (path / f"{name}.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (path / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path / f"{name}.pem"


def issuer(path: Path, name: str) -> Issuer:
    """The certificate and key in `name`.pem and `name`.key."""
    key = serialization.load_pem_private_key((path / f"{name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate((path / f"{name}.pem").read_bytes()), key


def keystore(path: Path, name: str, password: bytes) -> Path:
    """`name`.p12 with the certificate and key of `name`."""
    certificate, key = issuer(path, name)
    encryption = serialization.BestAvailableEncryption(password)
    file = path / f"{name}.p12"
    file.write_bytes(pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, encryption))
    return file


def fingerprint(path: Path, name: str) -> str:
    """SHA-256 of the certificate `name`, as `openssl x509 -fingerprint` writes it."""
    return issuer(path, name)[0].fingerprint(hashes.SHA256()).hex(":").upper()


def mutual_tls(authority: Path, server: Path) -> ssl.SSLContext:
    """What a server speaks that shows the certificate `server` and takes clients of `authority` alone."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.load_cert_chain(server, server.with_suffix(".key"))
    context.verify_mode = ssl.CERT_REQUIRED
    return context
