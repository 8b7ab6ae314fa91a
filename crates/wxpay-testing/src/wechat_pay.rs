//! WeChat Pay in memory: plans, checks, signatures. Servers expose it over HTTP.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::{
    Certificate, Clock, FileKeySigner, KeyRing, Mchid, Nonce, PrivateKey, PublicKey, SerialNo,
    Timestamp, WechatpaySerial,
};

use crate::authenticate::{check_headers, check_signature};
use crate::journal::{Entry, Verdict};
use crate::keys::KEYS;
use crate::merchant_ca::{self, CertificateRefusal};
use crate::misbehaviour::Misbehaviour;
use crate::plan::{Plan, PlanState};
use crate::plan_desk::PlanDesk;
use crate::refusal::Refusal;
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::wechat_pay_builder::WechatPayBuilder;

/// WeChat Pay in memory: holds delivery plans, checks requests, signs responses, keeps a journal.
///
/// [`Gateway`](crate::Gateway) and [`WireServer`](crate::WireServer) expose it over HTTP, and
/// dereference to it.
pub struct WechatPay {
    mchid: Mchid,
    clock: Box<dyn Clock>,
    clock_offset: AtomicI64,
    pub(crate) request_ids: AtomicU64,
    state: Mutex<State>,
    on_request: Option<OnRequest>,
}

pub(crate) type OnRequest = Box<dyn Fn(&Entry) + Send + Sync>;

#[derive(Default)]
struct State {
    plans: BTreeMap<String, Plan>,
    plan_desk: PlanDesk,
    journal: Vec<Entry>,
    nonces: HashSet<Nonce>,
    always: Option<Misbehaviour>,
    next: VecDeque<Misbehaviour>,
    sign_with_certificate: bool,
    nested_detail: bool,
    /// The merchant's certificates, the oldest first.
    certificates: Vec<Certificate>,
}

impl WechatPay {
    /// Returns a builder, to set the merchant number, clock, or plans.
    pub fn builder() -> WechatPayBuilder {
        WechatPayBuilder::new()
    }

    pub(crate) fn new(
        mchid: Mchid,
        clock: Box<dyn Clock>,
        certificate: Certificate,
        plans: Vec<Plan>,
        on_request: Option<OnRequest>,
    ) -> Self {
        let plans = plans.into_iter().map(|plan| (plan.plan_id.clone(), plan)).collect();
        Self {
            mchid,
            clock,
            clock_offset: AtomicI64::new(0),
            request_ids: AtomicU64::new(0x08F5_B8C2),
            state: Mutex::new(State { plans, certificates: vec![certificate], ..State::default() }),
            on_request,
        }
    }

    /// Returns the merchant number that may call: 1900007291 by default.
    pub fn mchid(&self) -> Mchid {
        self.mchid.clone()
    }

    /// Returns the serial of the merchant's initial certificate.
    pub fn serial_no(&self) -> SerialNo {
        KEYS.merchant_certificate.serial_no().clone()
    }

    /// Returns the merchant's private key, PKCS#8 in PEM. It is a published test key.
    pub fn merchant_key_pem(&self) -> &str {
        KEYS.merchant_key_pem
    }

