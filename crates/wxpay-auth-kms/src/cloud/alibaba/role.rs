//! Access keys from the metadata service of Alibaba Cloud.

use async_trait::async_trait;
use http::{HeaderValue, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::AlibabaCloud;
use crate::cloud::builder::header_value;
use crate::cloud::utc::parse_iso;
use crate::cloud::vendor::{RoleKey, RoleMetadata};
use crate::credentials::metadata::{Metadata, not_given};
use crate::error::KmsError;

const TOKEN: &str = "/latest/api/token";
/// In seconds: long enough for the two requests.
const TOKEN_LIFETIME: HeaderValue = HeaderValue::from_static("60");

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Given {
    code: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Zeroizing<String>>,
    security_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

impl From<Given> for RoleKey {
    fn from(given: Given) -> Self {
        Self {
            code: given.code,
            id: given.access_key_id,
            secret: given.access_key_secret,
            session_token: given.security_token,
            expires_at: given.expiration.as_deref().and_then(parse_iso),
        }
    }
}

#[async_trait]
impl RoleMetadata for AlibabaCloud {
    const ADDRESS: &'static str = "http://100.100.100.200";
    const FOLDER: &'static str = "/latest/meta-data/ram/security-credentials/";

    type File = Given;

    /// Obtains a token, which the hardened mode requires.
    async fn headers(metadata: &Metadata) -> Result<Vec<(&'static str, HeaderValue)>, KmsError> {
        let lifetime = [("x-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_LIFETIME)];
        let response = metadata.ask(Method::PUT, TOKEN, &lifetime).await?;
        let token = str::from_utf8(&response.body).map_err(|_| not_given(None))?.trim();
        Ok(vec![("x-aliyun-ecs-metadata-token", header_value(token)?)])
    }
}
