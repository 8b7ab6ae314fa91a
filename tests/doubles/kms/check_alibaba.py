"""Tests alibaba.py with the SDK of Alibaba Cloud, and with manually signed requests."""

import hashlib
import http.client
import json
import time
import urllib.parse

from alibabacloud_kms20160120 import models as alibaba_models
from alibabacloud_kms20160120.client import Client as AlibabaClient
from alibabacloud_tea_openapi.utils_models import Config as AlibabaConfig
from cryptography.hazmat.primitives import serialization

import alibaba
from checks import (
    DIGEST,
    EXPECTED,
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
from double import Request, quote
from keys import base64_of, oaep, sha256_hex, strict_base64


def alibaba_example():
    for case in json.loads((TESTDATA / "kms/acs3.json").read_text())["cases"]:
        headers = [
            ("host", case["host"]),
            ("x-acs-action", case["action"]),
            ("x-acs-version", case["version"]),
            ("x-acs-date", case["date"]),
            ("x-acs-signature-nonce", case["nonce"]),
            ("x-acs-content-sha256", case["hashed_request_payload"]),
        ]
        request = Request("POST", "/?" + case["canonical_query"], headers, b"")
        canonical = alibaba.canonical_request(
            request, case["parameters"], case["signed_headers"].split(";")
        )
        check("ACS3: canonical request", canonical == case["canonical_request"], canonical)
        reordered = dict(reversed(case["parameters"].items()))
        check(
            "ACS3: parameters are sorted",
            canonical
            == alibaba.canonical_request(request, reordered, case["signed_headers"].split(";")),
        )
        found = alibaba.signature(case["access_key_secret"], canonical)
        check(
            "ACS3: signature", found == case["signature"] and found in case["authorization"], found
        )


def alibaba_client(ready, who, secret=None, token=None):
    known = ready["credentials"][who]
    return AlibabaClient(
        AlibabaConfig(
            access_key_id=known["id"],
            access_key_secret=secret or known["secret"],
            security_token=token or known.get("token"),
            endpoint=urllib.parse.urlsplit(ready["url"]).netloc,
            protocol="http",
            region_id=ready["region"],
            read_timeout=5000,
            connect_timeout=5000,
        )
    )


def alibaba_sign(client, key, version, algorithm="RSA_PKCS1_SHA_256", digest=DIGEST):
    request = alibaba_models.AsymmetricSignRequest(
        algorithm=algorithm, digest=digest and base64_of(digest), key_id=key, key_version_id=version
    )
    return client.asymmetric_sign(request).body


def alibaba_decrypt(client, key, version, ciphertext, algorithm="RSAES_OAEP_SHA_1"):
    request = alibaba_models.AsymmetricDecryptRequest(
        algorithm=algorithm,
        ciphertext_blob=base64_of(ciphertext),
        key_id=key,
        key_version_id=version,
    )
    return client.asymmetric_decrypt(request).body


def check_alibaba_fields(client, keys, versions):
    ciphertext = PRIVATE.public_key().encrypt(b"field", oaep("RSAES_OAEP_SHA_1"))
    found = alibaba_decrypt(client, keys["fields"], versions["fields"][0], ciphertext)
    check("Alibaba: decrypts", found.plaintext == base64_of(b"field"), found)
    check("Alibaba: decrypts with the key", found.key_id == keys["fields"])
    for key, algorithm, code in (
        ("fields", "RSAES_OAEP_SHA_256", "InvalidParameter"),
        ("fields", "RSAES_PKCS1_V1_5", "InvalidParameter"),
        ("encrypt", "RSAES_OAEP_SHA_1", "InvalidParameter"),
        ("merchant", "RSAES_OAEP_SHA_1", "UnsupportedOperation"),
    ):
        found = alibaba_code(
            alibaba_decrypt, client, keys[key], versions[key][0], ciphertext, algorithm
        )
        check(f"Alibaba: decrypts not: {key} {algorithm}", found and found[0] == code, found)


def alibaba_public_key(client, key, version):
    request = alibaba_models.GetPublicKeyRequest(key_id=key, key_version_id=version)
    return client.get_public_key(request).body


def alibaba_code(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:  # The SDK has several types, all with a code.
        return error.code, getattr(error, "status_code", None)
    return None


def alibaba_request(ready, who="static", query=None, action="AsymmetricSign", at=None, **changes):
    """Returns the headers, the body and the target of a manually signed request."""
    known = ready["credentials"][who]
    if query is None:
        query = {
            "KeyId": ready["keys"]["merchant"],
            "KeyVersionId": ready["versions"]["merchant"][0],
            "Algorithm": "RSA_PKCS1_SHA_256",
            "Digest": base64_of(DIGEST),
        }
    method, body = changes.get("method", "POST"), changes.get("body", b"")
    headers = {
        "Host": urllib.parse.urlsplit(ready["url"]).netloc,
        "x-acs-action": action,
        "x-acs-version": "2016-01-20",
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at or time.time())),
        "x-acs-signature-nonce": f"{time.time_ns()}",
        "x-acs-content-sha256": sha256_hex(body),
    }
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if "token" in known:
        headers["x-acs-security-token"] = known["token"]
    headers.update(changes.get("headers", {}))
    signed = changes.get("signed") or sorted(name.lower() for name in headers)
    target = "/" + ("?" if query else "") + "&".join(f"{n}={quote(v)}" for n, v in query.items())
    request = Request(method, target, [(n.lower(), v) for n, v in headers.items()], body)
    made = alibaba.signature(known["secret"], alibaba.canonical_request(request, query, signed))
    headers["Authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={known['id']},"
        f"SignedHeaders={';'.join(signed)},Signature={made}"
    )
    return list(headers.items()), body, target


