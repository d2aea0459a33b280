"""Ed25519 keys in PEM, and envelopes (DSSE) that are signed with them. The libraries are loaded when a key is used."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchdog.errors import ConfigError, Problem, Refused
from watchdog.evidence.archive import Damaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.dsse import Envelope

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST_KEY = 16_384
GENERATE = "make one with `slo-watchdog evidence keygen`"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with. `id` is the sha256 of its SubjectPublicKeyInfo in DER, in hex."""

    id: str
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; it never prints."""

    public: PublicKey
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"


def generate(path: Path) -> tuple[Path, str]:
    """A new key pair: PATH, which only its owner may read, and PATH.pub beside it. That one, and the key's id.

    Refused when either file is there: a key that signed something must not be lost. Raises OSError.
    """
    from cryptography.hazmat.primitives import serialization as how  # noqa: PLC0415 - heavy, and used by few commands
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    public = path.with_name(f"{path.name}.pub")
    for there in (path, public):
        if there.exists():
            raise Refused(f"{there}: there is a file of that name, and a key is never written over; name another file")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(how.Encoding.PEM, how.PrivateFormat.PKCS8, how.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    shown = key.public_key().public_bytes(how.Encoding.PEM, how.PublicFormat.SubjectPublicKeyInfo)
    public.write_bytes(shown)
    return public, _public(key.public_key()).id


def signing_key(path: Path) -> SigningKey:
    """The private key in a PEM file. Raises ConfigError."""
    return signing_key_of(_read(path), str(path))


def signing_key_of(pem: bytes, place: str) -> SigningKey:
    """The private key of a PEM text that came from `place`. Raises ConfigError."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy, and used by few commands
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # the text is a secret: it is not repeated
        problem = Problem(place, f"is no private key in PEM without a passphrase; {GENERATE}")
        raise ConfigError([problem]) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError([Problem(place, f"is a key of another kind than Ed25519; {GENERATE}")])
    return SigningKey(_public(key.public_key()), key)


def public_key(path: Path) -> PublicKey:
    """The public key in a PEM file. Raises ConfigError."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy, and used by few commands
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    hint = "expected the .pub file of the key that signed, as `slo-watchdog evidence keygen` wrote it"
    try:
        key = load_pem_public_key(_read(path))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError([Problem(str(path), f"is no public key in PEM; {hint}")]) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError([Problem(str(path), f"is a key of another kind than Ed25519; {hint}")])
    return _public(key)


def signed(payload: bytes, key: SigningKey) -> bytes:
    """The payload in an envelope that the key has signed, as text."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - heavy, and used by few commands
    from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # noqa: PLC0415

    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key.key, _library_key(key.public)))
    return _text(envelope)


def opened(name: str, data: bytes) -> tuple[bytes, list[str]]:
    """The payload of an envelope, and the ids of the keys that it names; checks nothing. Raises Damaged."""
    envelope = _envelope(name, data)
    return envelope.payload, list(envelope.signatures)


def check(name: str, data: bytes, key: PublicKey) -> None:
    """Raise Damaged unless this key has signed the envelope."""
    from securesystemslib.exceptions import VerificationError  # noqa: PLC0415 - heavy, and used by few commands

    envelope = _envelope(name, data)
    if key.id not in envelope.signatures:
        found = ", ".join(sorted(envelope.signatures))
        raise Damaged(f"{name} is signed by the key {found}, and not by the one that was given, {key.id}")
    try:
        envelope.verify([_library_key(key)], 1)
    except VerificationError as error:
        raise Damaged(f"{name}: the signature of the key {key.id} does not hold") from error


def _envelope(name: str, data: bytes) -> Envelope:
    """An envelope as `signed` writes it: one text for one envelope, so that no byte of it is without meaning."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - heavy, and used by few commands
    from securesystemslib.exceptions import FormatError  # noqa: PLC0415

    try:
        envelope = Envelope.from_dict(json.loads(data))
        same = _text(envelope) == data
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FormatError) as error:
        raise Damaged(f"{name} is no envelope of a signature: {error}") from error
    if not same or envelope.payload_type != PAYLOAD_TYPE or len(envelope.signatures) != 1:
        raise Damaged(f"{name} is no envelope of one signature as it is written here")
    return envelope


def _text(envelope: Envelope) -> bytes:
    return json.dumps(envelope.to_dict(), sort_keys=True, indent=1).encode() + b"\n"


def _public(key: Ed25519PublicKey) -> PublicKey:
    from cryptography.hazmat.primitives import serialization as how  # noqa: PLC0415 - heavy, and used by few commands

    der = key.public_bytes(how.Encoding.DER, how.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(hashlib.sha256(der).hexdigest(), key)


def _library_key(key: PublicKey) -> Any:
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # noqa: PLC0415 - heavy

    return SSlibKey.from_crypto(key.key, keyid=key.id)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_KEY)
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read ({error.strerror}); {GENERATE}")]) from error
