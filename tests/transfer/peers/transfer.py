"""Uploads a file, and downloads a bill, with wechatpayv3. The settings are in the environment; prints what it was
answered as one line of JSON."""

import gzip
import hashlib
import json
import os

import requests
from wechatpayv3 import WeChatPay, WeChatPayType

BASE_URL = os.environ["BASE_URL"]


def read(name):
    with open(os.environ[name], encoding="ascii") as file:
        return file.read()


def without_content_type(post):
    """Has requests write the Content-Type, with the boundary that it uses: the client leaves the boundary out."""

    def patched(headers, **others):
        headers = {name: value for name, value in headers.items() if name != "Content-Type"}
        return post(headers=headers, **others)

    return patched


os.environ["NO_PROXY"] = "127.0.0.1"
client = WeChatPay(
    wechatpay_type=WeChatPayType.NATIVE,
    mchid=os.environ["MCHID"],
    private_key=read("MERCHANT_KEY"),
    cert_serial_no=os.environ["SERIAL_NO"],
    apiv3_key="0" * 32,
    appid="wx0000000000000000",
    public_key=read("PUBLIC_KEY"),
    public_key_id=os.environ["PUBLIC_KEY_ID"],
    timeout=(10, 30),
)
# It knows no other host than WeChat Pay's.
client._core._gate_way = BASE_URL

first, _ = client.image_upload(os.environ["FILE"])
requests.post = without_content_type(requests.post)
status, uploaded = client.image_upload(os.environ["FILE"])
_, named = client.trade_bill(os.environ["BILL_DATE"])
named = json.loads(named)
_, bill = client.download_bill(named["download_url"])
# It asks for gzip by itself.
assert bill[:2] == b"\x1f\x8b"
bill = gzip.decompress(bill)
print(json.dumps({
    "without_boundary": first,
    "status": status,
    "media_id": json.loads(uploaded).get("media_id"),
    "bytes": len(bill),
    "is_right": hashlib.sha1(bill).hexdigest() == named["hash_value"],
}))
