"""A strict double of Tencent Cloud KMS, API 3.0 of 2019-01-18, and of the metadata service of CVM.

Based on the documentation (Signature v3, GetPublicKey, SignByAsymmetricKey, error codes) and the error
codes of the vendor's SDK; check_doubles.py tests it with that SDK. See double.py for the control API. It is
stricter than the service where that can only help a client: it refuses unknown fields, a foreign Host, and
an unsigned X-TC-Action (`--signed-headers vendor` is as lenient as the service, whose own SDK does not sign
it).

`PublicKeyPem` follows the documented example of GetPublicKey: between the lines of a PEM, the Base64 of the
Base64 of the DER. `PublicKey` is the Base64 of the DER.
"""

import datetime
import hashlib
import hmac
import json
import re

from double import Answer, Credential, Double, Refusal, own_host, unique_object
from keys import base64_of, new_ec, new_id, new_rsa, sha256_hex, sign_digest, strict_base64
from serving import arguments, run

VERSION = "2019-01-18"
SIGN_RSA, SIGN_ECC = "ASYMMETRIC_SIGN_VERIFY_RSA_2048", "ASYMMETRIC_SIGN_VERIFY_ECC"
DECRYPT_RSA = "ASYMMETRIC_DECRYPT_RSA_2048"
ALGORITHMS = {SIGN_RSA: ("RSA_PKCS1_SHA_256", "RSA_PSS_SHA_256"), SIGN_ECC: ("ECC_P256_R1",)}
FIELDS = {
    "GetPublicKey": {"KeyId": True},
    "SignByAsymmetricKey": {
        "KeyId": True,
        "Algorithm": True,
        "Message": True,
        "MessageType": False,
    },
}
AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/\s,]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>[a-z0-9]+)"
    r"/tc3_request, SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
ROLES = "/latest/meta-data/cam/security-credentials/"


def canonical_request(request, signed_headers):
    headers = "".join(f"{name}:{(request.header(name) or '').lower()}\n" for name in signed_headers)
    return "\n".join(
        [
            request.method,
            request.path,
            request.query,
            headers,
            ";".join(signed_headers),
            sha256_hex(request.body),
        ]
    )


