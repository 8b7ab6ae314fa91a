//! Certificate requests, parsed by other code than the one that wrote them.

use proptest::prelude::*;
use rcgen::{CertificateSigningRequestParams, DnType, DnValue, PublicKeyData, SigningKey};
use wxpay_auth_core::{
    Algorithm, CertificateRequest, CertificateRequestError, CertificateSubject,
    CertificateSubjectError, FileKeySigner, Mchid, PrivateKey, PublicKey, SerialNo, SignError,
    Signature, Signer, async_trait,
};

const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
const OTHER_KEY: &str = include_str!("../../testdata/keys/apiclient_test_key.pem");
const OF_OPENSSL: &str = include_str!("../../testdata/certificate_request/openssl.pem");

fn signer() -> FileKeySigner {
    FileKeySigner::without_certificate(PrivateKey::from_pem(KEY).unwrap())
}

fn subject() -> CertificateSubject {
    CertificateSubject::new(&Mchid::new("1900007291").unwrap())
}

fn whole_subject() -> Result<CertificateSubject, CertificateSubjectError> {
    subject()
        .organizational_unit("某某科技有限公司")?
        .organization("微信商户系统")?
        .locality("ShenZhen")?
        .state_or_province("广东")?
        .country("CN")
}

async fn request(subject: &CertificateSubject) -> CertificateRequest {
    let signer = signer();
    CertificateRequest::sign(subject, signer.key().public_key(), &signer).await.unwrap()
}

/// PKCS#1 v1.5 is deterministic, so a key and a subject determine the request.
#[tokio::test]
async fn it_is_byte_for_byte_what_openssl_makes() {
    let request = request(&whole_subject().unwrap()).await;
    assert_eq!(request.to_pem(), OF_OPENSSL);
    assert_eq!(&request.as_der()[..2], [0x30, 0x82]);
}

#[cfg(feature = "aws-lc-rs")]
#[tokio::test]
async fn each_library_makes_the_same_request() {
    let key = PrivateKey::from_pem_with(wxpay_auth_core::Backend::AwsLcRs, KEY).unwrap();
    let signer = FileKeySigner::without_certificate(key);
    let (subject, key) = (whole_subject().unwrap(), signer.key().public_key());
    let request = CertificateRequest::sign(&subject, key, &signer).await.unwrap();
    assert_eq!(request.to_pem(), OF_OPENSSL);
}

#[tokio::test]
async fn rcgen_reads_what_was_given() {
    // `from_pem` checks the signature as well.
    let pem = request(&whole_subject().unwrap()).await.to_pem();
    let read = CertificateSigningRequestParams::from_pem(&pem).unwrap();
    let utf8 = |text: &str| DnValue::Utf8String(text.to_owned());
    let name: Vec<_> = read.params.distinguished_name.iter().collect();
    let expected = [
        (DnType::CountryName, DnValue::PrintableString("CN".try_into().unwrap())),
        (DnType::StateOrProvinceName, utf8("广东")),
        (DnType::LocalityName, utf8("ShenZhen")),
        (DnType::OrganizationName, utf8("微信商户系统")),
        (DnType::OrganizationalUnitName, utf8("某某科技有限公司")),
        (DnType::CommonName, utf8("1900007291")),
    ];
    assert_eq!(name, expected.iter().map(|(t, v)| (t, v)).collect::<Vec<_>>());

    let key = rcgen::KeyPair::from_pem(KEY).unwrap();
    assert_eq!(read.public_key.der_bytes(), key.der_bytes());
    let read = PublicKey::from_spki_der(&read.public_key.subject_public_key_info()).unwrap();
    assert_eq!(read, *signer().key().public_key());
    // Signs with the same key, but with other code.
    assert!(read.verifies(b"message", &key.sign(b"message").unwrap()));
}

#[tokio::test]
async fn only_the_common_name_is_always_there() {
    let pem = request(&subject()).await.to_pem();
    let read = CertificateSigningRequestParams::from_pem(&pem).unwrap();
    let name: Vec<_> = read.params.distinguished_name.iter().collect();
    assert_eq!(name, [(&DnType::CommonName, &DnValue::Utf8String("1900007291".to_owned()))]);
    assert!(pem.ends_with("\n-----END CERTIFICATE REQUEST-----\n"));
    assert!(pem.lines().all(|line| line.len() <= 64 && !line.is_empty()), "{pem}");
}

