//! Query parameters from structs and maps.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::Serialize;
use serde_json::Value;

use crate::message::request_error::RequestError;

/// The members of a JSON object, in order.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a struct or map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// Returns names and values, except those that are `null`.
pub(crate) fn query_pairs(
    parameters: &impl Serialize,
) -> Result<Vec<(String, String)>, RequestError> {
    let json = serde_json::to_vec(parameters).map_err(|_| RequestError::NotJson)?;
    let members: Members =
        serde_json::from_slice(&json).map_err(|_| RequestError::QueryForm { name: None })?;
    let mut pairs = Vec::with_capacity(members.0.len());
    for (name, value) in members.0 {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(RequestError::QueryForm { name: Some(name) });
            }
        };
        pairs.push((name, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::target::Target;

    #[derive(serde::Serialize)]
    struct Query {
        state: &'static str,
        big: u64,
        least: i64,
        is_new: bool,
        none: Option<u8>,
        a: f64,
    }

    #[test]
    fn members_keep_their_order_and_none_is_left_out() {
        let query = Query {
            state: "a b&c",
            big: u64::MAX,
            least: i64::MIN,
            is_new: true,
            none: None,
            a: 0.5,
        };
        let target = Target::new("/v3/x").unwrap().queries(&query).unwrap();
        assert_eq!(
            target.as_str(),
            "/v3/x?state=a%20b%26c&big=18446744073709551615&least=-9223372036854775808\
             &is_new=true&a=0.5"
        );
        let more = target.query("offset", 20).unwrap();
        assert!(more.as_str().ends_with("&a=0.5&offset=20"), "{more}");
    }

    #[test]
    fn what_has_no_form_as_parameters_is_named() {
        let name = |value: Value| match query_pairs(&value) {
            Err(RequestError::QueryForm { name }) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(name(json!({"a": 1, "ids": [1, 2]})).as_deref(), Some("ids"));
        assert_eq!(name(json!({"of": {"a": 1}})).as_deref(), Some("of"));
        assert_eq!(name(json!([1])), None);
        assert_eq!(name(json!("text")), None);
        let error = query_pairs(&json!({"ids": [1]})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "query parameters must be a struct or map of strings, numbers and booleans, but ids is none of these"
        );
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert_eq!(query_pairs(&keys), Err(RequestError::NotJson));
    }
}
