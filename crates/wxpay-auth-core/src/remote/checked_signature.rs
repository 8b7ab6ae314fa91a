//! Checks of signatures made by tokens and key services.

use crate::keys::{PublicKey, rsa};

/// Signed when a signer connects, to check that the key signs and is the expected one. The signature is
/// discarded.
pub const PROBE: &[u8] = b"is this the key?";

/// Pads a signature to the length of the modulus, since some services and tokens omit leading
/// zeros, and verifies it; `None` if it is invalid.
pub fn checked_signature(
    public_key: &PublicKey,
    message: &[u8],
    mut signature: Vec<u8>,
) -> Option<Vec<u8>> {
    if let Some(missing) = (rsa::MODULUS_BITS / 8).checked_sub(signature.len()) {
        signature.splice(0..0, std::iter::repeat_n(0, missing));
    }
    public_key.verifies(message, &signature).then_some(signature)
}

#[cfg(all(test, feature = "file-key"))]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn a_short_signature_is_padded_and_a_wrong_one_is_refused() {
        let pem = include_str!("../../testdata/keys/merchant_private_key.pem");
        let key = PrivateKey::from_pem(pem).unwrap();
        let signed = |number: u32| {
            let message = number.to_be_bytes();
            (message, key.sign(&message).unwrap())
        };
        // One signature in 256 begins with a zero.
        let (message, whole) =
            (0..9999).map(signed).find(|(_, signature)| signature[0] == 0).unwrap();
        let checked = |message: &[u8], signature: &[u8]| {
            checked_signature(key.public_key(), message, signature.to_vec())
        };
        assert_eq!(checked(&message, &whole).unwrap(), whole);
        assert_eq!(checked(&message, &whole[1..]).unwrap(), whole);
        let longer = [&[0], whole.as_slice()].concat();
        let cut_off = &whole[..255];
        for wrong in [longer.as_slice(), cut_off, &[], &[1; 256]] {
            assert_eq!(checked(&message, wrong), None);
        }
        assert_eq!(checked(PROBE, &whole), None);
    }
}
