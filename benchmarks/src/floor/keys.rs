//! The cryptography libraries, used directly. Signatures with a key file are computed inline.

use std::sync::Arc;

use ring::signature::UnparsedPublicKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::bare_vault::BareVault;
use super::token_pool::TokenPool;
use crate::Result;
use crate::settings::Settings;
use crate::signing::Signing;
use crate::token::Token;
use crate::vault::Vault;

pub(super) enum BareSigner {
    Ring(Box<ring::rsa::KeyPair>),
    AwsLcRs(Box<aws_lc_rs::rsa::KeyPair>),
    Token(Arc<TokenPool>),
    Vault(Box<BareVault>),
}

impl BareSigner {
    pub(super) fn new(settings: &Settings, signing: Signing) -> Result<Self> {
        let key = || PrivatePkcs8KeyDer::from_pem_file(&settings.merchant_key);
        Ok(match signing {
            Signing::Ring => {
                let key = ring::rsa::KeyPair::from_pkcs8(key()?.secret_pkcs8_der());
                Self::Ring(Box::new(key.map_err(|e| e.to_string())?))
            }
            Signing::AwsLcRs => {
                let key = aws_lc_rs::rsa::KeyPair::from_pkcs8(key()?.secret_pkcs8_der());
                Self::AwsLcRs(Box::new(key.map_err(|e| e.to_string())?))
            }
            Signing::SoftHsm => Self::Token(Arc::new(TokenPool::open(&Token::from_env()?)?)),
            Signing::Vault => {
                Self::Vault(Box::new(BareVault::new(Vault::from_env()?, settings.concurrency)?))
            }
        })
    }

    pub(super) async fn sign(&self, message: String, caller: usize) -> Result<Vec<u8>> {
        match self {
            Self::Ring(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                let random = ring::rand::SystemRandom::new();
                let padding = &ring::signature::RSA_PKCS1_SHA256;
                let signed = key.sign(padding, &random, message.as_bytes(), &mut signature);
                signed.map_err(|_| "ring does not sign")?;
                Ok(signature)
            }
            Self::AwsLcRs(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let random = aws_lc_rs::rand::SystemRandom::new();
                let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
                let signed = key.sign(padding, &random, message.as_bytes(), &mut signature);
                signed.map_err(|_| "aws-lc-rs does not sign")?;
                Ok(signature)
            }
            Self::Token(pool) => pool.sign(message).await,
            Self::Vault(vault) => vault.sign(&message, caller).await,
        }
    }
}

pub(super) enum BareVerifier {
    Ring(UnparsedPublicKey<Vec<u8>>),
    AwsLcRs(aws_lc_rs::signature::ParsedPublicKey),
}

impl BareVerifier {
    pub(super) fn new(settings: &Settings, signing: Signing) -> Result<Self> {
        /// Length of the header before the PKCS#1 key of 2048 bits.
        const SPKI_HEADER: usize = 24;
        let spki = SubjectPublicKeyInfoDer::from_pem_file(&settings.public_key)?;
        let pkcs1 = spki.get(SPKI_HEADER..).ok_or("PUBLIC_KEY is too short")?;
        Ok(match signing {
            Signing::Ring | Signing::SoftHsm | Signing::Vault => {
                let kind = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
                Self::Ring(UnparsedPublicKey::new(kind, pkcs1.to_vec()))
            }
            Signing::AwsLcRs => {
                let kind = &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
                let key = aws_lc_rs::signature::ParsedPublicKey::new(kind, pkcs1);
                Self::AwsLcRs(key.map_err(|e| e.to_string())?)
            }
        })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ring(key) => key.verify(message, signature).is_ok(),
            Self::AwsLcRs(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}