/// Signs with a key, with an option to misbehave.
#[derive(Debug)]
struct Odd {
    algorithm: Algorithm,
    signer: FileKeySigner,
    spoil: fn(&mut Vec<u8>),
}

impl Odd {
    fn new(spoil: fn(&mut Vec<u8>)) -> Self {
        Self { algorithm: Algorithm::Sha256Rsa2048, signer: signer(), spoil }
    }
}

#[async_trait]
impl Signer for Odd {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        assert_eq!(self.algorithm, Algorithm::Sha256Rsa2048, "the others are not asked");
        let mut bytes = self.signer.sign(message).await?.as_bytes().to_vec();
        (self.spoil)(&mut bytes);
        Ok(Signature::new(SerialNo::uncertified(), bytes))
    }
}

#[tokio::test]
async fn a_signature_of_another_key_or_kind_is_not_taken() {
    let other = FileKeySigner::without_certificate(PrivateKey::from_pem(OTHER_KEY).unwrap());
    let wrong: [&dyn Signer; 5] = [
        &other,
        &Odd::new(|signature| signature[255] ^= 1),
        &Odd::new(|signature| signature.truncate(255)),
        &Odd::new(|signature| signature.insert(0, 0)),
        &Odd::new(Vec::clear),
    ];
    let key = signer().key().public_key().clone();
    for (case, wrong) in wrong.into_iter().enumerate() {
        let result = CertificateRequest::sign(&subject(), &key, wrong).await;
        let Err(error) = result else { panic!("case {case}: {result:?}") };
        assert!(matches!(error, CertificateRequestError::WrongKey), "case {case}: {error:?}");
        assert!(error.hint().contains("public key"), "{}", error.hint());
    }
    let fitting = Odd::new(|_| ());
    assert!(CertificateRequest::sign(&subject(), &key, &fitting).await.is_ok());
}

#[tokio::test]
async fn a_signer_of_another_algorithm_is_not_asked() {
    let odd = Odd { algorithm: Algorithm::Sm2WithSm3, ..Odd::new(|_| ()) };
    let key = odd.signer.key().public_key();
    let error = CertificateRequest::sign(&subject(), key, &odd).await.unwrap_err();
    let algorithm = Algorithm::Sm2WithSm3;
    assert!(
        matches!(&error, CertificateRequestError::Algorithm { algorithm: a, .. } if *a == algorithm),
        "{error:?}"
    );
    assert!(error.to_string().contains("SM2"), "{error}");
}

fn set(attribute: usize, text: &str) -> Result<CertificateSubject, CertificateSubjectError> {
    match attribute {
        0 => subject().common_name(text),
        1 => subject().organization(text),
        2 => subject().organizational_unit(text),
        3 => subject().locality(text),
        4 => subject().state_or_province(text),
        _ => subject().country(text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Any text ends in a request that contains it, or in an error with a hint.
    #[test]
    fn any_text_ends_in_a_request_or_an_error(
        attribute in 0_usize..6,
        text in prop_oneof![any::<String>(), "[\\PC]{1,130}", "[A-Z]{2}", "[ 某a\u{0}-\u{1f}]{0,4}"],
    ) {
        let subject = match set(attribute, &text) {
            Ok(subject) => subject,
            Err(error) => {
                prop_assert!(error.hint().len() > 10 && !error.to_string().contains('\n'));
                return Ok(());
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = runtime.block_on(request(&subject));
        let read = CertificateSigningRequestParams::from_der(&request.as_der().into()).unwrap();
        let found = read.params.distinguished_name.iter().any(|(_, value)| match value {
            DnValue::Utf8String(value) => *value == text,
            DnValue::PrintableString(value) => value.as_str() == text,
            _ => false,
        });
        prop_assert!(found, "{text:?}: {:?}", read.params.distinguished_name);
    }
}
