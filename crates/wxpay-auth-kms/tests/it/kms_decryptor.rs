//! `KmsDecryptor` with a scripted back end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::{Certificate, FieldDecryptError, FieldDecryptor, SignErrorKind};
use wxpay_auth_kms::{KmsBackend, KmsDecryptor, KmsError, KmsKey};

type Answers = VecDeque<Result<Option<Vec<u8>>, KmsError>>;

fn certificate() -> Certificate {
    Certificate::from_pem(include_str!("../../testdata/keys/merchant_certificate.pem")).unwrap()
}

#[derive(Debug, Default)]
struct Service {
    answers: Mutex<Answers>,
    calls: Mutex<Vec<(Option<String>, Vec<u8>)>>,
}

#[async_trait]
impl KmsBackend for Service {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        unreachable!("it does not sign")
    }

    async fn sign_sha256(&self, _: &KmsKey, _: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        unreachable!("it does not sign")
    }

    async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
        Ok(KmsKey::new(certificate().public_key().clone()).with_version("7"))
    }

    async fn decrypt_oaep_sha1(
        &self,
        key: &KmsKey,
        ciphertext: &[u8],
    ) -> Result<Option<Vec<u8>>, KmsError> {
        let call = (key.version().map(str::to_owned), ciphertext.to_vec());
        self.calls.lock().unwrap().push(call);
        self.answers.lock().unwrap().pop_front().unwrap()
    }
}

async fn connect(answers: Answers) -> KmsDecryptor<Arc<Service>> {
    let service = Arc::new(Service { answers: Mutex::new(answers), ..Service::default() });
    KmsDecryptor::builder(service).certificate(certificate()).connect().await.unwrap()
}

fn refused(kind: SignErrorKind) -> Result<Option<Vec<u8>>, KmsError> {
    Err(KmsError::new(kind, "no").with_hint("do this"))
}

#[tokio::test]
async fn a_field_is_decrypted_with_the_version_that_it_was_connected_to() {
    let field = STANDARD.encode([7; 256]);
    let throttled = refused(SignErrorKind::Throttled);
    let decryptor = connect([throttled, Ok(Some("张三".into()))].into()).await;
    assert_eq!(decryptor.decrypt(&field).await.unwrap().expose(), "张三");
    let call = (Some("7".to_owned()), vec![7; 256]);
    assert_eq!(*decryptor.backend().calls.lock().unwrap(), [call.clone(), call]);
    let shown = format!("{decryptor:?}");
    assert!(shown.contains(certificate().serial_no().as_str()), "{shown}");
}

#[tokio::test]
async fn errors_say_whose_fault_it_is() {
    let field = STANDARD.encode([7; 256]);
    let serial_no = certificate().serial_no().clone();
    let decrypt = async |answer| connect([answer].into()).await.decrypt(&field).await.unwrap_err();
    let error = decrypt(Ok(None)).await;
    assert!(matches!(error, FieldDecryptError::Mismatch { .. }), "{error:?}");
    assert!(error.to_string().contains(serial_no.as_str()), "{error}");
    let error = decrypt(Ok(Some(vec![0xff]))).await;
    assert!(matches!(error, FieldDecryptError::NotUtf8), "{error:?}");
    let error = decrypt(refused(SignErrorKind::Unsupported)).await;
    assert!(matches!(error, FieldDecryptError::KeyCannotDecrypt { .. }), "{error:?}");
    assert!(error.to_string().contains(serial_no.as_str()), "{error}");
    assert_eq!(error.hint(), "do this");
    let error = decrypt(refused(SignErrorKind::PermissionDenied)).await;
    let FieldDecryptError::Unavailable { kind, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*kind, error.hint()), (SignErrorKind::PermissionDenied, "do this"));
    let decryptor = connect([].into()).await;
    let error = decryptor.decrypt("AAAA").await.unwrap_err();
    assert!(matches!(error, FieldDecryptError::Length { .. }), "nothing is sent: {error}");
}

/// A service of the application that only signs.
#[derive(Debug)]
struct SigningOnly;

#[async_trait]
impl KmsBackend for SigningOnly {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        Ok(KmsKey::new(certificate().public_key().clone()))
    }

    async fn sign_sha256(&self, _: &KmsKey, _: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        unreachable!("it is not asked")
    }
}

#[tokio::test]
async fn a_back_end_that_only_signs_says_what_can_decrypt() {
    let forwarded: Arc<dyn KmsBackend> = Arc::new(Box::new(SigningOnly));
    let connecting = KmsDecryptor::builder(forwarded).certificate(certificate()).connect();
    let error = connecting.await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unsupported);
    assert!(error.hint().contains("HSM"), "{}", error.hint());
    let key = SigningOnly.public_key().await.unwrap();
    let error = SigningOnly.decrypt_oaep_sha1(&key, &[]).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Unsupported);
    let error = KmsDecryptor::builder(SigningOnly).connect().await.unwrap_err();
    assert_eq!(error.to_string(), "there is no merchant certificate");
}
