"""A strict double of Alibaba Cloud KMS, RPC API of 2016-01-20, and of the metadata service of ECS.

Based on the documentation (signature method V3, AsymmetricSign, AsymmetricDecrypt, GetPublicKey, common error
codes). The code for a ciphertext that does not decrypt is not documented: InvalidParameter is a choice of the double.
check_doubles.py tests it with the vendor's SDK. See double.py for the control API. It is stricter than
the service where that can only help a client: it refuses unknown parameters and a foreign Host. The
metadata service supports only the hardened mode: no role without a token.
"""

import datetime
import hashlib
import hmac
import re
import urllib.parse

from cryptography.hazmat.primitives.asymmetric import ec

from double import Answer, Credential, Double, Refusal, own_host, quote
from keys import (
    OAEP_HASHES,
    base64_of,
    decrypt_oaep,
    new_ec,
    new_id,
    new_rsa,
    sha256_hex,
    sign_digest,
    strict_base64,
)
from serving import arguments, run

VERSION = "2016-01-20"
SIGN, ENCRYPT = "SIGN/VERIFY", "ENCRYPT/DECRYPT"
FIELDS = {
    "GetPublicKey": {"KeyId": True, "KeyVersionId": True, "DryRun": False},
    "AsymmetricSign": {
        "KeyId": True,
        "KeyVersionId": True,
        "Algorithm": True,
        "Digest": True,
        "DryRun": False,
    },
    "AsymmetricDecrypt": {
        "KeyId": True,
        "KeyVersionId": True,
        "Algorithm": True,
        "CiphertextBlob": True,
        "DryRun": False,
    },
}
AUTHORIZATION = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<id>[^\s,/]+),SignedHeaders=(?P<headers>[a-z0-9;-]+),"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
NEEDED = (
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
)
NOT_FOUND = "Specified api is not found, please check your url and method."
TOKEN = "/latest/api/token"
ROLES = "/latest/meta-data/ram/security-credentials/"


def parameters(text, plus_is_space=False):
    """Returns the names and values of a query or a form. Refuses duplicate names."""
    found = {}
    for pair in text.split("&") if text else []:
        name, _, value = (pair.replace("+", " ") if plus_is_space else pair).partition("=")
        name, value = (
            urllib.parse.unquote(name, errors="strict"),
            urllib.parse.unquote(value, errors="strict"),
        )
        if name in found:
            raise Refusal(
                "InvalidParameter", f'The specified parameter "{name}" is not valid.', 400
            )
        found[name] = value
    return found


def canonical_request(request, query, signed_headers):
    pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in sorted(query.items()))
    headers = "".join(f"{name}:{request.header(name) or ''}\n" for name in signed_headers)
    return "\n".join(
        [
            request.method,
            request.path,
            pairs,
            headers,
            ";".join(signed_headers),
            sha256_hex(request.body),
        ]
    )


def signature(secret, canonical):
    to_sign = f"ACS3-HMAC-SHA256\n{sha256_hex(canonical.encode())}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


