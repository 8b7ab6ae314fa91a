//! Tests shared by the back ends for Tencent Cloud KMS, Alibaba Cloud KMS and AWS KMS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use wxpay_auth::kms::{
    CloudKmsBuilder, CloudRole, CredentialProvider, Credentials, Endpoint, KmsBackend, KmsError,
    KmsSigner, KmsSignerBuilder, KmsTls,
};
use wxpay_auth::{
    Certificate, CertificateSubject, Clock, SignErrorKind, Signer, SystemClock, Timestamp,
};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Gateway, PlanState, SignerConformance};
use wxpay_transport::{BaseUrl, Client, Outcome, Proxy, Transport};

use crate::kms_service::KmsService;
use crate::openssl::check_request;
use crate::token::{certificate, reference};
use crate::{chain, plan_id};

/// A cloud with a double of its key service in `tests/doubles/kms`.
pub trait Cloud: Sized + 'static {
    /// The program.
    const PROGRAM: &'static str;
    /// The action that signs.
    const SIGN: &'static str;
    /// The key with a usage other than signing.
    const OTHER_USE: &'static str;
    /// The service's name for RSASSA-PKCS1-v1_5 with SHA-256.
    const ALGORITHM: &'static str = "RSA_PKCS1_SHA_256";
    /// The error codes of the service.
    const CODES: Codes;

    /// The back end of the service.
    type Backend: KmsBackend + 'static;

    /// Builds the back end for a key of the double.
    ///
    /// # Errors
    /// [`KmsError`], as the builder.
    fn backend(setup: Setup<'_>) -> Result<Self::Backend, KmsError>;
}

/// A cloud whose machines have roles.
pub trait Roles: Cloud {
    /// Gets access keys from the metadata service of the double.
    fn role(double: &KmsService, name: Option<&str>) -> Arc<dyn CredentialProvider>;
}

/// Sets up a role for the metadata service of the double.
pub fn role<C>(role: CloudRole<C>, double: &KmsService, name: Option<&str>) -> CloudRole<C> {
    let metadata = Endpoint::new(double.text("/metadata_url")).expect("an address");
    let role = role.metadata(metadata);
    match name {
        Some(name) => role.name(name),
        None => role,
    }
}

/// The error codes of a service.
#[derive(Debug)]
pub struct Codes {
    /// Too many requests.
    pub throttled: &'static str,
    /// Internal error of the service.
    pub broken: &'static str,
    /// The key does not exist.
    pub no_key: &'static str,
    /// The key is disabled.
    pub disabled: &'static str,
    /// The key has another usage.
    pub other_use: &'static str,
    /// The secret does not match the access key.
    pub secret: &'static str,
    /// The access key is unknown.
    pub unknown: &'static str,
    /// The session token has expired.
    pub expired: &'static str,
    /// The access key may not do this.
    pub denied: &'static str,
    /// The clock is wrong.
    pub clock: &'static str,
}

/// The settings of a back end.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The double.
    pub double: &'a KmsService,
    /// The id of the key, or its name on the double.
    pub key: &'a str,
    /// The source of access keys.
    pub credentials: Arc<dyn CredentialProvider>,
    /// How many seconds its clock is ahead.
    pub clock_ahead: i64,
    /// The TLS settings.
    pub tls: KmsTls,
}

impl<'a> Setup<'a> {
    /// Applies these settings to the builder of a cloud.
    ///
    /// # Errors
    /// [`KmsError`], as the builder.
    pub fn apply<C>(self, builder: CloudKmsBuilder<C>) -> Result<CloudKmsBuilder<C>, KmsError> {
        let clock_ahead = self.clock_ahead;
        let builder = builder.endpoint(Endpoint::new(self.double.url())?).clock(move || {
            let now = SystemClock.now().as_unix_secs();
            Timestamp::from_unix_secs(now.saturating_add_signed(clock_ahead))
        });
        Ok(builder.credentials(self.credentials).tls(self.tls))
    }

