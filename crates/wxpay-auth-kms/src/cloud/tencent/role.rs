//! Access keys from the metadata service of Tencent Cloud.

use async_trait::async_trait;
use serde::Deserialize;
use wxpay_auth_core::Timestamp;
use zeroize::Zeroizing;

use super::TencentCloud;
use crate::cloud::vendor::{RoleKey, RoleMetadata};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Given {
    code: Option<String>,
    tmp_secret_id: Option<String>,
    tmp_secret_key: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    expired_time: Option<u64>,
}

impl From<Given> for RoleKey {
    fn from(given: Given) -> Self {
        Self {
            code: given.code,
            id: given.tmp_secret_id,
            secret: given.tmp_secret_key,
            session_token: given.token,
            expires_at: given.expired_time.map(Timestamp::from_unix_secs),
        }
    }
}

#[async_trait]
impl RoleMetadata for TencentCloud {
    const ADDRESS: &'static str = "http://metadata.tencentyun.com";
    const FOLDER: &'static str = "/latest/meta-data/cam/security-credentials/";

    type File = Given;
}
