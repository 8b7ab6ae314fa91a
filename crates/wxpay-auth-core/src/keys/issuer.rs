//! Which certificate issued another one.

use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Header, Reader, SliceReader};

use crate::keys::{Certificate, KeyError};

const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

impl Certificate {
    /// Checks that a certificate authority issued it: the issuer it names is the subject of `issuer`, and its
    /// signature (RSASSA-PKCS1-v1_5 with SHA-256) matches the key of `issuer`.
    ///
    /// That is one link of a chain. `issuer` is trusted because the caller does: neither its validity, nor its
    /// extensions, nor who issued it are checked.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
    ///
    /// # Errors
    /// [`KeyError::WrongIssuer`].
    pub fn require_issuer(&self, issuer: &Self) -> Result<(), KeyError> {
        let wrong = |reason| {
            let serial_no = self.serial_no().clone();
            KeyError::WrongIssuer { serial_no, issuer: issuer.serial_no().clone(), reason }
        };
        // Both were parsed when they were created.
        let parse = |der| x509_cert::Certificate::from_der(der);
        let (Ok(certificate), Ok(authority)) = (parse(self.as_der()), parse(issuer.as_der()))
        else {
            return Err(wrong("it cannot be parsed again"));
        };
        if certificate.tbs_certificate().issuer() != authority.tbs_certificate().subject() {
            return Err(wrong("it names another issuer"));
        }
        let algorithm = certificate.signature_algorithm();
        // The inner one is signed; a different outer one would be a way to change it.
        if algorithm.oid != SHA256_WITH_RSA
            || algorithm != certificate.tbs_certificate().signature()
        {
            return Err(wrong("it is not signed with RSA and SHA-256"));
        }
        let signature = certificate.signature().as_bytes().unwrap_or_default();
        match signed_part(self.as_der()) {
            Some(signed) if issuer.public_key().verifies(signed, signature) => Ok(()),
            _ => Err(wrong("its signature does not match the key of the issuer")),
        }
    }
}

/// Returns the bytes of a certificate that its issuer signed, as they are.
fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    const ROOT_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
    const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "Tenpay.com");
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// Creates a certificate authority with this name and key.
    fn authority(name: &str, key: &str) -> (Certificate, Issuer<'static, KeyPair>) {
        let key = KeyPair::from_pem(key).unwrap();
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        (Certificate::from_pem(pem).unwrap(), Issuer::new(params, key))
    }

    fn issued(issuer: &Issuer<'static, KeyPair>) -> Certificate {
        let key = KeyPair::from_pem(KEY).unwrap();
        let certificate = params("Tenpay.com sign").signed_by(&key, issuer).unwrap();
        Certificate::from_pem(certificate.pem()).unwrap()
    }

    fn reason(certificate: &Certificate, issuer: &Certificate) -> &'static str {
        match certificate.require_issuer(issuer) {
            Err(error @ KeyError::WrongIssuer { reason, .. }) => {
                assert!(error.to_string().ends_with(reason), "{error}");
                reason
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_certificate_is_issued_by_its_authority_and_no_other() {
        let (root, issuer) = authority("Tenpay.com Root CA", ROOT_KEY);
        let certificate = issued(&issuer);
        certificate.require_issuer(&root).unwrap();
        root.require_issuer(&root).expect("it is self-signed");

        let (other_name, _) = authority("Tenpay.com Root CB", ROOT_KEY);
        assert_eq!(reason(&certificate, &other_name), "it names another issuer");
        let (other_key, _) = authority("Tenpay.com Root CA", KEY);
        assert!(reason(&certificate, &other_key).starts_with("its signature does not match"));
        assert_eq!(reason(&root, &certificate), "it names another issuer");
    }

    #[test]
    fn no_byte_of_it_can_be_changed() {
        let (root, issuer) = authority("Tenpay.com Root CA", ROOT_KEY);
        let certificate = issued(&issuer);
        let mut checked = 0;
        for position in 0..certificate.as_der().len() {
            let mut der = certificate.as_der().to_vec();
            der[position] ^= 1;
            // Many of them are no certificate any more.
            if let Ok(changed) = Certificate::from_der(&der) {
                assert!(changed.require_issuer(&root).is_err(), "byte {position}");
                checked += 1;
            }
        }
        assert!(checked > 300, "{checked}");
    }
}