    /// Uses a key of the double, with an access key that does not expire.
    pub fn new(double: &'a KmsService, key: &'a str) -> Self {
        let credentials = Arc::new(credentials(double, "static"));
        Self { double, key, credentials, clock_ahead: 0, tls: KmsTls::new() }
    }

    /// Uses other access keys.
    #[must_use]
    pub fn credentials(mut self, credentials: impl CredentialProvider + 'static) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Returns the id of the key.
    pub fn key_id(&self) -> &str {
        self.double.find(&format!("/keys/{}", self.key)).unwrap_or(self.key)
    }
}

/// Starts the double of a cloud.
pub fn double<C: Cloud>() -> KmsService {
    KmsService::start(C::PROGRAM, &[])
}

/// Returns an access key of the double: `static`, `temporary` or `denied`.
pub fn credentials(double: &KmsService, name: &str) -> Credentials {
    let text = |field| double.find(&format!("/credentials/{name}/{field}"));
    let (id, secret) = (text("id").expect("an id"), text("secret").expect("a secret"));
    match text("token") {
        Some(token) => Credentials::new(id, secret).with_session_token(token),
        None => Credentials::new(id, secret),
    }
}

/// Returns all secrets of a double.
pub fn secrets(double: &KmsService) -> Vec<&str> {
    let of = |name: &str, field| double.find(&format!("/credentials/{name}/{field}"));
    let all = ["static", "temporary", "denied"].map(|name| [of(name, "secret"), of(name, "token")]);
    all.into_iter().flatten().flatten().collect()
}

/// Begins a signer on a key, with long timeouts for busy machines.
pub fn builder<C: Cloud>(setup: Setup<'_>) -> KmsSignerBuilder<C::Backend> {
    let backend = C::backend(setup).unwrap_or_else(|e| panic!("{}", chain(&e)));
    let patience = Duration::from_secs(60);
    KmsSigner::builder(backend).attempt_timeout(patience).sign_timeout(patience).attempts(1)
}

/// Connects a signer on the merchant key.
pub async fn merchant<C: Cloud>(double: &KmsService) -> KmsSigner<C::Backend> {
    let builder = builder::<C>(Setup::new(double, "merchant")).certificate(certificate());
    builder.connect().await.unwrap_or_else(|e| panic!("{}", chain(&e)))
}

/// Checks that concurrent signatures have the same bytes as those of the same key in this process, and that
/// errors are clear.
pub async fn conforms<C: Cloud>() {
    let double = double::<C>();
    let signer = merchant::<C>(&double).await;
    let conformance =
        SignerConformance::new(reference().public_key().clone(), certificate().serial_no().clone())
            .reference(reference());
    let checked = conformance.check(Arc::new(signer.clone())).await;
    checked.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(signer.waiting(), 0);
    for call in double.calls(C::SIGN) {
        assert_eq!(call["algorithm"], C::ALGORITHM);
    }

    double.set(json!({"states": {"merchant": "Disabled"}}));
    let (disabled, secrets) = (SignErrorKind::Configuration, secrets(&double));
    let failing = conformance.check_failing(Arc::new(signer.clone()), disabled, &secrets);
    failing.await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    // The signer is still usable: once the key is enabled again, it signs.
    double.set(json!({"states": {"merchant": "Enabled"}}));
    signer.sign(b"message").await.unwrap();
}

fn plans<S: Signer>(gateway: &Gateway, signer: S) -> DeliveryPlans<impl Transport> {
    let client = Client::builder(gateway.mchid(), signer, gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).expect("an origin"))
        .proxy(Proxy::none())
        .build();
    DeliveryPlans::new(client.expect("a client"))
}

/// Terminates a plan with the key in the service.
pub async fn terminates<C: Cloud>() {
    let (gateway, double) = (Gateway::start().await, double::<C>());
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    let signer = builder::<C>(Setup::new(&double, "merchant")).certificate(certificate);
    let plans = plans(&gateway, signer.connect().await.unwrap());
    plans.terminate(&plan_id("12000")).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated));

    // Without a signature from the service, nothing is sent.
    double.set(json!({"states": {"merchant": "PendingDeletion"}}));
    let error = plans.terminate(&plan_id("12001")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{}", chain(&error));
    assert_eq!(gateway.executions(), 1);
}

