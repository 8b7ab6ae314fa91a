//! Errors of keys and certificates.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::serial_no::SerialNo;
use crate::text::{InPath, debug_as_report, invisible};
use crate::wechatpay_serial::WechatpaySerial;

/// The contents of a PEM block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// A private key, PKCS#8 or PKCS#1.
    PrivateKey,
    /// A public key, SPKI or PKCS#1.
    PublicKey,
    /// An X.509 certificate.
    Certificate,
    /// Something else, such as a certificate request.
    Other,
}

impl fmt::Display for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrivateKey => "a private key",
            Self::PublicKey => "a public key",
            Self::Certificate => "a certificate",
            Self::Other => "something else",
        })
    }
}

/// Why a key or a certificate was not accepted. Shows no key material.
#[derive(Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file does not exist.
    #[error("{} does not exist{}", path.display(), InPath(path))]
    #[non_exhaustive]
    NotFound {
        /// The path that was given.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} cannot be read{}", path.display(), InPath(path))]
    #[non_exhaustive]
    Unreadable {
        /// The path that was given.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no such file, and the given path is unlikely to be one. It may be the content of the file, so
    /// it is never shown.
    #[error("the given file path is not a path (it is not shown)")]
    NotAPath,
    /// A systemd credential is named, but this process was given none.
    #[error("a credential is named, but $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials,
    /// The text after `credential:` is not a valid name. It is never shown.
    #[error("the given credential name is invalid (it is not shown)")]
    CredentialName,
    /// There is no PEM block.
    #[error("no PEM block (-----BEGIN …) in it")]
    NoPem,
    /// It is text in UTF-16, as written by some editors and shells of Windows.
    #[error("it is UTF-16 text, but PEM is plain ASCII")]
    Utf16,
    /// The private key is encrypted with a passphrase.
    #[error("the private key is encrypted with a passphrase")]
    Encrypted,
    /// It is not the expected kind of key material.
    #[error("{expected} is needed, but {found} was given")]
    #[non_exhaustive]
    WrongMaterial {
        /// The expected kind.
        expected: KeyMaterial,
        /// The kind found.
        found: KeyMaterial,
    },
    /// The key is not an RSA key.
    #[error("an RSA key is needed, but a key of another kind ({algorithm}) was given")]
    #[non_exhaustive]
    NotRsa {
        /// The name of the algorithm, or its object identifier.
        algorithm: String,
    },
    /// The RSA key does not have 2048 bits.
    #[error("an RSA key of 2048 bits is needed, but one of {bits} bits was given")]
    #[non_exhaustive]
    WrongSize {
        /// The size of the modulus in bits.
        bits: usize,
    },
    /// The PEM block is damaged.
    #[error("{material} is damaged: {reason}")]
    #[non_exhaustive]
    Malformed {
        /// The kind named by its label.
        material: KeyMaterial,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The label of the PEM block does not match its content, such as PKCS#8 under `RSA PRIVATE KEY`.
    #[error("the block is labelled {label}, but its content belongs under {right}")]
    #[non_exhaustive]
    WrongLabel {
        /// The label that it has.
        label: &'static str,
        /// The label that it should have.
        right: &'static str,
    },
    /// The chosen library does not support keys of this kind. Others do.
    #[error("{library} does not accept this key: {reason}")]
    #[non_exhaustive]
    NotTaken {
        /// The library, such as `ring`.
        library: &'static str,
        /// What it does not support.
        reason: &'static str,
    },
    /// The library that the private key was read for cannot decrypt.
    #[error("the private key was read for {library}, which cannot decrypt")]
    #[non_exhaustive]
    CannotDecrypt {
        /// The library, such as `ring`.
        library: &'static str,
    },
    /// The merchant certificate belongs to another key.
    #[error("the certificate {serial_no} does not belong to this key")]
    #[non_exhaustive]
    CertificateMismatch {
        /// The serial of the certificate.
        serial_no: SerialNo,
    },
    /// The id of a public key is needed, and a certificate is named.
    #[error(
        "the id of a public key (PUB_KEY_ID_…) is needed, but the serial of a certificate was given"
    )]
    NotPublicKeyId,
    /// A merchant API certificate was given instead of a platform certificate.
    #[error("a platform certificate is needed, but {serial_no} is a merchant API certificate")]
    #[non_exhaustive]
    MerchantCertificate {
        /// The serial of the certificate.
        serial_no: SerialNo,
    },
    /// The certificate has expired.
    #[error("the certificate {serial_no} expired at {not_after} (Unix seconds)")]
    #[non_exhaustive]
    CertificateExpired {
        /// The serial of the certificate.
        serial_no: SerialNo,
        /// The last second at which it was valid.
        not_after: Timestamp,
    },
    /// The certificate was not issued by the given authority.
    #[error("the certificate {serial_no} was not issued by {issuer}: {reason}")]
    #[non_exhaustive]
    WrongIssuer {
        /// The serial of the certificate.
        serial_no: SerialNo,
        /// The serial of the certificate of the authority.
        issuer: SerialNo,
        /// Why not.
        reason: &'static str,
    },
    /// A certificate was given under the serial of another one.
    #[error("a certificate was given as {given}, but its serial is {serial_no}")]
    #[non_exhaustive]
    SerialMismatch {
        /// The serial it was given under.
        given: WechatpaySerial,
        /// The serial of the certificate.
        serial_no: SerialNo,
    },
}

