"""Checks the doubles: drives them with the vendors' own SDKs, and changes requests until they refuse.

    scripts/with-kms sh -c '"$WXPAY_TEST_PYTHON" tests/kms/check_doubles.py'

Prints `N passed, M failed`, and ends with 1 if something failed.
"""

import contextlib
import hashlib
import http.client
import json
import pathlib
import subprocess
import sys
import time
import traceback
import urllib.parse

import alibaba
import boto3
import tencent
from alibabacloud_kms20160120.client import Client as AlibabaClient
from alibabacloud_kms20160120 import models as alibaba_models
from alibabacloud_tea_openapi.utils_models import Config as AlibabaConfig
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from double import Request, base64_of, quote, sha256_hex, strict_base64
from tencentcloud.common import credential as tencent_credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.kms.v20190118 import models as tencent_models
from tencentcloud.kms.v20190118.kms_client import KmsClient

HERE = pathlib.Path(__file__).resolve().parent
TESTDATA = HERE.parent.parent / "crates/wxpay-auth/testdata"
MERCHANT = TESTDATA / "keys/merchant_private_key.pem"
MESSAGE = "GET\n/v3/某\n1554208460\nnonce\n\n".encode()
DIGEST = hashlib.sha256(MESSAGE).digest()
PRIVATE = serialization.load_pem_private_key(MERCHANT.read_bytes(), None)
EXPECTED = PRIVATE.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())

passed = failed = 0


def check(name, holds, seen=None):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {name}" + ("" if seen is None else f": {seen!r}"))