def signature(secret, date, service, timestamp, canonical):
    def mac(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    scope = f"{date}/{service}/tc3_request"
    to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{sha256_hex(canonical.encode())}"
    signing_key = mac(mac(mac(f"TC3{secret}".encode(), date), service), "tc3_request")
    return mac(signing_key, to_sign).hex()


class Tencent(Double):
    def __init__(self, key_file, region, vendor_headers):
        super().__init__(key_file)
        self.region = region
        self.must_sign = {"content-type", "host"} | (set() if vendor_headers else {"x-tc-action"})
        self.add_key("merchant", SIGN_RSA, self.merchant)
        self.add_key("born", SIGN_RSA, new_rsa())
        self.add_key("other", SIGN_RSA, self.spare)
        self.add_key("disabled", SIGN_RSA, new_rsa(), state="Disabled")
        self.add_key("ec", SIGN_ECC, new_ec())
        self.add_key("decrypt", DECRYPT_RSA, new_rsa())
        self.named_credentials = {
            "static": Credential(
                "AKIDstatic0double0kms0test0000000000", "static0secret0of0the0double00000"
            ),
            "temporary": Credential(
                "AKIDtemporary0double0kms0test0000000",
                "temporary0secret0of0the0double00",
                "temporary-token-of-the-double",
            ),
            "denied": Credential(
                "AKIDdenied0double0kms0test0000000000",
                "denied0secret0of0the0double00000",
                denied=True,
            ),
        }
        self.static = {c.id: c for c in self.named_credentials.values()}
        self.set_role(
            {
                "name": "wxpay-signer",
                "id": "AKIDrole0double0kms0test000000000000",
                "secret": "role0secret0of0the0double0000000",
                "token": "role-token-of-the-double",
            }
        )

    def fault_actions(self):
        sign, both = {"SignByAsymmetricKey"}, {"SignByAsymmetricKey", "GetPublicKey"}
        return {
            "pss": sign,
            "rehash": sign,
            "strip": sign,
            "other-key": both,
            "wrong-key-id": {"GetPublicKey"},
            "wrong-key-version": set(),
        }

    def more_ready(self):
        return {"region": self.region}

    def action(self, request):
        return request.header("x-tc-action")

    def authenticate(self, request, entry):
        if request.method != "POST" or request.path != "/" or request.query:
            raise Refusal("UnsupportedProtocol", "Send POST / with a body.")
        for name in (
            "x-tc-action",
            "x-tc-version",
            "x-tc-timestamp",
            "x-tc-region",
            "host",
            "content-type",
            "authorization",
        ):
            if request.header(name) is None:
                code = (
                    "AuthFailure.InvalidAuthorization"
                    if name == "authorization"
                    else "MissingParameter"
                )
                raise Refusal(code, f"The header {name} is needed, once.")
        if request.header("content-type") not in (
            "application/json",
            "application/json; charset=utf-8",
        ):
            raise Refusal("UnsupportedProtocol", "Content-Type is to be application/json.")
        if request.header("x-tc-content-sha256"):
            raise Refusal("InvalidParameter", "Sign the body.")
        parts = AUTHORIZATION.fullmatch(request.header("authorization"))
        if not parts:
            raise Refusal(
                "AuthFailure.InvalidAuthorization", "Authorization does not conform to TC3."
            )
        entry["credential"] = parts["id"]
        entry["signed_headers"] = parts["headers"]
        signed = parts["headers"].split(";")
        if signed != sorted(set(signed)) or not self.must_sign <= set(signed):
            raise Refusal(
                "AuthFailure.SignatureFailure",
                f"SignedHeaders are to be sorted, and to name {sorted(self.must_sign)}.",
            )
        if any(request.header(name) is None for name in signed):
            raise Refusal(
                "AuthFailure.SignatureFailure", "A signed header is absent, or there twice."
            )
        if not own_host(request.header("host")):
            raise Refusal("AuthFailure.SignatureFailure", "This is not the host that was signed.")
        timestamp = request.header("x-tc-timestamp")
        if not re.fullmatch(r"[1-9]\d{0,10}", timestamp):
            raise Refusal("InvalidParameter", "X-TC-Timestamp is to be in seconds.")
        if abs(int(timestamp) - self.now()) > 300:
            raise Refusal(
                "AuthFailure.SignatureExpire", "The timestamp is off by more than five minutes."
            )
        date = datetime.datetime.fromtimestamp(int(timestamp), datetime.timezone.utc).strftime(
            "%Y-%m-%d"
        )
        if parts["date"] != date or parts["service"] != "kms":
            raise Refusal(
                "AuthFailure.SignatureFailure", f"The scope is to be {date}/kms/tc3_request."
            )
        self.check_credential(request, parts, timestamp, signed, entry)

    def check_credential(self, request, parts, timestamp, signed, entry):
        credential, accepted = self.credential(parts["id"])
        if credential is None or not accepted and credential.token is None:
            raise Refusal("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        if not accepted:
            raise Refusal("AuthFailure.TokenFailure", "The token has expired.")
        expected = signature(
            credential.secret,
            parts["date"],
            parts["service"],
            timestamp,
            canonical_request(request, signed),
        )
        if not hmac.compare_digest(expected, parts["signature"]):
            raise Refusal(
                "AuthFailure.SignatureFailure", "The provided credentials could not be validated."
            )
        tokens = [value for name, value in request.headers if name == "x-tc-token"]
        if tokens != ([credential.token] if credential.token else []):
            raise Refusal("AuthFailure.TokenFailure", "The token is not that of the SecretId.")
        if request.header("x-tc-version") != VERSION:
            raise Refusal("NoSuchVersion", "The version does not exist.")
        if request.header("x-tc-region") != self.region:
            raise Refusal("UnsupportedRegion", "The region is not supported.")
        if entry["action"] not in FIELDS:
            raise Refusal("InvalidAction", "The action does not exist.")

    def perform(self, request, entry, fault):
        fields = self.fields(request, entry["action"])
        entry.update(
            key_id=fields.get("KeyId"),
            algorithm=fields.get("Algorithm"),
            message_type=fields.get("MessageType"),
        )
        if self.credential(entry["credential"])[0].denied:
            raise Refusal(
                "UnauthorizedOperation", "You are not authorized to perform this operation."
            )
        if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", fields["KeyId"]):
            raise Refusal("InvalidParameterValue.InvalidKeyId", "The KeyId is invalid.")
        key = self.key_by_id(fields["KeyId"])
        if key is None:
            raise Refusal("ResourceUnavailable.CmkNotFound", "The CMK does not exist.")
        if key.state == "Disabled":
            raise Refusal("ResourceUnavailable.CmkDisabled", "The CMK has been disabled.")
        if key.state != "Enabled":
            raise Refusal(
                "ResourceUnavailable.CmkStateNotSupport", "The state of the CMK does not allow it."
            )
        kind = fault["kind"] if fault else None
        private = self.spare if kind == "other-key" else key.versions[0].private
        result = getattr(self, entry["action"])(key, private, fields, kind)
        return Answer.of({"Response": {**result, "RequestId": new_id()}})

    def fields(self, request, action):
        try:
            fields = json.loads(request.body, object_pairs_hook=unique_object)
        except ValueError:
            raise Refusal(
                "InvalidParameter", "The body is not JSON, or has a name twice."
            ) from None
        if not isinstance(fields, dict):
            raise Refusal("InvalidParameter", "The body is not an object.")
        for name in fields:
            if name not in FIELDS[action]:
                raise Refusal("UnknownParameter", f"The parameter {name} is not recognized.")
        for name, needed in FIELDS[action].items():
            if needed and name not in fields:
                raise Refusal("MissingParameter", f"The parameter {name} is missing.")
            if name in fields and not isinstance(fields[name], str):
                raise Refusal("InvalidParameter", f"The parameter {name} is not a string.")
        return fields

    def GetPublicKey(self, key, private, fields, kind):
        version = type(key.versions[0])("", private)
        encoded = base64_of(version.der())
        again = base64_of(encoded.encode())
        lines = [again[at : at + 64] for at in range(0, len(again), 64)]
        pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
        return {
            "KeyId": new_id() if kind == "wrong-key-id" else key.id,
            "PublicKey": encoded,
            "PublicKeyPem": pem,
        }

    def SignByAsymmetricKey(self, key, private, fields, kind):
        if key.usage not in ALGORITHMS:
            raise Refusal("UnsupportedOperation", f"A key for {key.usage} does not sign.")
        if fields["Algorithm"] not in ALGORITHMS[key.usage]:
            raise Refusal("InvalidParameter", "The algorithm is not one of this key.")
        message = strict_base64(fields["Message"])
        if message is None:
            raise Refusal("InvalidParameterValue", "Message is not Base64.")
        message_type = fields.get("MessageType", "RAW")
        if message_type == "RAW":
            if not 0 < len(message) <= 4096:
                raise Refusal("InvalidParameterValue", "A raw message has 1 to 4096 bytes.")
            message = hashlib.sha256(message).digest()
        elif message_type != "DIGEST":
            raise Refusal("InvalidParameterValue", "MessageType is RAW or DIGEST.")
        elif len(message) != 32:
            raise Refusal("InvalidParameterValue", "A digest has 32 bytes.")
        if kind == "rehash":
            message = hashlib.sha256(message).digest()
        signed = sign_digest(
            private, message, kind == "pss" or fields["Algorithm"] == "RSA_PSS_SHA_256"
        )
        if kind == "strip":
            signed = signed.lstrip(b"\0")
        return {"Signature": base64_of(signed)}

    def refusal(self, refusal):
        error = {"Code": refusal.code, "Message": refusal.message}
        return Answer.of(
            {"Response": {"Error": error, "RequestId": new_id()}},
            refusal.status or 200,
            code=refusal.code,
        )

    def throttling(self):
        return (
            "RequestLimitExceeded",
            "The frequency of requests exceeds the limit of 100 times/sec.",
            200,
        )

    def metadata(self, request):
        if not request.path.startswith("/latest/"):
            return None
        with self.lock:
            role = self.role
        if request.method == "GET" and role and request.path == ROLES:
            return Answer(200, role["name"].encode(), "text/plain")
        if request.method == "GET" and role and request.path == ROLES + role["name"]:
            expiry = datetime.datetime.fromtimestamp(role["expires_at"], datetime.timezone.utc)
            return Answer.of(
                {
                    "TmpSecretId": role["id"],
                    "TmpSecretKey": role["secret"],
                    "ExpiredTime": role["expires_at"],
                    "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "Token": role["token"],
                    "Code": "Success",
                }
            )
        return Answer(404, b"<html><body>404 Not Found</body></html>", "text/html", code="404")


def main():
    def add(parser):
        parser.add_argument("--region", default="ap-guangzhou")
        parser.add_argument("--signed-headers", choices=("strict", "vendor"), default="strict")

    options = arguments(__doc__, add)
    run(Tencent(options.key, options.region, options.signed_headers == "vendor"), options.tls)


if __name__ == "__main__":
    main()
