//! What an API server's answer must say of a token that our verifier accepted. A pure function.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use serde_json::{Map, Value};

/// What we verified.
pub(super) struct Said<'a> {
    pub(super) subject: &'a str,
    pub(super) audience: &'a str,
    pub(super) token_id: Option<&'a str>,
    pub(super) members: &'a Map<String, Value>,
}

/// Why the answer does not confirm the token. Carries nothing that the API server or the caller wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disowned {
    /// `authenticated` is not `true`.
    #[error("it is not authenticated; its pod, node, secret or service account may be gone, or its uid changed")]
    NotAuthenticated,
    /// `user.username` is not the token's `sub`.
    #[error("its user is not the token's sub")]
    Username,
    /// `audiences` lacks ours: a server that ignores audiences, or a token for somebody else.
    #[error("it is not confirmed for our audience")]
    Audience,
    /// A uid or a name that both the token and the answer have differs.
    #[error("its {0} is not the token's")]
    Binding(&'static str),
}

/// What both sides may say of the objects that a token is bound to: the key in `user.extra`, and the claim
/// (kubernetes `pkg/serviceaccount`, `UserInfo`).
const BINDINGS: [(&str, &str, &str); 4] = [
    ("authentication.kubernetes.io/pod-name", "/kubernetes.io/pod/name", "pod name"),
    ("authentication.kubernetes.io/pod-uid", "/kubernetes.io/pod/uid", "pod uid"),
    ("authentication.kubernetes.io/node-name", "/kubernetes.io/node/name", "node name"),
    ("authentication.kubernetes.io/node-uid", "/kubernetes.io/node/uid", "node uid"),
];
/// `JTI=` and the token's `jti`.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

pub(super) fn check(said: &Said<'_>, answer: &TokenReviewStatus) -> Result<(), Disowned> {
    if answer.authenticated != Some(true) {
        return Err(Disowned::NotAuthenticated);
    }
    let nobody = UserInfo::default();
    let user = answer.user.as_ref().unwrap_or(&nobody);
    if user.username.as_deref() != Some(said.subject) {
        return Err(Disowned::Username);
    }
    let audiences = answer.audiences.as_deref().unwrap_or_default();
    if !audiences.iter().any(|audience| audience == said.audience) {
        return Err(Disowned::Audience);
    }
    if differ(user.uid.as_deref(), claim(said, "/kubernetes.io/serviceaccount/uid")) {
        return Err(Disowned::Binding("service account uid"));
    }
    let no_extra = BTreeMap::new();
    let extra = user.extra.as_ref().unwrap_or(&no_extra);
    for (key, pointer, name) in BINDINGS {
        if differ(only(extra, key), claim(said, pointer)) {
            return Err(Disowned::Binding(name));
        }
    }
    let token_id = said.token_id.map(|id| format!("JTI={id}"));
    if differ(only(extra, CREDENTIAL_ID), token_id.as_deref()) {
        return Err(Disowned::Binding("credential id"));
    }
    Ok(())
}

fn claim<'a>(said: &Said<'a>, pointer: &str) -> Option<&'a str> {
    let mut parts = pointer.split('/').skip(1);
    let first = said.members.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))?.as_str()
}

/// The value of a key of `user.extra`, whose values are lists; of several it is the first that counts as said.
fn only<'a>(extra: &'a BTreeMap<String, Vec<String>>, key: &str) -> Option<&'a str> {
    extra.get(key).and_then(|values| values.first()).map(String::as_str)
}

/// Whether both are there and not the same. Servers before 1.30 say less than the token does.
fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SUBJECT: &str = "system:serviceaccount:payments:payments-api";
    const OURS: &str = "https://broker.example.com";

    /// The answer about the fixture's token, after one change.
    fn checked(change: impl FnOnce(&mut Value)) -> Result<(), Disowned> {
        let mut answer = json!({
            "authenticated": true,
            "audiences": [OURS],
            "user": {
                "username": SUBJECT,
                "uid": "a9b8c7d6-e5f4-4a3b-8c2d-1e0f9a8b7c6d",
                "groups": ["system:serviceaccounts"],
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["payments-api-6c9f7d8b5-x2lkq"],
                    "authentication.kubernetes.io/pod-uid": ["d4e5f6a7-b8c9-4d0e-9f1a-2b3c4d5e6f70"],
                    "authentication.kubernetes.io/node-name": ["ip-10-0-12-34.eu-west-1.compute.internal"],
                    "authentication.kubernetes.io/credential-id": ["JTI=5d2b7a0c-94e1-4f6f-8b37-c0a9d1e2f345"],
                },
            },
        });
        change(&mut answer);
        let claims: Value = serde_json::from_str(include_str!("../../fixtures/kubernetes/claims.json")).unwrap();
        let said = Said {
            subject: SUBJECT,
            audience: OURS,
            token_id: claims["jti"].as_str(),
            members: claims.as_object().unwrap(),
        };
        check(&said, &serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn the_api_server_s_own_answer_confirms_and_an_older_server_s_too() {
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(checked(|answer| answer["user"]["extra"] = json!({})), Ok(()));
        assert_eq!(checked(|answer| answer["user"]["uid"] = Value::Null), Ok(()));
        assert_eq!(checked(|answer| answer["audiences"] = json!(["https://other.example", OURS])), Ok(()));
    }

    #[test]
    fn an_answer_that_is_not_about_this_token_does_not_confirm() {
        for absent in [json!(false), Value::Null] {
            assert_eq!(checked(|answer| answer["authenticated"] = absent), Err(Disowned::NotAuthenticated));
        }
        for other in [json!("system:serviceaccount:payments:other"), json!(""), Value::Null] {
            assert_eq!(checked(|answer| answer["user"]["username"] = other), Err(Disowned::Username));
        }
        assert_eq!(checked(|answer| answer["user"] = Value::Null), Err(Disowned::Username));
        for other in [json!([]), json!(["https://kubernetes.default.svc"]), Value::Null] {
            assert_eq!(checked(|answer| answer["audiences"] = other), Err(Disowned::Audience));
        }
        let made_again = checked(|answer| answer["user"]["uid"] = json!("another"));
        assert_eq!(made_again, Err(Disowned::Binding("service account uid")));
        for (key, name) in [
            ("authentication.kubernetes.io/pod-name", "pod name"),
            ("authentication.kubernetes.io/pod-uid", "pod uid"),
            ("authentication.kubernetes.io/node-name", "node name"),
            ("authentication.kubernetes.io/node-uid", "node uid"),
            ("authentication.kubernetes.io/credential-id", "credential id"),
        ] {
            let changed = checked(|answer| answer["user"]["extra"][key] = json!(["another"]));
            assert_eq!(changed, Err(Disowned::Binding(name)), "{key}");
        }
    }
}
