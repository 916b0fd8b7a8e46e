//! AWS: outbound identity federation of one account (`sts:GetWebIdentityToken`).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, Lints, NamedBy, Narrow, SingleUse, Workload};
use crate::vocab::{Algorithm, ClaimType};

pub(super) static KIND: Kind = Kind {
    name: "aws",
    named_by: NamedBy::Url { default: None },
    shares_identifier: false,
    own_settings: &[],
    check_url: super::any_url,
    algorithms: &[Algorithm::RS256, Algorithm::ES384],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // Each call makes a new token, with a jti.
    single_use: SingleUse::Always,
    max_lifetime: Duration::from_secs(HOUR),
    tenant_pin: None,
    immutable: &["sub"],
    // The role of an ARN can be made again, and the token has no id of it.
    names: &[],
    narrows: &[
        Narrow::Value("/https:~1~1sts.amazonaws.com~1/aws_account"),
        Narrow::Value("/https:~1~1sts.amazonaws.com~1/org_id"),
    ],
    subject: None,
    caller_chosen: &["/https:~1~1sts.amazonaws.com~1/request_tags"],
    lints: Lints {
        workload: Some(Workload { noun: "role", lint: "wide-subject", ids: &[], names: &[("sub", "")], others: &[] }),
        always: &["/https:~1~1sts.amazonaws.com~1/aws_account"],
        can_say,
        ..Lints::NONE
    },
    check_header: super::any_header,
    check_claims,
    check_key_issuer: super::any_key_issuer,
    fixture: super::fixture!("aws"),
};

/// All of AWS's own claims are inside one: account, region, organization, tags, where the code runs (IAM User Guide,
/// "Understanding token claims"). `ou_path` is a string there and a list in tokens.
const CLAIMS: [(&str, ClaimType); 18] = [
    ("https://sts.amazonaws.com/", ClaimType::Object),
    ("/https:~1~1sts.amazonaws.com~1/aws_account", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/source_region", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/org_id", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/ou_path", ClaimType::StringOrList),
    ("/https:~1~1sts.amazonaws.com~1/principal_tags/*", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/request_tags/*", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/original_session_exp", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/federated_provider", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/identity_store_user_id", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/identity_store_arn", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/ec2_source_instance_arn", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/ec2_instance_source_vpc", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/ec2_instance_source_private_ipv4", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/ec2_role_delivery", ClaimType::Any),
    ("/https:~1~1sts.amazonaws.com~1/source_identity", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/lambda_source_function_arn", ClaimType::String),
    ("/https:~1~1sts.amazonaws.com~1/glue_credential_issuing_service", ClaimType::String),
];

/// The role or user that asked; a session of a role is its role here.
fn check_claims(identity: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    can_say(identity, "sub", claims.get("sub").and_then(Value::as_str).unwrap_or_default())
}

fn can_say(_: &Identity<'_>, claim: &str, value: &str) -> Result<(), &'static str> {
    if claim == "sub" && !value.starts_with("arn:aws") {
        return Err("the ARN of an AWS principal in sub");
    }
    Ok(())
}
