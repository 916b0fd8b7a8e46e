//! Microsoft Entra ID: managed identities and service principals of one tenant.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, NamedBy, SingleUse};
use crate::vocab::{Algorithm, ClaimType};

pub(super) static KIND: Kind = Kind {
    name: "azure",
    named_by: NamedBy::Tenants { issuers, keys },
    shares_identifier: false,
    own_settings: &["tenant"],
    check_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // The metadata service answers with the same token until it is nearly over, and there is no jti.
    single_use: SingleUse::Never,
    // 86,700 s have been seen on a managed identity's token.
    max_lifetime: Duration::from_secs(25 * HOUR),
    tenant_pin: None,
    immutable: &["tid", "oid"],
    subject: None,
    caller_chosen: &[],
    check_header: super::any_header,
    check_claims,
    check_key_issuer,
    fixture: super::fixture!("azure"),
};

const CLAIMS: [(&str, ClaimType); 26] = [
    ("acct", ClaimType::Number),
    ("aio", ClaimType::String),
    ("app_displayname", ClaimType::String),
    ("appid", ClaimType::String),
    ("appidacr", ClaimType::String),
    ("azp", ClaimType::String),
    ("azpacr", ClaimType::String),
    ("groups", ClaimType::StringList),
    ("idp", ClaimType::String),
    ("idtyp", ClaimType::String),
    ("oid", ClaimType::String),
    ("rh", ClaimType::String),
    ("roles", ClaimType::StringList),
    ("scp", ClaimType::String),
    ("tenant_region_scope", ClaimType::String),
    ("tid", ClaimType::String),
    ("uti", ClaimType::String),
    ("ver", ClaimType::String),
    ("wids", ClaimType::StringList),
    // The resource the identity runs on, and the identity's own id. Their letter case varies and names are reused.
    ("xms_az_rid", ClaimType::String),
    ("xms_ftd", ClaimType::String),
    ("xms_idrel", ClaimType::String),
    ("xms_mirid", ClaimType::String),
    ("xms_rd", ClaimType::String),
    ("xms_sub_fct", ClaimType::String),
    ("xms_tcdt", ClaimType::String),
];

/// Which of the two a token has is the resource application's setting (its accepted token version), so a tenant has
/// both. The slash of the first belongs to it.
fn issuers(identity: &Identity<'_>) -> Vec<String> {
    let of = |tenant: &String| {
        [format!("https://sts.windows.net/{tenant}/"), format!("https://login.microsoftonline.com/{tenant}/v2.0")]
    };
    identity.tenants.iter().flat_map(of).collect()
}

/// Asked for directly: the metadata on this host names another issuer than the tokens of version 1 do.
fn keys(identity: &Identity<'_>) -> Option<String> {
    let tenant = identity.tenants.first()?;
    Some(format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys"))
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let shared = ["{", "/common/", "/organizations/", "/consumers/"];
    if shared.iter().any(|part| url.contains(part)) {
        return Err("must name one tenant by its GUID: the other forms let every tenant in");
    }
    Ok(())
}

/// The tenant must be the configured one, and people stay out: their tokens come from the same issuer, with `scp`
/// and without `idtyp: app`.
fn check_claims(identity: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let tid = claims.get("tid").and_then(Value::as_str);
    if identity.tenants.iter().any(|tenant| tid != Some(tenant)) {
        return Err("the configured tenant in tid");
    }
    if claims.contains_key("scp") {
        return Err("no scp: it is a user's token");
    }
    if claims.get("idtyp").is_some_and(|kind| kind.as_str() != Some("app")) {
        return Err("idtyp app, where it has one");
    }
    Ok(())
}

/// The key's `issuer` names the tenant whose tokens it signs, or `{tenantid}` for any: the tenant stands first in its
/// path in every form. A key of Microsoft's own tenants must not sign for this one.
fn check_key_issuer(key_issuer: &str, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let tid = claims.get("tid").and_then(Value::as_str);
    let tenant = key_issuer.strip_prefix("https://").and_then(|rest| rest.split('/').nth(1));
    if tenant.is_some_and(|tenant| tenant == "{tenantid}" || Some(tenant) == tid) {
        return Ok(());
    }
    Err("a signing key whose own issuer is the tenant in tid")
}