def alibaba_answer(ready, headers, body, target, method="POST"):
    return json.loads(send(ready, method, target, headers, body)[2]).get("Code", "ok")


def check_alibaba():
    with started("alibaba.py") as ready:
        keys, versions = ready["keys"], ready["versions"]
        merchant, first, second = keys["merchant"], *versions["merchant"]
        for who in ("static", "temporary"):
            client = alibaba_client(ready, who)
            answer = alibaba_public_key(client, merchant, first)
            check(
                "Alibaba: public key",
                serialization.load_pem_public_key(answer.public_key.encode())
                == PRIVATE.public_key(),
            )
            check("Alibaba: names", (answer.key_id, answer.key_version_id) == (merchant, first))
            answer = alibaba_sign(client, merchant, first)
            check("Alibaba: signature, " + who, strict_base64(answer.value) == EXPECTED)
            check("Alibaba: names", (answer.key_id, answer.key_version_id) == (merchant, first))
        client = alibaba_client(ready, "static")
        for name, version in (
            ("merchant", second),
            *((n, versions[n][0]) for n in ("born", "other", "ec")),
        ):
            public = serialization.load_pem_public_key(
                alibaba_public_key(client, keys[name], version).public_key.encode()
            )
            algorithm = "ECDSA_SHA_256" if name == "ec" else "RSA_PKCS1_SHA_256"
            signature = strict_base64(alibaba_sign(client, keys[name], version, algorithm).value)
            check("Alibaba: " + name, verifies(public, signature) and signature != EXPECTED)
        pss = strict_base64(alibaba_sign(client, merchant, first, "RSA_PSS_SHA_256").value)
        check("Alibaba: PSS", verifies(PRIVATE.public_key(), pss, pss=True))
        check("Alibaba: alias", alibaba_sign(client, "alias/merchant", first).key_id == merchant)
        check_alibaba_fields(client, keys, versions)

        sign, other = alibaba_sign, versions["born"][0]
        for code, status, found in (
            (
                "SignatureDoesNotMatch",
                400,
                alibaba_code(sign, alibaba_client(ready, "static", "no"), merchant, first),
            ),
            (
                "InvalidSecurityToken.MismatchWithAccessKey",
                400,
                alibaba_code(sign, alibaba_client(ready, "static", token="no"), merchant, first),
            ),
            (
                "InvalidSecurityToken.Malformed",
                400,
                alibaba_code(sign, alibaba_client(ready, "temporary", token="no"), merchant, first),
            ),
            (
                "Forbidden.NoPermission",
                403,
                alibaba_code(sign, alibaba_client(ready, "denied"), merchant, first),
            ),
            ("Forbidden.KeyNotFound", 404, alibaba_code(sign, client, "no", first)),
            ("Forbidden.AliasNotFound", 404, alibaba_code(sign, client, "alias/no", first)),
            ("Forbidden.KeyVersionNotFound", 404, alibaba_code(sign, client, merchant, other)),
            (
                "Forbidden.KeyVersionNotFound",
                404,
                alibaba_code(alibaba_public_key, client, merchant, other),
            ),
            (
                "Rejected.Disabled",
                409,
                alibaba_code(sign, client, keys["disabled"], versions["disabled"][0]),
            ),
            (
                "UnsupportedOperation",
                400,
                alibaba_code(sign, client, keys["encrypt"], versions["encrypt"][0]),
            ),
            ("InvalidParameter", 400, alibaba_code(sign, client, keys["ec"], versions["ec"][0])),
            (
                "InvalidParameter",
                400,
                alibaba_code(sign, client, merchant, first, "RSA_PKCS1_SHA_1"),
            ),
            (
                "InvalidParameter",
                400,
                alibaba_code(sign, client, merchant, first, digest=DIGEST[:31]),
            ),
            ("MissingParameter", 400, alibaba_code(sign, client, merchant, None)),
            ("MissingParameter", 400, alibaba_code(sign, client, merchant, first, digest=None)),
            ("MissingParameter", 400, alibaba_code(alibaba_public_key, client, merchant, None)),
        ):
            check("Alibaba: " + code, found == (code, status), found)
        control(ready, credentials=[ready["credentials"]["denied"]])
        expired = alibaba_code(sign, alibaba_client(ready, "temporary"), merchant, first)
        check("Alibaba: expired", expired == ("InvalidSecurityToken.Expired", 400), expired)
        unknown = alibaba_code(sign, client, merchant, first)
        check("Alibaba: no longer known", unknown == ("InvalidAccessKeyId.NotFound", 404), unknown)
        control(
            ready, credentials=[ready["credentials"]["static"], ready["credentials"]["temporary"]]
        )
        check_alibaba_strictness(ready)
        check_alibaba_faults(ready, client)
        check_alibaba_metadata(ready)


