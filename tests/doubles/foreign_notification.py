"""Makes and reads notifications with the package `cryptography`, as another implementation of both sides.

    foreign_notification.py make   JSON on standard input: private_key (PEM), serial, api_v3_key, timestamp, id, resource
    foreign_notification.py read   JSON on standard input: public_key (PEM), api_v3_key, headers, body

Prints JSON: headers and body, or the resource.
"""

import base64
import json
import secrets
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def message(timestamp, nonce, body):
    return f"{timestamp}\n{nonce}\n{body}\n".encode()


def make(given):
    nonce = secrets.token_hex(6)
    cipher = AESGCM(given["api_v3_key"].encode())
    sealed = cipher.encrypt(nonce.encode(), given["resource"].encode(), b"delivery_plan")
    envelope = {
        "id": given["id"],
        "create_time": "2027-01-01T00:00:00+08:00",
        "resource_type": "encrypt-resource",
        "event_type": "DELIVERY_PLAN.CHANGE",
        "summary": "投放计划状态变更",
        "resource": {
            "original_type": "delivery_plan",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": "delivery_plan",
            "nonce": nonce,
        },
    }
    body = json.dumps(envelope, ensure_ascii=False, indent="\t")
    key = serialization.load_pem_private_key(given["private_key"].encode(), None)
    signed_nonce = secrets.token_hex(16)
    signature = key.sign(
        message(given["timestamp"], signed_nonce, body), padding.PKCS1v15(), hashes.SHA256()
    )
    headers = {
        "Wechatpay-Timestamp": given["timestamp"],
        "Wechatpay-Nonce": signed_nonce,
        "Wechatpay-Serial": given["serial"],
        "Wechatpay-Signature": base64.b64encode(signature).decode(),
    }
    return {"headers": headers, "body": body}


def read(given):
    headers, body = given["headers"], given["body"]
    key = serialization.load_pem_public_key(given["public_key"].encode())
    key.verify(
        base64.b64decode(headers["wechatpay-signature"]),
        message(headers["wechatpay-timestamp"], headers["wechatpay-nonce"], body),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )
    resource = json.loads(body)["resource"]
    cipher = AESGCM(given["api_v3_key"].encode())
    opened = cipher.decrypt(
        resource["nonce"].encode(),
        base64.b64decode(resource["ciphertext"]),
        resource.get("associated_data", "").encode(),
    )
    return {"resource": opened.decode()}


print(json.dumps({"make": make, "read": read}[sys.argv[1]](json.load(sys.stdin))))