    /// Returns the merchant's private key, PKCS#8 in DER, for key services that need it.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the keys are part of the crate, and tested"
    )]
    pub fn merchant_key_der(&self) -> Vec<u8> {
        let pem = self.merchant_key_pem().lines().filter(|line| !line.starts_with("-----"));
        STANDARD.decode(pem.collect::<String>()).expect("base64")
    }

    /// Returns the merchant's certificate in PEM.
    pub fn merchant_certificate_pem(&self) -> &str {
        &KEYS.merchant_certificate_pem
    }

    /// Issues a merchant certificate for a request in PEM (PKCS#10), as the merchant platform does
    /// (申请API证书), and returns it in PEM. Requests signed with its key are accepted from now on.
    /// Existing certificates remain valid.
    ///
    /// `rcgen` checks the signature of the request, so that no mistake in `wxpay-auth` can go unnoticed
    /// here. The serial has 20 bytes; any subject of the request is accepted.
    ///
    /// # Errors
    /// [`CertificateRefusal`] if the request is malformed, is not signed with its own key, or has a key of
    /// another kind or size.
    ///
    /// ```
    /// use wxpay_auth::{
    ///     Certificate, CertificateRequest, CertificateSubject, FileKeySigner, PrivateKey,
    /// };
    /// use wxpay_testing::WechatPay;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key_pem = include_str!("../testdata/platform_private_key.pem");
    /// let wechat_pay = WechatPay::builder().build();
    /// let signer = FileKeySigner::without_certificate(PrivateKey::from_pem(key_pem)?);
    /// let key = signer.key().public_key();
    ///
    /// let subject = CertificateSubject::new(&wechat_pay.mchid());
    /// let request = CertificateRequest::sign(&subject, key, &signer).await?;
    /// let certificate_pem = wechat_pay.issue_certificate(&request.to_pem())?;
    /// Certificate::from_pem(&certificate_pem)?.require_key(key)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn issue_certificate(&self, request_pem: &str) -> Result<String, CertificateRefusal> {
        let (certificate, pem) = merchant_ca::issue(request_pem)?;
        self.state().certificates.push(certificate);
        Ok(pem)
    }

    /// Returns the id of the public key that signs responses.
    pub fn public_key_id(&self) -> WechatpaySerial {
        KEYS.public_key_id.clone()
    }

    /// Returns the public key that signs responses, in PEM.
    pub fn public_key_pem(&self) -> &str {
        &KEYS.public_key_pem
    }

    /// Returns the platform certificate, which signs responses after
    /// [`sign_with_platform_certificate`](Self::sign_with_platform_certificate), in PEM.
    pub fn platform_certificate_pem(&self) -> &str {
        &KEYS.platform_certificate_pem
    }

    /// Returns the expired platform certificate of
    /// [`Misbehaviour::ExpiredCertificate`], in PEM.
    pub fn expired_certificate_pem(&self) -> &str {
        &KEYS.expired_certificate_pem
    }

    /// Returns a signer with the merchant's key.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the keys are part of the crate, and tested"
    )]
    pub fn signer(&self) -> FileKeySigner {
        let key = PrivateKey::from_pem(self.merchant_key_pem()).expect("a key in PEM");
        FileKeySigner::new(key, self.serial_no())
    }

    /// Returns a key ring with the public key and the platform certificate.
    pub fn key_ring(&self) -> KeyRing {
        self.fill(KeyRing::new())
    }

    /// Returns a key ring that also holds an expired platform certificate, as in a program that has been
    /// running for too long.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "the keys are part of the crate, and tested"
    )]
    pub fn key_ring_with_expired_certificate(&self) -> KeyRing {
        // Not expired yet when it is added.
        let ring = KeyRing::with_clock(|| KEYS.expired_certificate.not_before());
        ring.insert_certificate(&KEYS.expired_certificate).expect("valid at that time");
        self.fill(ring)
    }

    #[expect(clippy::expect_used, reason = "the keys are part of the crate, and tested")]
    fn fill(&self, ring: KeyRing) -> KeyRing {
        let public_key = PublicKey::from_pem(self.public_key_pem()).expect("a key in PEM");
        ring.insert_public_key(self.public_key_id(), public_key).expect("the id of a public key");
        ring.insert_certificate(&KEYS.platform_certificate).expect("valid until 2099");
        ring
    }

    /// Adds or replaces a plan.
    pub fn add_plan(&self, plan: Plan) {
        self.state().plans.insert(plan.plan_id.clone(), plan);
    }

    /// Returns all plans, by id.
    pub fn plans(&self) -> Vec<Plan> {
        self.state().plans.values().cloned().collect()
    }

    /// Returns the state of a plan.
    pub fn plan_state(&self, plan_id: &str) -> Option<PlanState> {
        self.state().plans.get(plan_id).map(Plan::state)
    }

    /// Changes the state of a plan, as its audit, its stock or its end would. Returns whether the documented
    /// state machine allows it; otherwise nothing changes.
    pub fn move_plan(&self, plan_id: &str, to: PlanState) -> bool {
        match self.state().plans.get_mut(plan_id) {
            Some(plan) if plan.state.may_become(to) => {
                plan.state = to;
                true
            }
            _ => false,
        }
    }

    /// Misbehaves like this from now on.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.state().always = Some(misbehaviour);
    }

    /// Misbehaves like this on the next authentic request; takes precedence over `misbehave`.
    pub fn misbehave_once(&self, misbehaviour: Misbehaviour) {
        self.state().next.push_back(misbehaviour);
    }

    /// Misbehaves like this on the next `n` authentic requests; takes precedence over `misbehave`.
    pub fn misbehave_times(&self, n: usize, misbehaviour: Misbehaviour) {
        self.state().next.extend(std::iter::repeat_n(misbehaviour, n));
    }

    /// Ends all misbehaviour.
    pub fn behave(&self) {
        let mut state = self.state();
        state.always = None;
        state.next.clear();
    }

    /// Signs responses with the platform certificate from now on.
    pub fn sign_with_platform_certificate(&self) {
        self.state().sign_with_certificate = true;
    }

    /// Puts the `issue` of a `SIGN_ERROR` one level deeper from now on, as some real responses do.
    pub fn nest_detail(&self) {
        self.state().nested_detail = true;
    }

    /// Sets the server's clock ahead of the real one, or back, by this many seconds.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    /// Returns all received requests, the first one first.
    pub fn journal(&self) -> Vec<Entry> {
        self.state().journal.clone()
    }

    /// Returns the number of requests that changed something: a plan, or the address for notifications.
    pub fn executions(&self) -> usize {
        self.state().journal.iter().filter(|entry| entry.executed).count()
    }

    /// Processes a request, and returns the response.
    pub(crate) fn response(&self, request: RawRequest<'_>) -> RawResponse {
        let mut entry = Entry::new(request);
        let response = match self.admit(request) {
            Ok(()) => self.obey(request),
            Err(refusal) => {
                let mut response = refusal.response(request, self.state().nested_detail);
                self.add_common_headers(&mut response);
                entry.verdict = Verdict::Refused(refusal);
                response
            }
        };
        entry.executed = response.executed;
        entry.status = response.status;
        entry.request_id = response.header("Request-ID").map(str::to_owned);
        if let Some(on_request) = &self.on_request {
            on_request(&entry);
        }
        self.state().journal.push(entry);
        response
    }

    fn admit(&self, request: RawRequest<'_>) -> Result<(), Refusal> {
        check_headers(request)?;
        let certificates = self.state().certificates.clone();
        let nonce = check_signature(request, &self.mchid, self.now(), &certificates)?;
        if self.state().nonces.insert(nonce) { Ok(()) } else { Err(Refusal::Replay) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let now = self.clock.now().as_unix_secs();
        Timestamp::from_unix_secs(
            now.saturating_add_signed(self.clock_offset.load(Ordering::Relaxed)),
        )
    }

    /// Takes the next misbehaviour.
    pub(crate) fn next_misbehaviour(&self) -> Option<Misbehaviour> {
        let mut state = self.state();
        state.next.pop_front().or_else(|| state.always.clone())
    }

    pub(crate) fn signs_with_certificate(&self) -> bool {
        self.state().sign_with_certificate
    }

    /// Runs a function on the plans, and what is kept beside them.
    pub(crate) fn with_desk<T>(
        &self,
        run: impl FnOnce(&mut BTreeMap<String, Plan>, &mut PlanDesk) -> T,
    ) -> T {
        let state = &mut *self.state();
        run(&mut state.plans, &mut state.plan_desk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of a test elsewhere must not be hidden by a poisoned lock here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WechatPay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WechatPay")
            .field("mchid", &self.mchid)
            .field("plans", &self.state().plans)
            .finish_non_exhaustive()
    }
}
