//! A signer on Tencent Cloud KMS, or on a double that validates requests like the service.

use std::sync::Arc;

use wxpay_auth::kms::{CredentialProvider, Endpoint, KmsError, TencentKms, TencentRole};
use wxpay_auth::{Clock, SystemClock, Timestamp};
use wxpay_tests::cloud::{Cloud, Codes, Roles, Setup};
use wxpay_tests::cloud_tests;
use wxpay_tests::kms_service::KmsService;

struct Tencent;

impl Cloud for Tencent {
    const PROGRAM: &'static str = "tencent.py";
    const SIGN: &'static str = "SignByAsymmetricKey";
    const OTHER_USE: &'static str = "decrypt";
    const CODES: Codes = Codes {
        throttled: "RequestLimitExceeded",
        broken: "InternalError",
        no_key: "ResourceUnavailable.CmkNotFound",
        disabled: "ResourceUnavailable.CmkDisabled",
        other_use: "UnsupportedOperation",
        secret: "AuthFailure.SignatureFailure",
        unknown: "AuthFailure.SecretIdNotFound",
        expired: "AuthFailure.TokenFailure",
        denied: "UnauthorizedOperation",
        clock: "AuthFailure.SignatureExpire",
    };

    type Backend = TencentKms;

    fn backend(setup: Setup<'_>) -> Result<TencentKms, KmsError> {
        TencentKms::builder(setup.double.text("/region"), setup.key_id())
            .endpoint(Endpoint::new(setup.double.url())?)
            .clock(move || {
                let now = SystemClock.now().as_unix_secs();
                Timestamp::from_unix_secs(now.saturating_add_signed(setup.clock_ahead))
            })
            .credentials(setup.credentials)
            .tls(setup.tls)
            .build()
    }
}

impl Roles for Tencent {
    fn role(double: &KmsService, name: Option<&str>) -> Arc<dyn CredentialProvider> {
        let role = TencentRole::new().unwrap();
        let role = role.metadata(Endpoint::new(double.text("/metadata_url")).unwrap());
        Arc::new(match name {
            Some(name) => role.name(name),
            None => role,
        })
    }
}

cloud_tests!(Tencent);