@contextlib.contextmanager
def started(program, *more):
    """Runs a double; gives its ready line."""
    command = [sys.executable, "-B", str(HERE / program), "--key", str(MERCHANT), *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        check(f"{program} ends when its standard input is closed", process.wait(10) == 0)


def send(ready, method, target, headers=(), body=b"", timeout=10):
    """One request, with exactly these headers; the answer's status, headers and body."""
    host = urllib.parse.urlsplit(ready["url"]).netloc
    connection = http.client.HTTPConnection(host, timeout=timeout)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body or method in ("POST", "PUT"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    try:
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def control(ready, **wishes):
    status, _, body = send(ready, "POST", "/_control", [("Host", "x")], json.dumps(wishes).encode())
    if status != 200:
        raise RuntimeError(body)


def journal(ready):
    return json.loads(send(ready, "GET", "/_journal", [("Host", "x")])[2])


def verifies(spki, signature, digest=DIGEST, pss=False):
    public = spki if not isinstance(spki, bytes) else serialization.load_der_public_key(spki)
    prehashed = utils.Prehashed(hashes.SHA256())
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(signature, digest, ec.ECDSA(prehashed))
        else:
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else padding.PKCS1v15()
            public.verify(signature, digest, scheme, prehashed)
        return True
    except InvalidSignature:
        return False


def mutations(text, every=1):
    """The text with one bit of one byte changed, for every so many-th byte."""
    for at in range(0, len(text), every):
        yield text[:at] + bytes([text[at] ^ 1]) + text[at + 1:]


def documented_examples():
    for case in json.loads((TESTDATA / "kms/tc3.json").read_text())["cases"]:
        request = Request("POST", "/", [("content-type", case["content_type"]), ("host", case["host"]),
                                        ("x-tc-action", case["action"])], case["payload"].encode())
        canonical = tencent.canonical_request(request, case["signed_headers"].split(";"))
        check("TC3: canonical request", canonical == case["canonical_request"], canonical)
        found = tencent.signature(case["secret_key"], "2019-02-25", "cvm", case["timestamp"], canonical)
        check("TC3: signature", found == case["signature"] and found in case["authorization"], found)
    for case in json.loads((TESTDATA / "kms/acs3.json").read_text())["cases"]:
        headers = [("host", case["host"]), ("x-acs-action", case["action"]),
                   ("x-acs-version", case["version"]), ("x-acs-date", case["date"]),
                   ("x-acs-signature-nonce", case["nonce"]),
                   ("x-acs-content-sha256", case["hashed_request_payload"])]
        request = Request("POST", "/?" + case["canonical_query"], headers, b"")
        canonical = alibaba.canonical_request(request, case["parameters"], case["signed_headers"].split(";"))
        check("ACS3: canonical request", canonical == case["canonical_request"], canonical)
        found = alibaba.signature(case["access_key_secret"], canonical)
        check("ACS3: signature", found == case["signature"] and found in case["authorization"], found)


# Tencent Cloud


def tencent_client(ready, who, secret=None, region=None, token=None):
    profile = ClientProfile(httpProfile=HttpProfile(
        protocol="http", endpoint=urllib.parse.urlsplit(ready["url"]).netloc, reqTimeout=5))
    known = ready["credentials"][who]
    pair = tencent_credential.Credential(known["id"], secret or known["secret"], token or known.get("token"))
    return KmsClient(pair, region or ready["region"], profile)


def tencent_sign(client, key, **changes):
    request = tencent_models.SignByAsymmetricKeyRequest()
    fields = {"KeyId": key, "Algorithm": "RSA_PKCS1_SHA_256", "Message": base64_of(DIGEST),
              "MessageType": "DIGEST", **changes}
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


def tencent_request(ready, who="static", body=None, action="SignByAsymmetricKey", at=None, **changes):
    """The headers and the body of a request that is signed by hand, x-tc-action included."""
    known = ready["credentials"][who]
    timestamp = str(int(at or time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(int(timestamp)))
    if body is None:
        body = json.dumps({"KeyId": ready["keys"]["merchant"], "Algorithm": "RSA_PKCS1_SHA_256",
                           "Message": base64_of(DIGEST), "MessageType": "DIGEST"}).encode()
    headers = {"Content-Type": "application/json", "Host": urllib.parse.urlsplit(ready["url"]).netloc,
               "X-TC-Action": action, "X-TC-Version": "2019-01-18", "X-TC-Timestamp": timestamp,
               "X-TC-Region": ready["region"]}
    if "token" in known:
        headers["X-TC-Token"] = known["token"]
    headers.update(changes.get("headers", {}))
    signed = changes.get("signed", ["content-type", "host", "x-tc-action"])
    request = Request("POST", "/", [(name.lower(), value) for name, value in headers.items()], body)
    scope = changes.get("scope", f"{date}/kms/tc3_request")
    made = tencent.signature(known["secret"], *scope.split("/")[:2], timestamp,
                             tencent.canonical_request(request, signed))
    headers["Authorization"] = (f"TC3-HMAC-SHA256 Credential={known['id']}/{scope}, "
                                f"SignedHeaders={';'.join(signed)}, Signature={made}")
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
            check("Tencent: public key", serialization.load_der_public_key(spki) == PRIVATE.public_key())
            check("Tencent: key id", answer.KeyId == keys["merchant"])
            check("Tencent: signature, " + who, tencent_sign(client, keys["merchant"]) == EXPECTED)
        client = tencent_client(ready, "static")
        raw = tencent_sign(client, keys["merchant"], Message=base64_of(MESSAGE), MessageType="RAW")
        check("Tencent: a raw message", raw == EXPECTED)
        raw = tencent_sign(client, keys["merchant"], Message=base64_of(MESSAGE), MessageType=None)
        check("Tencent: raw by default", raw == EXPECTED)
        raw = tencent_sign(client, keys["merchant"], Message=base64_of(b"x" * 4096), MessageType="RAW")
        check("Tencent: 4096 bytes", verifies(PRIVATE.public_key(), raw, hashlib.sha256(b"x" * 4096).digest()))
        for name in ("born", "other", "ec"):
            spki = strict_base64(tencent_public_key(client, keys[name]).PublicKey)
            algorithm = "ECC_P256_R1" if name == "ec" else "RSA_PKCS1_SHA_256"
            check("Tencent: " + name, verifies(spki, tencent_sign(client, keys[name], Algorithm=algorithm)))
        pss = tencent_sign(client, keys["merchant"], Algorithm="RSA_PSS_SHA_256")
        check("Tencent: PSS", verifies(PRIVATE.public_key(), pss, pss=True)
              and not verifies(PRIVATE.public_key(), pss))
        check("Tencent: a key for decryption has a public key",
              tencent_public_key(client, keys["decrypt"]).KeyId == keys["decrypt"])

        merchant, sign = keys["merchant"], tencent_sign
        for code, found in {
            "AuthFailure.SignatureFailure": tencent_code(sign, tencent_client(ready, "static", "no"), merchant),
            "AuthFailure.TokenFailure": tencent_code(sign, tencent_client(ready, "static", token="no"), merchant),
            "AuthFailure.TokenFailure ": tencent_code(sign, tencent_client(ready, "temporary", token="no"), merchant),
            "UnauthorizedOperation": tencent_code(sign, tencent_client(ready, "denied"), merchant),
            "UnauthorizedOperation ": tencent_code(tencent_public_key, tencent_client(ready, "denied"), merchant),
            "UnsupportedRegion": tencent_code(sign, tencent_client(ready, "static", region="ap-x"), merchant),
            "ResourceUnavailable.CmkDisabled": tencent_code(sign, client, keys["disabled"]),
            "ResourceUnavailable.CmkDisabled ": tencent_code(tencent_public_key, client, keys["disabled"]),
            "ResourceUnavailable.CmkNotFound": tencent_code(sign, client, "0" * 8 + merchant[8:]),
            "InvalidParameterValue.InvalidKeyId": tencent_code(sign, client, "merchant"),
            "UnsupportedOperation": tencent_code(sign, client, keys["decrypt"]),
            "InvalidParameter": tencent_code(sign, client, keys["ec"]),
            "InvalidParameter ": tencent_code(sign, client, merchant, Algorithm="RSA_PKCS1_SHA_1"),
            "InvalidParameter  ": tencent_code(sign, client, merchant, Message=7),
            "InvalidParameterValue": tencent_code(sign, client, merchant, Message=base64_of(DIGEST[:31])),
            "InvalidParameterValue ": tencent_code(sign, client, merchant, Message="*"),
            "InvalidParameterValue  ": tencent_code(sign, client, merchant, MessageType="HASH"),
            "InvalidParameterValue   ": tencent_code(
                sign, client, merchant, MessageType="RAW", Message=base64_of(b"x" * 4097)),
            "MissingParameter": tencent_code(sign, client, merchant, Algorithm=None),
        }.items():
            check("Tencent: " + code, found == code.strip(), found)

        known = ready["credentials"]["temporary"]
        control(ready, credentials=[ready["credentials"]["denied"]])
        check("Tencent: expired", tencent_code(sign, tencent_client(ready, "temporary"), merchant)
              == "AuthFailure.TokenFailure")
        check("Tencent: no longer known",
              tencent_code(sign, client, merchant) == "AuthFailure.SecretIdNotFound")
        control(ready, credentials=[ready["credentials"]["static"], known])
        check("Tencent: known again", sign(client, merchant) == EXPECTED)
        check_tencent_faults(ready, client)
        check_tencent_metadata(ready)
    with started("tencent.py") as ready:
        check("Tencent: X-TC-Action is to be signed", tencent_code(
            sign, tencent_client(ready, "static"), ready["keys"]["merchant"]) == "AuthFailure.SignatureFailure")
        check_tencent_strictness(ready)


def check_tencent_strictness(ready):
    def answer(*arguments, **named):
        return tencent_answer(ready, *tencent_request(ready, *arguments, **named))

    def body(**changes):
        fields = {"KeyId": ready["keys"]["merchant"], "Algorithm": "RSA_PKCS1_SHA_256",
                  "Message": base64_of(DIGEST), "MessageType": "DIGEST", **changes}
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
        ("another service", strict,
         answer(scope=time.strftime("%Y-%m-%d", time.gmtime(now)) + "/cvm/tc3_request")),
        ("unsorted", strict, answer(signed=["host", "content-type", "x-tc-action"])),
        ("a header signed twice", strict, answer(signed=["content-type", "host", "host", "x-tc-action"])),
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
                continue  # Not a header: a control character.
            check(f"Tencent: a changed byte of {name}", found != "ok", (changed, found))
        rest = [(n, v) for n, v in headers if n != name]
        check(f"Tencent: without {name}", tencent_answer(ready, rest, sent) != "ok")
        check(f"Tencent: {name} twice", tencent_answer(ready, [*headers, (name, value)], sent) != "ok")
    check("Tencent: a token too many",
          tencent_answer(ready, [*headers, ("X-TC-Token", "x")], sent) == "AuthFailure.TokenFailure")
    check("Tencent: a query", tencent_answer(ready, headers, sent, "/?x=1") != "ok")
    secrets = [value for c in ready["credentials"].values() for k, value in c.items() if k in ("secret", "token")]
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
    check("Tencent: twice", journal(ready)[-1]["code"] == "InternalError"
          and tencent_code(tencent_sign, client, key) is not None)
    fault("pss", action="SignByAsymmetricKey")
    tencent_public_key(client, key)
    check("Tencent: PSS unasked", verifies(public, tencent_sign(client, key), pss=True))
    fault("rehash")
    check("Tencent: rehash",
          verifies(public, tencent_sign(client, key), hashlib.sha256(DIGEST).digest()))
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
    check("Tencent: stripped", len(short) < 256 and verifies(public, short.rjust(256, b"\0"), digest))
    check_raw_faults(ready, "Tencent", lambda: tencent_request(ready), "Signature")


def check_raw_faults(ready, vendor, make, field):
    """The faults that are about HTTP, seen without an SDK."""
    def ask(timeout=10):
        headers, body, *target = make()
        return send(ready, "POST", target[0] if target else "/", headers, body, timeout)

    def fault(kind, **fields):
        control(ready, faults=[{"kind": kind, **fields}])

    fault("html", status=503)
    status, headers, body = ask()
    check(vendor + ": HTML", status == 503 and b"<html>" in body and headers["Content-Type"] == "text/html")
    fault("throttle", retry_after=7)
    check(vendor + ": Retry-After", ask()[1].get("Retry-After") == "7")
    fault("truncate")
    body = ask()[2]
    try:
        json.loads(body)
        check(vendor + ": truncated", False, body)
    except ValueError:
        check(vendor + ": truncated", True)
    fault("huge")
    body = ask()[2]
    check(vendor + ": huge", len(body) > 8 << 20 and field in body.decode())
    fault("delay", ms=300)
    begin = time.monotonic()
    check(vendor + ": delayed", ask()[0] == 200 and time.monotonic() - begin >= 0.3)
    fault("close")
    try:
        check(vendor + ": closed", not ask())
    except (http.client.RemoteDisconnected, ConnectionError):
        check(vendor + ": closed", True)
    fault("hang")
    try:
        check(vendor + ": hangs", not ask(timeout=1))
    except TimeoutError:
        check(vendor + ": hangs", True)
    check(vendor + ": journal", [e["fault"] for e in journal(ready)][-7:]
          == ["html", "throttle", "truncate", "huge", "delay", "close", "hang"])
    check(vendor + ": healthy again", ask()[0] == 200)
    try:
        fault("nonsense")
        check(vendor + ": an unknown fault", False)
    except RuntimeError:
        check(vendor + ": an unknown fault", True)


def check_tencent_metadata(ready):
    role = tencent_credential.CVMRoleCredential
    role._role_endpoint = ready["metadata_url"] + "/latest/meta-data/cam/security-credentials/"
    client = tencent_client(ready, "static")
    client.credential = role()
    check("Tencent: by its role", tencent_sign(client, ready["keys"]["merchant"]) == EXPECTED)
    control(ready, role={"name": "second", "id": "AKIDsecond", "secret": "s", "token": "t", "expires_in": 60})
    check("Tencent: the role before has expired", tencent_code(
        tencent_sign, client, ready["keys"]["merchant"]) == "AuthFailure.TokenFailure")
    client.credential = role()
    check("Tencent: by its new role", tencent_sign(client, ready["keys"]["merchant"]) == EXPECTED)
    control(ready, role=None)
    path = "/latest/meta-data/cam/security-credentials/"
    check("Tencent: no role", send(ready, "GET", path, [("Host", "x")])[0] == 404)
    calls = [entry["path"] for entry in journal(ready) if entry["action"] == "metadata"]
    check("Tencent: metadata in the journal", f"GET {path}second" in calls and f"GET {path}" in calls, calls)


# Alibaba Cloud


def alibaba_client(ready, who, secret=None, token=None):
    known = ready["credentials"][who]
    return AlibabaClient(AlibabaConfig(
        access_key_id=known["id"], access_key_secret=secret or known["secret"],
        security_token=token or known.get("token"), endpoint=urllib.parse.urlsplit(ready["url"]).netloc,
        protocol="http", region_id=ready["region"], read_timeout=5000, connect_timeout=5000))


def alibaba_sign(client, key, version, algorithm="RSA_PKCS1_SHA_256", digest=DIGEST):
    request = alibaba_models.AsymmetricSignRequest(
        algorithm=algorithm, digest=digest and base64_of(digest), key_id=key, key_version_id=version)
    return client.asymmetric_sign(request).body


def alibaba_public_key(client, key, version):
    request = alibaba_models.GetPublicKeyRequest(key_id=key, key_version_id=version)
    return client.get_public_key(request).body


def alibaba_code(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:  # The SDK has several kinds, all of them with a code.
        return error.code, getattr(error, "status_code", None)
    return None


def alibaba_request(ready, who="static", query=None, action="AsymmetricSign", at=None, **changes):
    """The headers, the body and the target of a request that is signed by hand."""
    known = ready["credentials"][who]
    if query is None:
        query = {"KeyId": ready["keys"]["merchant"], "KeyVersionId": ready["versions"]["merchant"][0],
                 "Algorithm": "RSA_PKCS1_SHA_256", "Digest": base64_of(DIGEST)}
    method, body = changes.get("method", "POST"), changes.get("body", b"")
    headers = {
        "Host": urllib.parse.urlsplit(ready["url"]).netloc, "x-acs-action": action,
        "x-acs-version": "2016-01-20",
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at or time.time())),
        "x-acs-signature-nonce": f"{time.time_ns()}", "x-acs-content-sha256": sha256_hex(body),
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
    headers["Authorization"] = (f"ACS3-HMAC-SHA256 Credential={known['id']},"
                                f"SignedHeaders={';'.join(signed)},Signature={made}")
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
            check("Alibaba: public key",
                  serialization.load_pem_public_key(answer.public_key.encode()) == PRIVATE.public_key())
            check("Alibaba: names", (answer.key_id, answer.key_version_id) == (merchant, first))
            answer = alibaba_sign(client, merchant, first)
            check("Alibaba: signature, " + who, strict_base64(answer.value) == EXPECTED)
            check("Alibaba: names", (answer.key_id, answer.key_version_id) == (merchant, first))
        client = alibaba_client(ready, "static")
        for name, version in (("merchant", second), *((n, versions[n][0]) for n in ("born", "other", "ec"))):
            public = serialization.load_pem_public_key(
                alibaba_public_key(client, keys[name], version).public_key.encode())
            algorithm = "ECDSA_SHA_256" if name == "ec" else "RSA_PKCS1_SHA_256"
            signature = strict_base64(alibaba_sign(client, keys[name], version, algorithm).value)
            check("Alibaba: " + name, verifies(public, signature) and signature != EXPECTED)
        pss = strict_base64(alibaba_sign(client, merchant, first, "RSA_PSS_SHA_256").value)
        check("Alibaba: PSS", verifies(PRIVATE.public_key(), pss, pss=True))
        check("Alibaba: alias", alibaba_sign(client, "alias/merchant", first).key_id == merchant)

        sign, other = alibaba_sign, versions["born"][0]
        for code, status, found in (
            ("SignatureDoesNotMatch", 400, alibaba_code(sign, alibaba_client(ready, "static", "no"), merchant, first)),
            ("InvalidSecurityToken.MismatchWithAccessKey", 400,
             alibaba_code(sign, alibaba_client(ready, "static", token="no"), merchant, first)),
            ("InvalidSecurityToken.Malformed", 400,
             alibaba_code(sign, alibaba_client(ready, "temporary", token="no"), merchant, first)),
            ("Forbidden.NoPermission", 403, alibaba_code(sign, alibaba_client(ready, "denied"), merchant, first)),
            ("Forbidden.KeyNotFound", 404, alibaba_code(sign, client, "no", first)),
            ("Forbidden.AliasNotFound", 404, alibaba_code(sign, client, "alias/no", first)),
            ("Forbidden.KeyVersionNotFound", 404, alibaba_code(sign, client, merchant, other)),
            ("Forbidden.KeyVersionNotFound", 404, alibaba_code(alibaba_public_key, client, merchant, other)),
            ("Rejected.Disabled", 409, alibaba_code(sign, client, keys["disabled"], versions["disabled"][0])),
            ("UnsupportedOperation", 400, alibaba_code(sign, client, keys["encrypt"], versions["encrypt"][0])),
            ("InvalidParameter", 400, alibaba_code(sign, client, keys["ec"], versions["ec"][0])),
            ("InvalidParameter", 400, alibaba_code(sign, client, merchant, first, "RSA_PKCS1_SHA_1")),
            ("InvalidParameter", 400, alibaba_code(sign, client, merchant, first, digest=DIGEST[:31])),
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
        control(ready, credentials=[ready["credentials"]["static"], ready["credentials"]["temporary"]])
        check_alibaba_strictness(ready)
        check_alibaba_faults(ready, client)
        check_alibaba_metadata(ready)


def check_alibaba_strictness(ready):
    merchant, first = ready["keys"]["merchant"], ready["versions"]["merchant"][0]
    query = {"KeyId": merchant, "KeyVersionId": first, "Algorithm": "RSA_PKCS1_SHA_256",
             "Digest": base64_of(DIGEST)}
    form = urllib.parse.urlencode(query).encode()
    now = time.time()

    def answer(*arguments, method="POST", **named):
        return alibaba_answer(ready, *alibaba_request(ready, *arguments, method=method, **named), method)

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
        ("another form of time", "InvalidTimeStamp.Format", answer(headers={"x-acs-date": "20260101T000000Z"})),
        ("another version", "InvalidVersion", answer(headers={"x-acs-version": "2016-01-21"})),
        ("another action", "InvalidAction.NotFound", answer(action="Decrypt")),
        ("another host", "SignatureDoesNotMatch", answer(headers={"Host": "kms.cn-hangzhou.aliyuncs.com"})),
        ("another hash", "SignatureDoesNotMatch", answer(headers={"x-acs-content-sha256": "0" * 64})),
        ("unsorted", "IncompleteSignature", answer(signed=names[::-1])),
        ("the nonce not signed", "IncompleteSignature",
         answer(signed=[n for n in names if n != "x-acs-signature-nonce"])),
        ("a parameter twice", "InvalidParameter", answer(query=query, body=form)),
        ("an unknown parameter", "InvalidParameter", answer(query={**query, "Extra": "x"})),
        ("the order of parameters", "ok", answer(query=dict(reversed(query.items())))),
        ("a body that is no form", "ParseRequestParameterException",
         answer(body=b"{}", headers={"Content-Type": "application/json"})),
    ):
        check("Alibaba: " + name, found == code, found)
    check("Alibaba: for the first time", alibaba_answer(ready, headers, body, target) == "ok")
    replayed = alibaba_answer(ready, headers, body, target)
    check("Alibaba: replayed", replayed == "SignatureNonceUsed", replayed)

    headers, body, target = alibaba_request(ready)
    for changed in mutations(target.encode()):
        text = changed.decode()
        if any(c in text for c in " \t#") or not text.startswith("/"):
            continue  # Does not arrive as it was written, or not here.
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
        check(f"Alibaba: {name} twice", alibaba_answer(ready, [*headers, (name, value)], body, target) != "ok")
    extra = [*headers, ("x-acs-more", "1")]
    check("Alibaba: an x-acs- header not signed", alibaba_answer(ready, extra, body, target) == "IncompleteSignature")
    check("Alibaba: a changed body", alibaba_answer(ready, headers, b"x", target) != "ok")
    check("Alibaba: another method", alibaba_answer(ready, headers, body, target, "GET") == "SignatureDoesNotMatch")
    check("Alibaba: unchanged", alibaba_answer(ready, headers, body, target) == "ok")
    secrets = [value for c in ready["credentials"].values() for k, value in c.items() if k in ("secret", "token")]
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
    check("Alibaba: a token needs a life", send(ready, "PUT", "/latest/api/token", [host])[0] == 400)
    ttl = ("X-aliyun-ecs-metadata-token-ttl-seconds", "60")
    token = send(ready, "PUT", "/latest/api/token", [host, ttl])[2].decode()
    with_token = [host, ("X-aliyun-ecs-metadata-token", token)]
    name = send(ready, "GET", path, with_token)[2].decode()
    check("Alibaba: role", name == ready["role"])
    role = json.loads(send(ready, "GET", path + name, with_token)[2])
    check("Alibaba: role's answer", role["Code"] == "Success" and role["Expiration"].endswith("Z"))
    ready["credentials"]["role"] = {"id": role["AccessKeyId"], "secret": role["AccessKeySecret"],
                                    "token": role["SecurityToken"]}
    merchant, first = ready["keys"]["merchant"], ready["versions"]["merchant"][0]
    client = alibaba_client(ready, "role")
    check("Alibaba: by its role", strict_base64(alibaba_sign(client, merchant, first).value) == EXPECTED)
    control(ready, role={"name": "second", "id": "STS.second", "secret": "s", "token": "t"})
    found = alibaba_code(alibaba_sign, client, merchant, first)
    check("Alibaba: the role before has expired", found == ("InvalidSecurityToken.Expired", 400), found)
    check("Alibaba: the new role", send(ready, "GET", path, with_token)[2] == b"second")
    control(ready, clock=120)
    check("Alibaba: the token's life is over", send(ready, "GET", path, with_token)[0] == 403)


# AWS, by moto


def moto_code(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def check_moto():
    """What moto gets wrong, as published and as repaired; the numbers are those of moto_kms.py."""
    public, again = PRIVATE.public_key(), hashlib.sha256(DIGEST).digest()
    for published in (True, False):
        with started("moto_kms.py", *(["--as-published"] if published else [])) as ready:
            label = "moto as published" if published else "moto repaired"
            keys = ready["keys"]
            client = boto3.client(
                "kms", endpoint_url=ready["url"], region_name=ready["region"],
                aws_access_key_id="AKIDMOTO", aws_secret_access_key="x",
                config=BotoConfig(retries={"total_max_attempts": 1}, read_timeout=5))

            def sign(key="merchant", message=DIGEST, kind="DIGEST", algorithm="RSASSA_PKCS1_V1_5_SHA_256"):
                return client.sign(KeyId=keys.get(key, key), Message=message, MessageType=kind,
                                   SigningAlgorithm=algorithm)

            def public_key(key):
                return client.get_public_key(KeyId=keys[key])

            check(f"{label}: RAW", sign(message=MESSAGE, kind="RAW")["Signature"] == EXPECTED)
            check(f"{label}: public key", serialization.load_der_public_key(
                public_key("merchant")["PublicKey"]) == public)
            signature = sign()["Signature"]
            check(f"{label}: 1. DIGEST", verifies(public, signature, again if published else DIGEST))
            check(f"{label}: 1. DIGEST", (signature == EXPECTED) != published)
            check(f"{label}: missing key", moto_code(sign, key="00000000-0000-0000-0000-000000000000")
                  == "NotFoundException")

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
            differs(4, moto_code(sign, key="encrypt"), "ValidationException", "InvalidKeyUsageException")
            differs(4, moto_code(sign, key="ec"), "ValidationException", "InvalidKeyUsageException")
            answer = public_key("merchant")
            differs(5, answer["KeyId"], keys["merchant"], ready["arns"]["merchant"])
            differs(5, "KeySpec" in answer, False, True)
            raw = send(ready, "POST", "/", [
                ("Host", "x"), ("X-Amz-Target", "TrentService.GetPublicKey"),
                ("Content-Type", "application/x-amz-json-1.1"),
                ("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kms/aws4_request, x=y"),
            ], json.dumps({"KeyId": keys["merchant"]}).encode())[2]
            differs(5, None in json.loads(raw).values(), True, False)
            differs(6, moto_code(public_key, key="symmetric"), None, "UnsupportedOperationException")
            pss = sign(message=MESSAGE, kind="RAW", algorithm="RSASSA_PSS_SHA_256")["Signature"]
            differs(7, verifies(public, pss, pss=True), False, True)
            ecdsa = sign(key="ec", algorithm="ECDSA_SHA_256")["Signature"]
            check(f"{label}: ECDSA", verifies(public_key("ec")["PublicKey"], ecdsa, again if published else DIGEST))
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
    headers = [("Host", "x"), ("X-Amz-Target", "TrentService.Sign"),
               ("Content-Type", "application/x-amz-json-1.1"),
               ("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/kms/aws4_request, x=y")]
    body = json.dumps({"KeyId": ready["keys"]["merchant"], "Message": base64_of(DIGEST),
                       "MessageType": "DIGEST", "SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}).encode()
    check_raw_faults(ready, "moto", lambda: (headers, body), "Signature")


def main():
    for part in (documented_examples, check_tencent, check_alibaba, check_moto):
        try:
            part()
        except Exception:
            traceback.print_exc()
            check(f"{part.__name__} goes through", False)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
