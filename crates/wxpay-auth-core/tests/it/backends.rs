//! Both libraries produce the same signatures, byte for byte.

use wxpay_auth_core::{Backend, PrivateKey, PublicKey};

const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
const PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");

#[test]
fn signatures_are_equal_for_messages_of_any_length() {
    let ring = PrivateKey::from_pem_with(Backend::Ring, KEY).unwrap();
    let aws_lc = PrivateKey::from_pem_with(Backend::AwsLcRs, KEY).unwrap();
    assert_eq!((ring.backend(), aws_lc.backend()), (Backend::Ring, Backend::AwsLcRs));
    assert_eq!(ring.public_key(), aws_lc.public_key());
    for length in [0, 1, 31, 32, 33, 63, 64, 65, 1000, 4096, 4097, 65_536, 1 << 20] {
        let message: Vec<u8> = (0..=250).cycle().take(length).collect();
        let signature = ring.sign(&message).unwrap();
        assert_eq!(signature, aws_lc.sign(&message).unwrap(), "{length} bytes");
        for key in [&ring, &aws_lc] {
            assert!(key.public_key().verifies(&message, &signature), "{length} bytes");
            let mut wrong = signature.clone();
            wrong[length % 256] ^= 1;
            assert!(!key.public_key().verifies(&message, &wrong), "{length} bytes");
        }
    }
}

#[test]
fn ring_is_the_default_whatever_is_compiled_in() {
    assert_eq!(PrivateKey::from_pem(KEY).unwrap().backend(), Backend::Ring);
    assert_eq!(Backend::default(), Backend::Ring);
    let key = PublicKey::from_pem(PUBLIC_KEY).unwrap();
    assert_eq!(key.clone().with_backend(Backend::AwsLcRs).unwrap(), key);
}
