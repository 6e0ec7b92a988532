"""Certificates as an authority issues them, good and bad."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
EMAIL, SERVER = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.1"
KEYS: dict[str, Callable[[], Any]] = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


def issued(
    folder: Path, key: Any, purpose: str | None = EMAIL, begins: int = -1, ends: int = 9, own: bool = False
) -> tuple[Path, Path]:
    """Files of a certificate with its authority's behind it, and of its key; `own`: signed by itself. Days from now."""
    above = key if own else KEYS["es256"]()
    now = datetime.now(UTC)

    def certificate(subject: str, issuer: str, public: Any, authority: bool) -> x509.Certificate:
        named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
        builder = (
            x509.CertificateBuilder().serial_number(x509.random_serial_number()).public_key(public)
            .subject_name(named[0]).issuer_name(named[1])
            .not_valid_before(now + begins * DAY).not_valid_after(now + ends * DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.KeyUsage(not authority, *[False] * 4, *[authority] * 2, False, False), critical=True)
        )  # fmt: skip
        if purpose and not authority:
            usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)])
            builder = builder.add_extension(usage, critical=False)
        return builder.sign(above, hashes.SHA256())

    chain = [certificate("Ann", "Ann" if own else "Authority", key.public_key(), False)]
    chain += [] if own else [certificate("Authority", "Authority", above.public_key(), True)]
    folder.mkdir(exist_ok=True)
    pem, private = folder / "ann.pem", folder / "ann.key"
    pem.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, private
