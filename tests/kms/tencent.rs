//! A signer on Tencent Cloud KMS, or on a double that validates requests like the service.

use std::sync::Arc;

use wxpay_auth::kms::{CredentialProvider, KmsError, TencentKms, TencentRole};
use wxpay_tests::cloud::{Cloud, Codes, Roles, Setup, role};
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
        let builder = TencentKms::builder(setup.double.text("/region"), setup.key_id());
        setup.apply(builder)?.build()
    }
}

impl Roles for Tencent {
    fn role(double: &KmsService, name: Option<&str>) -> Arc<dyn CredentialProvider> {
        Arc::new(role(TencentRole::new().unwrap(), double, name))
    }
}

cloud_tests!(Tencent);
