"""Who signs: a certificate and its key, made here on the first run or brought by configuration -> a `Signer`.

A certificate that is made here proves that a file comes from whoever holds the folder's key, and that to those alone
who have its root: nobody was asked who they are.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worldpatch.config import UserError

ORGANISATION = "worldpatch development"
"""Whom a certificate that was made by `development` names."""
LIFE = timedelta(days=3650)
EARLY = timedelta(days=1)  # clocks differ
PURPOSES = {
    "1.3.6.1.4.1.62558.2.1": "C2PA claim signing",
    "1.3.6.1.5.5.7.3.4": "e-mail protection",
    "1.3.6.1.5.5.7.3.36": "document signing",
}
"""Extended key usages that a certificate may sign claims with, one of which it must have (C2PA 2.2, 14.5.1)."""
CERTIFICATE, KEY, ROOT = "certificate.pem", "key.pem", "root.pem"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """`certificates` are PEM, the signer's own first and then those who issued it; `key` is PEM and never shown.

    `algorithm` is C2PA's name, `anchors` are PEM of whom to trust so that what this one signs is trusted,
    `timestamp_url` is a time-stamp authority (RFC 3161): asked over the network for every signature, if there is one.
    """

    name: str
    algorithm: str
    certificates: str
    key: str = field(repr=False)
    anchors: str = ""
    development: bool = False
    timestamp_url: str | None = None


def development(folder: Path) -> Signer:
    """The signer that lives in `folder`, made if nothing is there: only its owner may read it.

    Two that start at once get the same one. Raises UserError where the folder cannot be written to, or what lies there
    is incomplete or has expired.
    """
    try:
        if not folder.exists():
            _make(folder)
        signer = from_files(folder / CERTIFICATE, folder / KEY)
        return replace(signer, development=True, anchors=(folder / ROOT).read_text())
    except OSError as error:
        raise UserError(
            f"no development certificate can be kept in {folder} ({error.strerror or error}): "
            "let that folder be written to, bring a certificate, or do not sign"
        ) from error
    except UserError as error:
        raise UserError(f"{error}; or remove {folder}, and a new development certificate is made") from error


def from_files(certificate: Path, key: Path, timestamp_url: str | None = None) -> Signer:
    """The signer whose certificate (PEM, followed by those that issued it) and private key (PEM, not encrypted) these
    are.

    Raises UserError on what is missing, unreadable, expired, not a pair, or not fit to sign claims.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        chain = x509.load_pem_x509_certificates(_bytes(certificate, "certificate"))
    except ValueError as error:
        raise UserError(f"the certificate {certificate} is no PEM certificate ({error}): give one") from error
    try:
        private: Any = serialization.load_pem_private_key(_bytes(key, "key"), None)
    except (ValueError, TypeError) as error:
        raise UserError(f"the key {key} cannot be read ({error}): give a private key as PEM, not encrypted") from error
    own = chain[0]
    if own.public_key() != private.public_key():
        raise UserError(
            f"the key {key} is not that of the certificate {certificate}: give the two that belong together"
        )
    _check(own, certificate)
    issuers = [other for other in chain[1:] if _is_authority(other)]
    return Signer(
        name=_name(own), algorithm=_algorithm(private, key), certificates=_pem(chain),
        key=private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        anchors=_pem(issuers), timestamp_url=timestamp_url,
    )  # fmt: skip


def _bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the {what} {path} cannot be read ({error.strerror}): check the path") from error


def _check(own: Any, path: Path) -> None:
    """C2PA's profile of an end-entity certificate, as far as a mistake is likely; the library says too little."""
    from cryptography import x509

    now = datetime.now(UTC)
    if now > own.not_valid_after_utc:
        raise UserError(f"the certificate {path} expired on {own.not_valid_after_utc:%Y-%m-%d}: bring a new one")
    if now < own.not_valid_before_utc:
        raise UserError(
            f"the certificate {path} is valid from {own.not_valid_before_utc:%Y-%m-%d} on: wait, or check the clock"
        )
    if own.issuer == own.subject or _is_authority(own):
        raise UserError(
            f"the certificate {path} is self-signed or an authority's: sign with one that an authority issued"
        )
    try:
        purposes = {
            usage.dotted_string for usage in own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        }
    except x509.ExtensionNotFound:
        purposes = set()
    if not purposes & set(PURPOSES):
        raise UserError(
            f"the certificate {path} may not sign claims: its extended key usage has none of "
            f"{', '.join(PURPOSES.values())}; ask its authority for one that does"
        )


def _is_authority(certificate: Any) -> bool:
    from cryptography import x509

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return False


def _algorithm(key: Any, path: Path) -> str:
    """C2PA's name of the algorithm that a private key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise UserError(
        f"claims cannot be signed with the key {path}: give one on {', '.join(CURVES)}, Ed25519, or RSA of 2048 bits"
    )


CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


def _name(certificate: Any) -> str:
    from cryptography.x509.oid import NameOID

    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        if found := certificate.subject.get_attributes_for_oid(kind):
            return str(found[0].value)
    return certificate.subject.rfc4514_string()


def _pem(certificates: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


# ------------------------------------------------------------------------------------------------ a certificate of ours


def _make(folder: Path) -> None:
    """Fills `folder` with a certificate, its key and its root, all at once. The root's key is forgotten: no other
    certificate will ever be issued under it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))  # mode 0700
    try:
        for name, text in _issued().items():
            with os.fdopen(os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            # Another process was quicker; its certificate is whole and is taken.
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _issued() -> dict[str, str]:
    """A root and the certificate that it issued to a new key: name of a file -> PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    above, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = f"{ORGANISATION} {os.urandom(2).hex()}"  # tells machines apart and names none
    root = _builder(f"{name} root", f"{name} root", above, above, {"key_cert_sign", "crl_sign"})
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = _builder(name, f"{name} root", own, above, {"digital_signature"})
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    # Both the purpose that C2PA introduced in 2025 and the one that readers knew before.
    usages = [x509.ObjectIdentifier(purpose) for purpose in list(PURPOSES)[:2]]
    leaf = leaf.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    key = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    certificate, issuer = (_pem([builder.sign(above, hashes.SHA256())]) for builder in (leaf, root))
    return {CERTIFICATE: certificate, KEY: key, ROOT: issuer}


def _builder(subject: str, issuer: str, key: Any, issuing: Any, usages: set[str]) -> Any:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    def named(name: str) -> x509.Name:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )

    now = datetime.now(UTC)
    all_usages = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
        .add_extension(x509.KeyUsage(**{usage: usage in usages for usage in all_usages}), critical=True)
    )
