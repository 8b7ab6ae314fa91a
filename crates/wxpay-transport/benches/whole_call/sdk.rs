//! A client with default settings: every protection is on.

use std::net::SocketAddr;

use wxpay_auth::{Backend, FileKeySigner, KeyRing, Mchid, PrivateKey, PublicKey, SerialNo};
use wxpay_transport::{BaseUrl, Client};

use crate::stub::{PUBLIC_KEY_ID, WECHATPAY_PUBLIC_KEY};

pub(crate) const MERCHANT_KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
pub(crate) const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
pub(crate) const TARGET: &str =
    "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";

pub(crate) fn client(address: SocketAddr, backend: Backend) -> Client<FileKeySigner, KeyRing> {
    let key = PrivateKey::from_pem_with(backend, MERCHANT_KEY).expect("a key");
    let serial_no: SerialNo = SERIAL_NO.parse().expect("a serial");
    let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
    let ring = KeyRing::new();
    ring.insert_public_key(
        PUBLIC_KEY_ID.parse().expect("an id"),
        public_key.with_backend(backend).expect("a key"),
    )
    .expect("the id of a public key");
    let mchid = Mchid::new("1900007291").expect("a number");
    Client::builder(mchid, FileKeySigner::new(key, serial_no), ring)
        .base_url(BaseUrl::new(format!("http://{address}")).expect("a URL"))
        .build()
        .expect("a client")
}