def check_alibaba_strictness(ready):
    merchant, first = ready["keys"]["merchant"], ready["versions"]["merchant"][0]
    query = {
        "KeyId": merchant,
        "KeyVersionId": first,
        "Algorithm": "RSA_PKCS1_SHA_256",
        "Digest": base64_of(DIGEST),
    }
    form = urllib.parse.urlencode(query).encode()
    now = time.time()

    def answer(*arguments, method="POST", **named):
        return alibaba_answer(
            ready, *alibaba_request(ready, *arguments, method=method, **named), method
        )

    headers, body, target = alibaba_request(ready)
    names = sorted(name.lower() for name, _ in headers if name != "Authorization")
    for name, code, found in (
        ("signed by hand", "ok", answer()),
        ("temporary", "ok", answer("temporary")),
        ("GET", "ok", answer(method="GET")),
        ("a form", "ok", answer(query={}, body=form)),
        ("890 s early", "ok", answer(at=now + 890)),
        ("890 s late", "ok", answer(at=now - 890)),
        ("910 s early", "InvalidTimeStamp.Expired", answer(at=now + 910)),
        ("910 s late", "InvalidTimeStamp.Expired", answer(at=now - 910)),
        (
            "another form of time",
            "InvalidTimeStamp.Format",
            answer(headers={"x-acs-date": "20260101T000000Z"}),
        ),
        ("another version", "InvalidVersion", answer(headers={"x-acs-version": "2016-01-21"})),
        ("another action", "InvalidAction.NotFound", answer(action="Decrypt")),
        (
            "another host",
            "SignatureDoesNotMatch",
            answer(headers={"Host": "kms.cn-hangzhou.aliyuncs.com"}),
        ),
        (
            "another hash",
            "SignatureDoesNotMatch",
            answer(headers={"x-acs-content-sha256": "0" * 64}),
        ),
        ("unsorted", "IncompleteSignature", answer(signed=names[::-1])),
        (
            "the nonce not signed",
            "IncompleteSignature",
            answer(signed=[n for n in names if n != "x-acs-signature-nonce"]),
        ),
        ("a parameter twice", "InvalidParameter", answer(query=query, body=form)),
        ("an unknown parameter", "InvalidParameter", answer(query={**query, "Extra": "x"})),
        ("the order of parameters", "ok", answer(query=dict(reversed(query.items())))),
        (
            "a body that is no form",
            "ParseRequestParameterException",
            answer(body=b"{}", headers={"Content-Type": "application/json"}),
        ),
    ):
        check("Alibaba: " + name, found == code, found)
    check("Alibaba: for the first time", alibaba_answer(ready, headers, body, target) == "ok")
    replayed = alibaba_answer(ready, headers, body, target)
    check("Alibaba: replayed", replayed == "SignatureNonceUsed", replayed)

    headers, body, target = alibaba_request(ready)
    for changed in mutations(target.encode()):
        text = changed.decode()
        if any(c in text for c in " \t#") or not text.startswith("/"):
            continue  # Would arrive changed, or elsewhere.
        try:
            found = alibaba_answer(ready, headers, body, text)
        except http.client.HTTPException:
            continue
        check("Alibaba: a changed byte of the query", found != "ok", (text, found))
    for name, value in headers:
        for changed in mutations(value.encode()):
            rest = [(n, changed.decode("latin-1") if n == name else v) for n, v in headers]
            try:
                found = alibaba_answer(ready, rest, body, target)
            except ValueError:
                continue
            check(f"Alibaba: a changed byte of {name}", found != "ok", (changed, found))
        rest = [(n, v) for n, v in headers if n != name]
        check(f"Alibaba: without {name}", alibaba_answer(ready, rest, body, target) != "ok")
        check(
            f"Alibaba: {name} twice",
            alibaba_answer(ready, [*headers, (name, value)], body, target) != "ok",
        )
    extra = [*headers, ("x-acs-more", "1")]
    check(
        "Alibaba: an x-acs- header not signed",
        alibaba_answer(ready, extra, body, target) == "IncompleteSignature",
    )
    check("Alibaba: a changed body", alibaba_answer(ready, headers, b"x", target) != "ok")
    check(
        "Alibaba: another method",
        alibaba_answer(ready, headers, body, target, "GET") == "SignatureDoesNotMatch",
    )
    check("Alibaba: unchanged", alibaba_answer(ready, headers, body, target) == "ok")
    secrets = [
        value
        for c in ready["credentials"].values()
        for k, value in c.items()
        if k in ("secret", "token")
    ]
    text = json.dumps(journal(ready))
    check("Alibaba: no secret in the journal", not any(secret in text for secret in secrets))


