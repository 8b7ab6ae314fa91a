"""Tests moto_kms.py with boto3: the bugs of moto as published, and their fixes."""

import hashlib
import json

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import serialization

from checks import (
    DIGEST,
    EXPECTED,
    MESSAGE,
    PRIVATE,
    check,
    check_raw_faults,
    control,
    send,
    started,
    verifies,
)
from keys import base64_of, oaep


def moto_code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def check_moto():
    """Checks each bug of moto, as published and as fixed; the numbers are those of moto_kms.py."""
    for published in (True, False):
        check_one_moto(published)


def check_one_moto(published):
    public, again = PRIVATE.public_key(), hashlib.sha256(DIGEST).digest()
    with started("moto_kms.py", *(["--as-published"] if published else [])) as ready:
        label = "moto as published" if published else "moto repaired"
        keys = ready["keys"]
        client = boto3.client(
            "kms",
            endpoint_url=ready["url"],
            region_name=ready["region"],
            aws_access_key_id="AKIDMOTO",
            aws_secret_access_key="x",
            config=BotoConfig(retries={"total_max_attempts": 1}, read_timeout=5),
        )

        def sign(
            key="merchant", message=DIGEST, kind="DIGEST", algorithm="RSASSA_PKCS1_V1_5_SHA_256"
        ):
            return client.sign(
                KeyId=keys.get(key, key),
                Message=message,
                MessageType=kind,
                SigningAlgorithm=algorithm,
            )

        def public_key(key):
            return client.get_public_key(KeyId=keys[key])

        check(f"{label}: RAW", sign(message=MESSAGE, kind="RAW")["Signature"] == EXPECTED)
        check(
            f"{label}: public key",
            serialization.load_der_public_key(public_key("merchant")["PublicKey"]) == public,
        )
        signature = sign()["Signature"]
        check(f"{label}: 1. DIGEST", verifies(public, signature, again if published else DIGEST))
        check(f"{label}: 1. DIGEST", (signature == EXPECTED) != published)
        check(
            f"{label}: missing key",
            moto_code(sign, key="00000000-0000-0000-0000-000000000000") == "NotFoundException",
        )

        def differs(number, found, wrong, right):
            check(f"{label}: {number}.", found == (wrong if published else right), found)

        differs(2, moto_code(sign, key="disabled"), None, "DisabledException")
        differs(2, moto_code(public_key, key="disabled"), None, "DisabledException")
        control(ready, states={"born": "PendingDeletion"})
        differs(2, moto_code(sign, key="born"), None, "KMSInvalidStateException")
        control(ready, states={"born": "Enabled"})
        check(f"{label}: enabled again", moto_code(sign, key="born") is None)
        differs(3, moto_code(sign, message=b"x" * 4097, kind="RAW"), None, "ValidationException")
        differs(3, moto_code(sign, message=b"x" * 31), None, "ValidationException")
        differs(
            4, moto_code(sign, key="encrypt"), "ValidationException", "InvalidKeyUsageException"
        )
        differs(4, moto_code(sign, key="ec"), "ValidationException", "InvalidKeyUsageException")
        answer = public_key("merchant")
        differs(5, answer["KeyId"], keys["merchant"], ready["arns"]["merchant"])
        differs(5, "KeySpec" in answer, False, True)
        raw = send(
            ready,
            "POST",
            "/",
            [
                ("Host", "x"),
                ("X-Amz-Target", "TrentService.GetPublicKey"),
                ("Content-Type", "application/x-amz-json-1.1"),
                (
                    "Authorization",
                    "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kms/aws4_request, x=y",
                ),
            ],
            json.dumps({"KeyId": keys["merchant"]}).encode(),
        )[2]
        differs(5, None in json.loads(raw).values(), True, False)
        differs(6, moto_code(public_key, key="symmetric"), None, "UnsupportedOperationException")
        pss = sign(message=MESSAGE, kind="RAW", algorithm="RSASSA_PSS_SHA_256")["Signature"]
        differs(7, verifies(public, pss, pss=True), False, True)
        ciphertext = public.encrypt(b"field", oaep("RSAES_OAEP_SHA_1"))

        def decrypt(key="fields", algorithm="RSAES_OAEP_SHA_1"):
            return client.decrypt(
                KeyId=keys[key], CiphertextBlob=ciphertext, EncryptionAlgorithm=algorithm
            )

        differs(9, moto_code(decrypt) is None, False, True)
        if not published:
            check(f"{label}: 9. plaintext", decrypt()["Plaintext"] == b"field")
            for key, algorithm, code in (
                ("fields", "RSAES_OAEP_SHA_256", "InvalidCiphertextException"),
                ("encrypt", "RSAES_OAEP_SHA_1", "InvalidCiphertextException"),
                ("merchant", "RSAES_OAEP_SHA_1", "InvalidKeyUsageException"),
            ):
                found = moto_code(decrypt, key=key, algorithm=algorithm)
                check(f"{label}: 9. {key} {algorithm}", found == code, found)
        ecdsa = sign(key="ec", algorithm="ECDSA_SHA_256")["Signature"]
        check(
            f"{label}: ECDSA",
            verifies(public_key("ec")["PublicKey"], ecdsa, again if published else DIGEST),
        )
        if not published:
            check_moto_faults(ready, sign, public_key)


def check_moto_faults(ready, sign, public_key):
    public = PRIVATE.public_key()

    def fault(kind, **fields):
        control(ready, faults=[{"kind": kind, **fields}])

    fault("throttle")
    check("moto: throttled", moto_code(sign) == "ThrottlingException")
    fault("error", code="KMSInternalException", status=500)
    check("moto: error", moto_code(sign) == "KMSInternalException")
    fault("pss")
    check("moto: PSS unasked", verifies(public, sign()["Signature"], pss=True))
    fault("rehash")
    check("moto: rehash", verifies(public, sign()["Signature"], hashlib.sha256(DIGEST).digest()))
    fault("other-key", action="Sign")
    other = public_key("other")["PublicKey"]
    check("moto: other key", verifies(other, sign()["Signature"]))
    fault("wrong-key-id")
    check("moto: wrong id", sign()["KeyId"] != ready["arns"]["merchant"])
    headers = [
        ("Host", "x"),
        ("X-Amz-Target", "TrentService.Sign"),
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kms/aws4_request, x=y"),
    ]
    body = json.dumps(
        {
            "KeyId": ready["keys"]["merchant"],
            "Message": base64_of(DIGEST),
            "MessageType": "DIGEST",
            "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256",
        }
    ).encode()
    check_raw_faults(ready, "moto", lambda: (headers, body), "Signature")