/// From generating a key in the service to terminating a plan with it.
pub async fn born<C: Cloud>() {
    let (gateway, double) = (Gateway::start().await, double::<C>());
    let builder = || builder::<C>(Setup::new(&double, "born"));
    let error = builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration);
    let signer = builder().without_certificate().connect().await.unwrap();
    let sent = plans(&gateway, signer.clone()).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(sent.outcome(), Outcome::NotSent);

    let subject = CertificateSubject::new(&gateway.mchid()).country("CN").unwrap();
    let request = check_request(&subject, signer.public_key(), &signer).await;
    let pem = gateway.issue_certificate(&request.to_pem()).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    certificate.require_key(signer.public_key()).unwrap();

    let certified = builder().certificate(certificate.clone()).connect().await.unwrap();
    assert_eq!(certified.serial_no(), certificate.serial_no());
    plans(&gateway, certified).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(gateway.executions(), 1);
}

/// Many tasks sign while the access keys of the role change several times; no signature fails.
pub async fn refreshes_in_flight<C: Roles>() {
    let double = double::<C>();
    let mut setup = Setup::new(&double, "merchant");
    setup.credentials = C::role(&double, None);
    let signer = builder::<C>(setup).certificate(certificate()).connect().await.unwrap();
    let expected = reference().sign(b"message").unwrap();
    let done: Arc<Vec<AtomicUsize>> = Arc::new((0..16).map(|_| AtomicUsize::new(0)).collect());
    let tasks: Vec<_> = (0..done.len())
        .map(|task| {
            let (signer, done, expected) = (signer.clone(), Arc::clone(&done), expected.clone());
            tokio::spawn(async move {
                loop {
                    let signed = signer.sign(b"message").await;
                    let signed = signed.unwrap_or_else(|e| panic!("{}", chain(&e)));
                    assert_eq!(signed.as_bytes(), expected);
                    done[task].fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let counts = || done.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
    for number in 0..5 {
        let name = format!("role{number}0double0kms0test");
        let (secret, token) = (format!("secret0{number}"), format!("token0{number}"));
        double.set(
            json!({"role": {"name": "wxpay-signer", "id": name, "secret": secret, "token": token}}),
        );
        let before = counts();
        // From here on, the second signature uses the new access key.
        while counts().iter().zip(&before).any(|(now, before)| now - before < 2) {
            assert!(tasks.iter().all(|task| !task.is_finished()), "a signature failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled(), "a signature failed");
    }
    let refused =
        double.calls(C::SIGN).iter().filter(|call| call["code"] == C::CODES.expired).count();
    assert!(refused >= 5, "{refused} requests were signed with an access key that had expired");
}

/// The tests that every cloud must pass.
#[macro_export]
macro_rules! cloud_tests {
    ($cloud:ty) => {
        $crate::cloud_tests! { $cloud:
            cloud::conforms,
            cloud::terminates,
            cloud::born,
            cloud::refreshes_in_flight,
            cloud_keys::keys_that_do_not_fit,
            cloud_keys::access_keys_that_are_refused,
            cloud_keys::roles,
            cloud_keys::a_clock_that_is_off,
            cloud_keys::tls,
            cloud_faults::wrong_signatures,
            cloud_faults::short_signatures,
            cloud_faults::throttling,
            cloud_faults::other_responses,
            cloud_faults::hanging,
            cloud_faults::answers_about_another_key,
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs Python and openssl: run scripts/test"]
        async fn secrets_stay_secret() {
            // The log is collected for the whole process.
            $crate::own_process!();
            $crate::cloud_faults::secrets_stay_secret::<$cloud>().await;
        }
    };
    ($cloud:ty: $($module:ident::$scenario:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        #[ignore = "needs Python and openssl: run scripts/test"]
        async fn $scenario() {
            $crate::$module::$scenario::<$cloud>().await;
        }
    )+};
}