class Alibaba(Double):
    def __init__(self, key_file):
        super().__init__(key_file)
        self.nonces, self.metadata_tokens = set(), {}
        self.add_key("merchant", SIGN, self.merchant, new_rsa())
        self.add_key("born", SIGN, new_rsa())
        self.add_key("other", SIGN, self.spare)
        self.add_key("disabled", SIGN, new_rsa(), state="Disabled")
        self.add_key("ec", SIGN, new_ec())
        self.add_key("encrypt", ENCRYPT, new_rsa())
        self.add_key("fields", ENCRYPT, self.merchant)
        self.named_credentials = {
            "static": Credential("LTAI5tStaticDoubleKmsTest00", "StaticSecretOfTheDouble0000000"),
            "temporary": Credential(
                "STS.NTemporaryDoubleKmsTest0000",
                "TemporarySecretOfTheDouble0000",
                "temporary-token-of-the-double+/=",
            ),
            "denied": Credential(
                "LTAI5tDeniedDoubleKmsTest00", "DeniedSecretOfTheDouble0000000", denied=True
            ),
        }
        self.static = {c.id: c for c in self.named_credentials.values()}
        self.set_role(
            {
                "name": "wxpay-signer",
                "id": "STS.NRoleDoubleKmsTest000000000",
                "secret": "RoleSecretOfTheDouble000000000",
                "token": "role-token-of-the-double",
            }
        )

    def fault_actions(self):
        return {
            "pss": {"AsymmetricSign"},
            "rehash": {"AsymmetricSign"},
            "strip": {"AsymmetricSign"},
        }

    def more_ready(self):
        return {
            "region": "cn-hangzhou",
            "versions": {
                key.name: [version.id for version in key.versions] for key in self.keys.values()
            },
        }

    def action(self, request):
        return request.header("x-acs-action")

    def authenticate(self, request, entry):
        if request.method not in ("GET", "POST"):
            raise Refusal("UnsupportedHTTPMethod", "This http method is not supported.", 403)
        if request.path != "/":
            raise Refusal("InvalidAction.NotFound", NOT_FOUND, 404)
        for name in NEEDED:
            if request.header(name) is None:
                raise Refusal(
                    "MissingParameter", f'The parameter "{name}" is needed but not provided.', 400
                )
        parts = AUTHORIZATION.fullmatch(request.header("authorization") or "")
        if not parts:
            raise Refusal(
                "IncompleteSignature",
                "The request signature does not conform to Aliyun standards.",
                400,
            )
        entry["credential"] = parts["id"]
        entry["signed_headers"] = parts["headers"]
        signed = parts["headers"].split(";")
        must = {
            name
            for name, _ in request.headers
            if name in ("host", "content-type") or name.startswith("x-acs-")
        } | {"host"}
        if signed != sorted(set(signed)) or not must <= set(signed):
            raise Refusal(
                "IncompleteSignature",
                f"SignedHeaders are to be sorted, and to name {sorted(must)}.",
                400,
            )
        if any(request.header(name) is None for name in signed) or not own_host(
            request.header("host")
        ):
            raise Refusal(
                "SignatureDoesNotMatch",
                "A signed header is absent, there twice, or names another host.",
                400,
            )
        date = request.header("x-acs-date")
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date):
                raise ValueError(date)
            at = datetime.datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ").replace(
                tzinfo=datetime.timezone.utc
            )
        except ValueError:
            raise Refusal(
                "InvalidTimeStamp.Format",
                "Specified time stamp or date value is not well formatted.",
                400,
            ) from None
        if abs(at.timestamp() - self.now()) > 900:
            raise Refusal(
                "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.", 400
            )
        self.check_credential(request, parts, signed)
        if request.header("x-acs-version") != VERSION:
            raise Refusal("InvalidVersion", "Specified parameter Version is not valid.", 400)
        if entry["action"] not in FIELDS:
            raise Refusal("InvalidAction.NotFound", NOT_FOUND, 404)

    def check_credential(self, request, parts, signed):
        credential, accepted = self.credential(parts["id"])
        if credential is None or not accepted and credential.token is None:
            raise Refusal("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        if not accepted:
            raise Refusal(
                "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.", 400
            )
        if request.header("x-acs-content-sha256") != sha256_hex(request.body):
            raise Refusal(
                "SignatureDoesNotMatch", "x-acs-content-sha256 is not that of the body.", 400
            )
        expected = signature(
            credential.secret, canonical_request(request, parameters(request.query), signed)
        )
        if not hmac.compare_digest(expected, parts["signature"]):
            raise Refusal(
                "SignatureDoesNotMatch",
                "Specified signature is not matched with our calculation.",
                400,
            )
        token = request.header("x-acs-security-token")
        if credential.token and token is None:
            raise Refusal(
                "MissingSecurityToken", "SecurityToken is mandatory for this action.", 400
            )
        if token is not None and credential.token is None:
            raise Refusal(
                "InvalidSecurityToken.MismatchWithAccessKey",
                "Specified SecurityToken mismatch with the AccessKey.",
                400,
            )
        if token != credential.token:
            raise Refusal(
                "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed.", 400
            )
        named = request.header("x-acs-accesskey-id")
        if named is not None and named != credential.id:
            raise Refusal(
                "IncompleteSignature", "x-acs-accesskey-id is not that of Authorization.", 400
            )
        with self.lock:
            nonce = request.header("x-acs-signature-nonce")
            if not nonce or nonce in self.nonces:
                raise Refusal(
                    "SignatureNonceUsed", "Specified signature nonce was used already.", 400
                )
            self.nonces.add(nonce)

    def perform(self, request, entry, fault):
        fields = self.fields(request, entry["action"])
        entry.update(
            key_id=fields.get("KeyId"),
            key_version=fields.get("KeyVersionId"),
            algorithm=fields.get("Algorithm"),
        )
        if self.credential(entry["credential"])[0].denied:
            raise Refusal(
                "Forbidden.NoPermission", "This operation is forbidden by permission system.", 403
            )
        if fields["KeyId"].startswith("alias/"):
            key = self.keys.get(fields["KeyId"].removeprefix("alias/"))
            if key is None:
                raise Refusal("Forbidden.AliasNotFound", "The specified Alias is not found.", 404)
        else:
            key = self.key_by_id(fields["KeyId"])
        if key is None:
            raise Refusal("Forbidden.KeyNotFound", "The specified Key is not found.", 404)
        version = next((v for v in key.versions if v.id == fields["KeyVersionId"]), None)
        if version is None:
            raise Refusal(
                "Forbidden.KeyVersionNotFound", "The specified Key version is not found.", 404
            )
        if key.state != "Enabled":
            raise Refusal(
                f"Rejected.{key.state}",
                f"The request was rejected because the key state is {key.state}.",
                409,
            )
        kind = fault["kind"] if fault else None
        private = self.spare if kind == "other-key" else version.private
        result = getattr(self, entry["action"])(key, private, fields, kind)
        request_id = new_id()
        return Answer.of(
            {
                **result,
                "KeyId": new_id() if kind == "wrong-key-id" else key.id,
                "KeyVersionId": new_id() if kind == "wrong-key-version" else version.id,
                "RequestId": request_id,
            },
            headers={"x-acs-request-id": request_id},
        )

    def fields(self, request, action):
        fields = parameters(request.query)
        if request.body:
            if request.header("content-type") != "application/x-www-form-urlencoded":
                raise Refusal(
                    "ParseRequestParameterException",
                    "Server parse parameters exception. Please check your input params.",
                    400,
                )
            for name, value in parameters(request.body.decode("ascii", "replace"), True).items():
                if name in fields:
                    raise Refusal(
                        "InvalidParameter", f'The specified parameter "{name}" is not valid.', 400
                    )
                fields[name] = value
        for name in fields:
            if name not in FIELDS[action]:
                raise Refusal(
                    "InvalidParameter", f'The specified parameter "{name}" is not valid.', 400
                )
        for name, needed in FIELDS[action].items():
            if needed and not fields.get(name):
                raise Refusal(
                    "MissingParameter", f'The parameter "{name}" is needed but not provided.', 400
                )
        if fields.get("DryRun", "false") != "false":
            raise Refusal(
                "DryRunOperationError", "The request would have been tried, without DryRun.", 400
            )
        return fields

    def GetPublicKey(self, key, private, fields, kind):
        return {"PublicKey": type(key.versions[0])("", private).pem()}

    def AsymmetricSign(self, key, private, fields, kind):
        if key.usage != SIGN:
            raise Refusal("UnsupportedOperation", "This action is not supported.", 400)
        elliptic = isinstance(key.versions[0].private, ec.EllipticCurvePrivateKey)
        allowed = ("ECDSA_SHA_256",) if elliptic else ("RSA_PKCS1_SHA_256", "RSA_PSS_SHA_256")
        if fields["Algorithm"] not in allowed:
            raise Refusal(
                "InvalidParameter", 'The specified parameter "Algorithm" is not valid.', 400
            )
        digest = strict_base64(fields["Digest"])
        if digest is None or len(digest) != 32:
            raise Refusal("InvalidParameter", 'The specified parameter "Digest" is not valid.', 400)
        if kind == "rehash":
            digest = hashlib.sha256(digest).digest()
        signed = sign_digest(
            private, digest, kind == "pss" or fields["Algorithm"] == "RSA_PSS_SHA_256"
        )
        if kind == "strip":
            signed = signed.lstrip(b"\0")
        return {"Value": base64_of(signed)}

    def AsymmetricDecrypt(self, key, private, fields, kind):
        if key.usage != ENCRYPT:
            raise Refusal("UnsupportedOperation", "This action is not supported.", 400)
        if fields["Algorithm"] not in OAEP_HASHES:
            raise Refusal(
                "InvalidParameter", 'The specified parameter "Algorithm" is not valid.', 400
            )
        ciphertext = strict_base64(fields["CiphertextBlob"])
        plaintext = ciphertext and decrypt_oaep(private, ciphertext, fields["Algorithm"])
        if plaintext is None:
            raise Refusal(
                "InvalidParameter", 'The specified parameter "CiphertextBlob" is not valid.', 400
            )
        return {"Plaintext": base64_of(plaintext)}

    def refusal(self, refusal):
        request_id = new_id().upper()
        return Answer.of(
            {
                "RequestId": request_id,
                "HostId": "kms.cn-hangzhou.aliyuncs.com",
                "Code": refusal.code,
                "Message": refusal.message,
                "Recommend": f"https://error-center.aliyun.com/status/search?Keyword={refusal.code}",
            },
            refusal.status or 400,
            code=refusal.code,
            headers={"x-acs-request-id": request_id},
        )

    def throttling(self):
        return "Rejected.Throttling", "QPS Limit Exceeded", 429

    def metadata(self, request):
        if not request.path.startswith("/latest/"):
            return None
        with self.lock:
            role = self.role
            if request.path == TOKEN:
                return self.metadata_token(request)
            expires = self.metadata_tokens.get(request.header("x-aliyun-ecs-metadata-token"), 0)
        if expires < self.now():
            return Answer(403, b"<html><body>403 Forbidden</body></html>", "text/html", code="403")
        if request.method == "GET" and role and request.path == ROLES:
            return Answer(200, role["name"].encode(), "text/plain")
        if request.method == "GET" and role and request.path == ROLES + role["name"]:

            def written(seconds):
                at = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
                return at.strftime("%Y-%m-%dT%H:%M:%SZ")

            return Answer.of(
                {
                    "AccessKeyId": role["id"],
                    "AccessKeySecret": role["secret"],
                    "Expiration": written(role["expires_at"]),
                    "SecurityToken": role["token"],
                    "LastUpdated": written(self.now()),
                    "Code": "Success",
                }
            )
        return Answer(404, b"<html><body>404 Not Found</body></html>", "text/html", code="404")

    def metadata_token(self, request):
        lifetime = request.header("x-aliyun-ecs-metadata-token-ttl-seconds") or ""
        if (
            request.method != "PUT"
            or not re.fullmatch(r"\d{1,5}", lifetime)
            or not 1 <= int(lifetime) <= 21600
        ):
            return Answer(
                400, b"<html><body>400 Bad Request</body></html>", "text/html", code="400"
            )
        token = new_id()
        self.metadata_tokens[token] = self.now() + int(lifetime)
        return Answer(200, token.encode(), "text/plain")


def main():
    options = arguments(__doc__)
    run(Alibaba(options.key), options.tls)


if __name__ == "__main__":
    main()
