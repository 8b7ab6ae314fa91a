//! Rejects a signature of the wrong length before it is sent.

use wxpay_auth::{Algorithm, SignError, SignErrorKind, Signature};

/// Checks that the length of a signature fits its algorithm.
pub(crate) fn require_length(algorithm: Algorithm, signature: &Signature) -> Result<(), SignError> {
    let (found, needed) = (signature.as_bytes().len(), algorithm.signature_len());
    if needed.contains(&found) {
        return Ok(());
    }
    let (least, most) = (*needed.start(), *needed.end());
    let needed = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let what = format!(
        "the signer returned a signature of {found} bytes, {algorithm} needs {needed} bytes"
    );
    // Hexadecimal digits, or base64 with its padding.
    let texts = (least..=most).flat_map(|length| [length * 2, length.div_ceil(3) * 4]);
    let hint = if texts.into_iter().any(|length| length == found) {
        "let the signer return the raw bytes of the signature: it seems to be text, base64 or hexadecimal"
    } else {
        "let the signer return the raw bytes of the signature, all of them: one of RSA that is short is \
         padded with zeros in front"
    };
    Err(SignError::new(SignErrorKind::InvalidSignature, what).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use wxpay_auth::SerialNo;

    use super::*;

    fn check(algorithm: Algorithm, length: usize) -> Result<(), SignError> {
        require_length(algorithm, &Signature::new(SerialNo::uncertified(), vec![1; length]))
    }

    #[test]
    fn each_algorithm_has_its_lengths() {
        for (algorithm, fitting, wrong) in [
            (Algorithm::Sha256Rsa2048, &[256][..], &[0, 1, 8, 72, 255, 257, 344, 512][..]),
            (Algorithm::Sm2WithSm3, &[8, 70, 71, 72], &[0, 7, 73, 96, 256]),
        ] {
            for &length in fitting {
                check(algorithm, length).unwrap();
            }
            for &length in wrong {
                let error = check(algorithm, length).unwrap_err();
                assert_eq!(error.kind(), SignErrorKind::InvalidSignature);
            }
        }
    }

    #[test]
    fn the_error_says_what_came_and_what_is_needed() {
        let error = check(Algorithm::Sha256Rsa2048, 344).unwrap_err();
        assert_eq!(
            error.to_string(),
            "signing failed (invalid signature): the signer returned a signature of 344 bytes, \
             WECHATPAY2-SHA256-RSA2048 needs 256 bytes"
        );
        assert!(error.hint().contains("base64"), "{}", error.hint());
        let hexadecimal = check(Algorithm::Sha256Rsa2048, 512).unwrap_err();
        assert!(hexadecimal.hint().contains("hexadecimal"), "{}", hexadecimal.hint());
        for length in [0, 8, 128, 255, 258] {
            let error = check(Algorithm::Sha256Rsa2048, length).unwrap_err();
            assert!(error.hint().contains("padded with zeros"), "{length}: {}", error.hint());
        }
        let error = check(Algorithm::Sm2WithSm3, 96).unwrap_err();
        assert!(error.to_string().ends_with("needs 8 to 72 bytes"), "{error}");
        assert!(error.hint().contains("base64"), "{}", error.hint());
    }
}
