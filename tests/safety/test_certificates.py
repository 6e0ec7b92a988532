"""Signers: one made on the first run, and those that are brought."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from worldpatch.config import UserError
from worldpatch.safety import certificates
from worldpatch.safety.certificates import development, from_files

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.safety.authority import DAY, KEYS, SERVER, issued


def test_the_first_run_makes_a_signer_that_stays(tmp_path: Path):
    folder = tmp_path / "new" / "credentials"
    first = development(folder)
    assert first.development and first.algorithm == "es256" and first.timestamp_url is None
    assert development(folder) == first
    assert {p.name: p.stat().st_mode & 0o777 for p in folder.iterdir()} == dict.fromkeys(
        ("certificate.pem", "key.pem", "root.pem"), 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700 and [p.name for p in folder.parent.iterdir()] == ["credentials"]
    assert first.key not in repr(first) and "PRIVATE" not in repr(first)
    assert development(tmp_path / "other").name != first.name


def test_the_first_runs_that_start_at_once_agree(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: development(tmp_path / "credentials"), range(16)))
    assert len({signer.key for signer in signers}) == 1 and len({signer.anchors for signer in signers}) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["credentials"], "drafts of the slower ones are gone"


def test_no_other_certificate_can_be_issued_by_the_root(tmp_path: Path):
    signer = development(tmp_path / "credentials")
    key = serialization.load_pem_private_key(signer.key.encode(), None)
    root = x509.load_pem_x509_certificate(signer.anchors.encode())
    assert key.public_key() != root.public_key(), "the root's key is nowhere"
    own = x509.load_pem_x509_certificate(signer.certificates.encode())
    own.verify_directly_issued_by(root)


def test_a_damaged_folder_says_how_to_get_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "credentials"
    development(folder)
    (folder / "key.pem").unlink()
    with pytest.raises(UserError, match=f"key.pem cannot be read.*; or remove {folder}"):
        development(folder)
    monkeypatch.setattr(certificates, "LIFE", -DAY / 2)
    with pytest.raises(UserError, match="expired on .* remove"):
        development(tmp_path / "old")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="no development certificate can be kept"):
        development(tmp_path / "file" / "credentials")


@pytest.mark.parametrize("algorithm", KEYS)
def test_the_key_says_the_algorithm(tmp_path: Path, algorithm: str):
    signer = from_files(*issued(tmp_path, KEYS[algorithm]()), timestamp_url="http://time.example")
    assert signer.algorithm == algorithm and signer.name == "Ann" and not signer.development
    assert signer.timestamp_url == "http://time.example"
    assert signer.certificates.count("BEGIN CERT") == 2 and signer.anchors.count("BEGIN CERT") == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"begins": -9, "ends": -2}, "expired on"),
        ({"begins": 2}, "is valid from .* on"),
        ({"own": True}, "self-signed"),
        ({"purpose": SERVER}, "may not sign claims"),
        ({"purpose": None}, "may not sign claims"),
    ],
)
def test_certificates_that_will_not_do_are_refused(tmp_path: Path, options: dict[str, Any], why: str):
    with pytest.raises(UserError, match=why):
        from_files(*issued(tmp_path, KEYS["es256"](), **options))


def test_files_that_are_none_are_refused(tmp_path: Path):
    pem, key = issued(tmp_path / "a", KEYS["es256"]())
    _, other = issued(tmp_path / "b", KEYS["es256"]())
    weak = issued(tmp_path / "c", ec.generate_private_key(ec.SECP256K1()))
    locked, text = tmp_path / "locked.key", tmp_path / "text.pem"
    text.write_text("hello")
    private: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    form, sealed = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, sealed))
    for files, why in (
        ((tmp_path / "none.pem", key), "certificate .*none.pem cannot be read"),
        ((pem, tmp_path / "none.key"), "key .*none.key cannot be read"),
        ((text, key), "no PEM certificate"),
        ((pem, text), "give a private key as PEM"),
        ((pem, locked), "not encrypted"),
        ((pem, other), "is not that of the certificate"),
        (weak, "cannot be signed with the key"),
    ):
        with pytest.raises(UserError, match=why):
            from_files(*files)