def check_alibaba_faults(ready, client):
    merchant, first = ready["keys"]["merchant"], ready["versions"]["merchant"][0]
    public = PRIVATE.public_key()

    def fault(kind, **fields):
        control(ready, faults=[{"kind": kind, **fields}])

    def signed():
        return strict_base64(alibaba_sign(client, merchant, first).value)

    fault("throttle")
    found = alibaba_code(alibaba_sign, client, merchant, first)
    check("Alibaba: throttled", found == ("Rejected.Throttling", 429), found)
    fault("throttle", code="Throttling.User", status=400)
    found = alibaba_code(alibaba_sign, client, merchant, first)
    check("Alibaba: throttled by the gateway", found == ("Throttling.User", 400), found)
    fault("error", code="ServiceUnavailableTemporary", status=503)
    found = alibaba_code(alibaba_sign, client, merchant, first)
    check("Alibaba: error", found == ("ServiceUnavailableTemporary", 503), found)
    fault("pss")
    check("Alibaba: PSS unasked", verifies(public, signed(), pss=True))
    fault("rehash")
    check("Alibaba: rehash", verifies(public, signed(), hashlib.sha256(DIGEST).digest()))
    fault("other-key")
    check("Alibaba: other key", not verifies(public, signed()))
    fault("wrong-key-id")
    check("Alibaba: wrong id", alibaba_sign(client, merchant, first).key_id != merchant)
    fault("wrong-key-version")
    check("Alibaba: wrong version", alibaba_sign(client, merchant, first).key_version_id != first)
    check("Alibaba: healthy again", signed() == EXPECTED)
    check_raw_faults(ready, "Alibaba", lambda: alibaba_request(ready), "Value")


def check_alibaba_metadata(ready):
    path, host = "/latest/meta-data/ram/security-credentials/", ("Host", "x")
    check("Alibaba: hardened", send(ready, "GET", path, [host])[0] == 403)
    check(
        "Alibaba: a token needs a life", send(ready, "PUT", "/latest/api/token", [host])[0] == 400
    )
    ttl = ("X-aliyun-ecs-metadata-token-ttl-seconds", "60")
    token = send(ready, "PUT", "/latest/api/token", [host, ttl])[2].decode()
    with_token = [host, ("X-aliyun-ecs-metadata-token", token)]
    name = send(ready, "GET", path, with_token)[2].decode()
    check("Alibaba: role", name == ready["role"])
    role = json.loads(send(ready, "GET", path + name, with_token)[2])
    check("Alibaba: role's answer", role["Code"] == "Success" and role["Expiration"].endswith("Z"))
    ready["credentials"]["role"] = {
        "id": role["AccessKeyId"],
        "secret": role["AccessKeySecret"],
        "token": role["SecurityToken"],
    }
    merchant, first = ready["keys"]["merchant"], ready["versions"]["merchant"][0]
    client = alibaba_client(ready, "role")
    check(
        "Alibaba: by its role",
        strict_base64(alibaba_sign(client, merchant, first).value) == EXPECTED,
    )
    control(ready, role={"name": "second", "id": "STS.second", "secret": "s", "token": "t"})
    found = alibaba_code(alibaba_sign, client, merchant, first)
    check(
        "Alibaba: the role before has expired",
        found == ("InvalidSecurityToken.Expired", 400),
        found,
    )
    check("Alibaba: the new role", send(ready, "GET", path, with_token)[2] == b"second")
    control(ready, clock=120)
    check("Alibaba: the token's life is over", send(ready, "GET", path, with_token)[0] == 403)
