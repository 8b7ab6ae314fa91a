"""The keys of the doubles, and operations on them."""

import base64
import dataclasses
import hashlib
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


@dataclasses.dataclass
class Version:
    id: str
    private: object

    def der(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def pem(self):
        return (
            self.private.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )


@dataclasses.dataclass
class Key:
    name: str
    id: str
    usage: str
    versions: list
    state: str = "Enabled"


def new_id():
    return str(uuid.uuid4())


def new_rsa():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def new_ec():
    return ec.generate_private_key(ec.SECP256R1())


def sign_digest(private, digest, pss=False):
    """Signs a SHA-256 digest; PSS is as in the services: MGF1 with SHA-256, a salt of 32 bytes."""
    prehashed = utils.Prehashed(hashes.SHA256())
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return private.sign(digest, ec.ECDSA(prehashed))
    if pss:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
    else:
        scheme = padding.PKCS1v15()
    return private.sign(digest, scheme, prehashed)


OAEP_HASHES = {"RSAES_OAEP_SHA_1": hashes.SHA1, "RSAES_OAEP_SHA_256": hashes.SHA256}


def oaep(algorithm):
    """Returns the padding of the services: one hash for OAEP and MGF1, no label."""
    chosen = OAEP_HASHES[algorithm]()
    return padding.OAEP(padding.MGF1(chosen), chosen, None)


def decrypt_oaep(private, ciphertext, algorithm):
    """Returns the plaintext, or `None` if the ciphertext does not decrypt."""
    try:
        return private.decrypt(ciphertext, oaep(algorithm))
    except ValueError:
        return None


def base64_of(data):
    return base64.b64encode(data).decode()


def strict_base64(text):
    """Decodes strict Base64 (padded, standard alphabet, no other characters), or returns `None`."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64_of(data) == text else None


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()