impl KeyError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        use KeyMaterial::{Certificate, PrivateKey, PublicKey};
        match self {
            Self::NotFound { path } if invisible(&path.to_string_lossy()).is_some() => {
                "type the path again: it was copied together with an invisible character"
            }
            Self::NotFound { .. } => {
                "check the path; a relative one starts at the working directory"
            }
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "give the user that runs this program the right to read the file"
                }
                io::ErrorKind::IsADirectory => "give the path of the file, not of its folder",
                io::ErrorKind::FileTooLarge => "check the path: no key file is larger than 1 MiB",
                _ => "check the path, and see the source of the error",
            },
            Self::NotAPath => {
                "it looks like the content of the file: give its path, or give the content to the \
                 function that takes it (from_pem); if it was logged elsewhere, replace the key"
            }
            Self::NoCredentials => {
                "name the file in the unit of the service, LoadCredential=NAME:PATH, and start it through \
                 systemd, which sets the variable; elsewhere, give the path of the file"
            }
            Self::CredentialName => {
                "write credential:NAME, with the name before the colon of LoadCredential= in the \
                 unit of the service"
            }
            Self::NoPem => {
                "give the PEM file as it is, with its -----BEGIN and -----END lines; a .p12 file \
                 is turned into one by: openssl pkcs12 -legacy -in apiclient_cert.p12 -nodes -nocerts \
                 -out apiclient_key.pem (before OpenSSL 3, without -legacy)"
            }
            Self::Utf16 => {
                "save it as UTF-8 or ASCII, or get the file again: an editor, or > in a shell of Windows, \
                 has changed it"
            }
            Self::Encrypted => {
                "decrypt it and protect the file instead (openssl pkey -in KEY -out PLAIN), or keep \
                 the key in an HSM or KMS"
            }
            Self::WrongMaterial { expected: PrivateKey, found: Certificate } => {
                "give apiclient_key.pem, not apiclient_cert.pem"
            }
            Self::WrongMaterial { expected: PrivateKey, .. } => {
                "give the merchant's private key, apiclient_key.pem"
            }
            Self::WrongMaterial { expected: PublicKey, found: Certificate } => {
                "add a platform certificate as a certificate; as a public key, give pub_key.pem from \
                 the merchant platform"
            }
            Self::WrongMaterial { expected: PublicKey, found: PrivateKey } => {
                "give WeChat Pay's public key, pub_key.pem; your private key does not belong here"
            }
            Self::WrongMaterial { expected: Certificate, .. } => {
                "give a certificate: apiclient_cert.pem for the merchant's, or a platform certificate"
            }
            Self::WrongMaterial { .. } => "give the file that the error asks for",
            Self::NotRsa { .. } | Self::WrongSize { .. } => {
                "WeChat Pay APIv3 uses RSA keys of 2048 bits: check that this is the right file"
            }
            Self::WrongLabel { .. } => {
                "write the right label into the BEGIN line and into the END line; nothing between them \
                 changes"
            }
            Self::NotTaken { .. } => {
                "use aws-lc-rs, which takes such keys (the feature aws-lc-rs, and Backend::AwsLcRs or \
                 backend=aws-lc-rs), or get a key and a certificate made anew"
            }
            Self::CannotDecrypt { .. } => {
                "read the key for aws-lc-rs (PrivateKey::from_pem_with and Backend::AwsLcRs, or \
                 FileKeyDecryptor::from_pem_file; feature aws-lc-rs)"
            }
            Self::Malformed { .. } => "get the file again: it was truncated or changed in transit",
            Self::CertificateMismatch { .. } => {
                "use the certificate and the key that were made together; after a renewal, both are \
                 replaced"
            }
            Self::NotPublicKeyId => {
                "give the id that the merchant platform shows beside the public key \
                 (账户中心 > API安全 > 微信支付公钥); a platform certificate is added as a certificate"
            }
            Self::MerchantCertificate { .. } => {
                "apiclient_cert.pem belongs to the signer; to verify responses, give pub_key.pem and its \
                 PUB_KEY_ID_…, or a platform certificate (from /v3/certificates)"
            }
            Self::CertificateExpired { .. } => {
                "get the certificate that is valid now, and check the local clock"
            }
            Self::WrongIssuer { .. } => {
                "do not use it before it is known where it comes from; if WeChat Pay has changed its \
                 authority, get the new certificate of that from the merchant platform (CertTrustChain.p7b)"
            }
            Self::SerialMismatch { .. } => {
                "give the certificate and the serial that belong together"
            }
        }
    }
}

debug_as_report!(KeyError);
