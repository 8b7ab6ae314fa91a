"""Tests tencent.py with the SDK of Tencent Cloud, and with manually signed requests."""

import hashlib
import json
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, utils
from tencentcloud.common import credential as tencent_credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.kms.v20190118 import models as tencent_models
from tencentcloud.kms.v20190118.kms_client import KmsClient

import tencent
from checks import (
    DIGEST,
    EXPECTED,
    MESSAGE,
    PRIVATE,
    TESTDATA,
    check,
    check_raw_faults,
    control,
    journal,
    mutations,
    send,
    started,
    verifies,
)
from double import Request
from keys import base64_of, strict_base64


def tencent_example():
    for case in json.loads((TESTDATA / "kms/tc3.json").read_text())["cases"]:
        request = Request(
            "POST",
            "/",
            [
                ("content-type", case["content_type"]),
                ("host", case["host"]),
                ("x-tc-action", case["action"]),
            ],
            case["payload"].encode(),
        )
        canonical = tencent.canonical_request(request, case["signed_headers"].split(";"))
        check("TC3: canonical request", canonical == case["canonical_request"], canonical)
        found = tencent.signature(
            case["secret_key"], "2019-02-25", "cvm", case["timestamp"], canonical
        )
        check(
            "TC3: signature", found == case["signature"] and found in case["authorization"], found
        )


def tencent_client(ready, who, secret=None, region=None, token=None):
    profile = ClientProfile(
        httpProfile=HttpProfile(
            protocol="http", endpoint=urllib.parse.urlsplit(ready["url"]).netloc, reqTimeout=5
        )
    )
    known = ready["credentials"][who]
    pair = tencent_credential.Credential(
        known["id"], secret or known["secret"], token or known.get("token")
    )
    return KmsClient(pair, region or ready["region"], profile)


def tencent_sign(client, key, **changes):
    request = tencent_models.SignByAsymmetricKeyRequest()
    fields = {
        "KeyId": key,
        "Algorithm": "RSA_PKCS1_SHA_256",
        "Message": base64_of(DIGEST),
        "MessageType": "DIGEST",
        **changes,
    }
    for name, value in fields.items():
        setattr(request, name, value)
    return strict_base64(client.SignByAsymmetricKey(request).Signature)


def tencent_public_key(client, key):
    request = tencent_models.GetPublicKeyRequest()
    request.KeyId = key
    return client.GetPublicKey(request)


def tencent_code(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except TencentCloudSDKException as error:
        return error.code
    return None


def tencent_request(
    ready, who="static", body=None, action="SignByAsymmetricKey", at=None, **changes
):
    """Returns the headers and the body of a manually signed request, x-tc-action included."""
    known = ready["credentials"][who]
    timestamp = str(int(at or time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(int(timestamp)))
    if body is None:
        body = json.dumps(
            {
                "KeyId": ready["keys"]["merchant"],
                "Algorithm": "RSA_PKCS1_SHA_256",
                "Message": base64_of(DIGEST),
                "MessageType": "DIGEST",
            }
        ).encode()
    headers = {
        "Content-Type": "application/json",
        "Host": urllib.parse.urlsplit(ready["url"]).netloc,
        "X-TC-Action": action,
        "X-TC-Version": "2019-01-18",
        "X-TC-Timestamp": timestamp,
        "X-TC-Region": ready["region"],
    }
    if "token" in known:
        headers["X-TC-Token"] = known["token"]
    headers.update(changes.get("headers", {}))
    signed = changes.get("signed", ["content-type", "host", "x-tc-action"])
    request = Request("POST", "/", [(name.lower(), value) for name, value in headers.items()], body)
    scope = changes.get("scope", f"{date}/kms/tc3_request")
    made = tencent.signature(
        known["secret"],
        *scope.split("/")[:2],
        timestamp,
        tencent.canonical_request(request, signed),
    )
    headers["Authorization"] = (
        f"TC3-HMAC-SHA256 Credential={known['id']}/{scope}, "
        f"SignedHeaders={';'.join(signed)}, Signature={made}"
    )
    return list(headers.items()), body


def tencent_answer(ready, headers, body, target="/"):
    answer = json.loads(send(ready, "POST", target, headers, body)[2])["Response"]
    return answer["Error"]["Code"] if "Error" in answer else "ok"


def check_tencent():
    with started("tencent.py", "--signed-headers", "vendor") as ready:
        keys = ready["keys"]
        for who in ("static", "temporary"):
            client = tencent_client(ready, who)
            answer = tencent_public_key(client, keys["merchant"])
            spki = strict_base64(answer.PublicKey)
            check(
                "Tencent: public key",
                serialization.load_der_public_key(spki) == PRIVATE.public_key(),
            )
            check("Tencent: key id", answer.KeyId == keys["merchant"])
            check("Tencent: signature, " + who, tencent_sign(client, keys["merchant"]) == EXPECTED)
        client = tencent_client(ready, "static")
        raw = tencent_sign(client, keys["merchant"], Message=base64_of(MESSAGE), MessageType="RAW")
        check("Tencent: a raw message", raw == EXPECTED)
        raw = tencent_sign(client, keys["merchant"], Message=base64_of(MESSAGE), MessageType=None)
        check("Tencent: raw by default", raw == EXPECTED)
        raw = tencent_sign(
            client, keys["merchant"], Message=base64_of(b"x" * 4096), MessageType="RAW"
        )
        check(
            "Tencent: 4096 bytes",
            verifies(PRIVATE.public_key(), raw, hashlib.sha256(b"x" * 4096).digest()),
        )
        for name in ("born", "other", "ec"):
            spki = strict_base64(tencent_public_key(client, keys[name]).PublicKey)
            algorithm = "ECC_P256_R1" if name == "ec" else "RSA_PKCS1_SHA_256"
            check(
                "Tencent: " + name,
                verifies(spki, tencent_sign(client, keys[name], Algorithm=algorithm)),
            )
        pss = tencent_sign(client, keys["merchant"], Algorithm="RSA_PSS_SHA_256")
        check(
            "Tencent: PSS",
            verifies(PRIVATE.public_key(), pss, pss=True)
            and not verifies(PRIVATE.public_key(), pss),
        )
        check(
            "Tencent: a key for decryption has a public key",
            tencent_public_key(client, keys["decrypt"]).KeyId == keys["decrypt"],
        )

        merchant, sign = keys["merchant"], tencent_sign
        for code, found in {
            "AuthFailure.SignatureFailure": tencent_code(
                sign, tencent_client(ready, "static", "no"), merchant
            ),
            "AuthFailure.TokenFailure": tencent_code(
                sign, tencent_client(ready, "static", token="no"), merchant
            ),
            "AuthFailure.TokenFailure ": tencent_code(
                sign, tencent_client(ready, "temporary", token="no"), merchant
            ),
            "UnauthorizedOperation": tencent_code(sign, tencent_client(ready, "denied"), merchant),
            "UnauthorizedOperation ": tencent_code(
                tencent_public_key, tencent_client(ready, "denied"), merchant
            ),
            "UnsupportedRegion": tencent_code(
                sign, tencent_client(ready, "static", region="ap-x"), merchant
            ),
            "ResourceUnavailable.CmkDisabled": tencent_code(sign, client, keys["disabled"]),
            "ResourceUnavailable.CmkDisabled ": tencent_code(
                tencent_public_key, client, keys["disabled"]
            ),
            "ResourceUnavailable.CmkNotFound": tencent_code(sign, client, "0" * 8 + merchant[8:]),
            "InvalidParameterValue.InvalidKeyId": tencent_code(sign, client, "merchant"),
            "UnsupportedOperation": tencent_code(sign, client, keys["decrypt"]),
            "InvalidParameter": tencent_code(sign, client, keys["ec"]),
            "InvalidParameter ": tencent_code(sign, client, merchant, Algorithm="RSA_PKCS1_SHA_1"),
            "InvalidParameter  ": tencent_code(sign, client, merchant, Message=7),
            "InvalidParameterValue": tencent_code(
                sign, client, merchant, Message=base64_of(DIGEST[:31])
            ),
            "InvalidParameterValue ": tencent_code(sign, client, merchant, Message="*"),
            "InvalidParameterValue  ": tencent_code(sign, client, merchant, MessageType="HASH"),
            "InvalidParameterValue   ": tencent_code(
                sign, client, merchant, MessageType="RAW", Message=base64_of(b"x" * 4097)
            ),
            "MissingParameter": tencent_code(sign, client, merchant, Algorithm=None),
        }.items():
            check("Tencent: " + code, found == code.strip(), found)

        known = ready["credentials"]["temporary"]
        control(ready, credentials=[ready["credentials"]["denied"]])
        check(
            "Tencent: expired",
            tencent_code(sign, tencent_client(ready, "temporary"), merchant)
            == "AuthFailure.TokenFailure",
        )
        check(
            "Tencent: no longer known",
            tencent_code(sign, client, merchant) == "AuthFailure.SecretIdNotFound",
        )
        control(ready, credentials=[ready["credentials"]["static"], known])
        check("Tencent: known again", sign(client, merchant) == EXPECTED)
        check_tencent_faults(ready, client)
        check_tencent_metadata(ready)
    with started("tencent.py") as ready:
        check(
            "Tencent: X-TC-Action is to be signed",
            tencent_code(sign, tencent_client(ready, "static"), ready["keys"]["merchant"])
            == "AuthFailure.SignatureFailure",
        )
        check_tencent_strictness(ready)


def check_tencent_strictness(ready):
    def answer(*arguments, **named):
        return tencent_answer(ready, *tencent_request(ready, *arguments, **named))

    def body(**changes):
        fields = {
            "KeyId": ready["keys"]["merchant"],
            "Algorithm": "RSA_PKCS1_SHA_256",
            "Message": base64_of(DIGEST),
            "MessageType": "DIGEST",
            **changes,
        }
        return json.dumps(fields).encode()

    now = time.time()
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(now - 86400))
    strict = "AuthFailure.SignatureFailure"
    twice = body()[:-1] + b', "MessageType": "RAW"}'
    for name, code, found in (
        ("signed by hand", "ok", answer()),
        ("temporary", "ok", answer("temporary")),
        ("charset", "ok", answer(headers={"Content-Type": "application/json; charset=utf-8"})),
        ("290 s early", "ok", answer(at=now + 290)),
        ("290 s late", "ok", answer(at=now - 290)),
        ("310 s early", "AuthFailure.SignatureExpire", answer(at=now + 310)),
        ("310 s late", "AuthFailure.SignatureExpire", answer(at=now - 310)),
        ("another day in the scope", strict, answer(scope=f"{yesterday}/kms/tc3_request")),
        (
            "another service",
            strict,
            answer(scope=time.strftime("%Y-%m-%d", time.gmtime(now)) + "/cvm/tc3_request"),
        ),
        ("unsorted", strict, answer(signed=["host", "content-type", "x-tc-action"])),
        (
            "a header signed twice",
            strict,
            answer(signed=["content-type", "host", "host", "x-tc-action"]),
        ),
        ("host not signed", strict, answer(signed=["content-type", "x-tc-action"])),
        ("another host", strict, answer(headers={"Host": "kms.tencentcloudapi.com"})),
        ("another version", "NoSuchVersion", answer(headers={"X-TC-Version": "2019-01-19"})),
        ("another action", "InvalidAction", answer(action="Decrypt")),
        ("unknown field", "UnknownParameter", answer(body=body(Extra="x"))),
        ("a field twice", "InvalidParameter", answer(body=twice)),
        ("a number", "InvalidParameter", answer(body=body(KeyId=7))),
        ("null", "InvalidParameter", answer(body=body(MessageType=None))),
        ("not JSON", "InvalidParameter", answer(body=b"KeyId=1")),
        ("a list", "InvalidParameter", answer(body=b"[]")),
        ("another type", "UnsupportedProtocol", answer(headers={"Content-Type": "text/plain"})),
    ):
        check("Tencent: " + name, found == code, found)
    headers, sent = tencent_request(ready)
    check("Tencent: the same once more", tencent_answer(ready, headers, sent) == "ok")
    for changed in mutations(sent):
        found = tencent_answer(ready, headers, changed)
        check("Tencent: a changed byte of the body", found == strict, (changed, found))
    for name, value in headers:
        for changed in mutations(value.encode()):
            rest = [(n, changed.decode("latin-1") if n == name else v) for n, v in headers]
            try:
                found = tencent_answer(ready, rest, sent)
            except ValueError:
                continue  # A control character is not valid in a header.
            check(f"Tencent: a changed byte of {name}", found != "ok", (changed, found))
        rest = [(n, v) for n, v in headers if n != name]
        check(f"Tencent: without {name}", tencent_answer(ready, rest, sent) != "ok")
        check(
            f"Tencent: {name} twice", tencent_answer(ready, [*headers, (name, value)], sent) != "ok"
        )
    check(
        "Tencent: a token too many",
        tencent_answer(ready, [*headers, ("X-TC-Token", "x")], sent) == "AuthFailure.TokenFailure",
    )
    check("Tencent: a query", tencent_answer(ready, headers, sent, "/?x=1") != "ok")
    secrets = [
        value
        for c in ready["credentials"].values()
        for k, value in c.items()
        if k in ("secret", "token")
    ]
    text = json.dumps(journal(ready))
    check("Tencent: no secret in the journal", not any(secret in text for secret in secrets))


def check_tencent_faults(ready, client):
    key, public = ready["keys"]["merchant"], PRIVATE.public_key()

    def fault(kind, **fields):
        control(ready, faults=[{"kind": kind, **fields}])

    fault("throttle", retry_after=2)
    check("Tencent: throttled", tencent_code(tencent_sign, client, key) == "RequestLimitExceeded")
    check("Tencent: once only", tencent_sign(client, key) == EXPECTED)
    fault("error", code="InternalError", status=500, times=2)
    check("Tencent: error", tencent_code(tencent_sign, client, key) is not None)
    check(
        "Tencent: twice",
        journal(ready)[-1]["code"] == "InternalError"
        and tencent_code(tencent_sign, client, key) is not None,
    )
    fault("pss", action="SignByAsymmetricKey")
    tencent_public_key(client, key)
    check("Tencent: PSS unasked", verifies(public, tencent_sign(client, key), pss=True))
    fault("rehash")
    check(
        "Tencent: rehash",
        verifies(public, tencent_sign(client, key), hashlib.sha256(DIGEST).digest()),
    )
    fault("other-key", action="SignByAsymmetricKey")
    other = strict_base64(tencent_public_key(client, ready["keys"]["other"]).PublicKey)
    check("Tencent: other key", verifies(other, tencent_sign(client, key)))
    fault("wrong-key-id")
    check("Tencent: wrong id", tencent_public_key(client, key).KeyId != key)
    fault("strip")
    for at in range(5000):
        digest = hashlib.sha256(str(at).encode()).digest()
        if PRIVATE.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))[0] == 0:
            break
    short = tencent_sign(client, key, Message=base64_of(digest))
    check(
        "Tencent: stripped", len(short) < 256 and verifies(public, short.rjust(256, b"\0"), digest)
    )
    check_raw_faults(ready, "Tencent", lambda: tencent_request(ready), "Signature")


def check_tencent_metadata(ready):
    role = tencent_credential.CVMRoleCredential
    role._role_endpoint = ready["metadata_url"] + "/latest/meta-data/cam/security-credentials/"
    client = tencent_client(ready, "static")
    client.credential = role()
    check("Tencent: by its role", tencent_sign(client, ready["keys"]["merchant"]) == EXPECTED)
    control(
        ready,
        role={"name": "second", "id": "AKIDsecond", "secret": "s", "token": "t", "expires_in": 60},
    )
    check(
        "Tencent: the role before has expired",
        tencent_code(tencent_sign, client, ready["keys"]["merchant"]) == "AuthFailure.TokenFailure",
    )
    client.credential = role()
    check("Tencent: by its new role", tencent_sign(client, ready["keys"]["merchant"]) == EXPECTED)
    control(ready, role=None)
    path = "/latest/meta-data/cam/security-credentials/"
    check("Tencent: no role", send(ready, "GET", path, [("Host", "x")])[0] == 404)
    calls = [entry["path"] for entry in journal(ready) if entry["action"] == "metadata"]
    check(
        "Tencent: metadata in the journal",
        f"GET {path}second" in calls and f"GET {path}" in calls,
        calls,
    )
