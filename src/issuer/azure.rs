//! Microsoft Entra ID: managed identities and service principals of one tenant.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::KindRefusal;
use super::preset::{HOUR, KeyLocation, KindPreset, SingleUse};
use crate::config::IssuerSettings;
use crate::vocab::{Algorithm, ClaimType, IssuerKind, IssuerUrl};

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

pub(super) fn preset(settings: &IssuerSettings) -> KindPreset {
    let (identifiers, keys) = match (&settings.url, &settings.tenant) {
        (Some(url), _) => (vec![url.to_string()], KeyLocation::discovery(url, None)),
        (None, Some(tenant)) => (identifiers_of(tenant), keys_of(tenant)),
        (None, None) => (Vec::new(), None),
    };
    KindPreset {
        identifiers,
        keys,
        algorithms: &[Algorithm::RS256],
        claims: &CLAIMS,
        open: false,
        // The metadata service answers with the same token until it is nearly over, and there is no jti.
        single_use: SingleUse::Never,
        // 86,700 s have been seen on a managed identity's token.
        max_lifetime: Duration::from_secs(25 * HOUR),
        tenant_pin: None,
    }
}

/// Which of the two a token has is the resource application's setting (its accepted token version), so a tenant has
/// both. The slash of the first belongs to it.
fn identifiers_of(tenant: &str) -> Vec<String> {
    let urls =
        [format!("https://sts.windows.net/{tenant}/"), format!("https://login.microsoftonline.com/{tenant}/v2.0")];
    urls.into_iter().filter(|url| IssuerUrl::parse(url).is_ok()).collect()
}

/// Asked for directly: the metadata on this host names another issuer than the tokens of version 1 do.
fn keys_of(tenant: &str) -> Option<KeyLocation> {
    let url = format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys");
    Url::parse(&url).ok().map(KeyLocation::Url)
}

/// The tenant must be the configured one, and people stay out: their tokens come from the same issuer, with `scp`
/// and without `idtyp: app`.
pub(super) fn check_claims(tenant: Option<&str>, claims: &Map<String, Value>) -> Result<(), KindRefusal> {
    let broken = |rule| Err(KindRefusal::Claim { kind: IssuerKind::Azure, rule });
    let tid = claims.get("tid").and_then(Value::as_str);
    if tenant.is_some_and(|tenant| tid != Some(tenant)) {
        return broken("the configured tenant in tid");
    }
    if claims.contains_key("scp") {
        return broken("no scp: it is a user's token");
    }
    if claims.get("idtyp").is_some_and(|kind| kind.as_str() != Some("app")) {
        return broken("idtyp app, where it has one");
    }
    Ok(())
}

/// The key's `issuer` names the tenant whose tokens it signs, or `{tenantid}` for any: the tenant stands first in its
/// path in every form. A key of Microsoft's own tenants must not sign for this one.
pub(super) fn check_key_issuer(key_issuer: &str, claims: &Map<String, Value>) -> Result<(), KindRefusal> {
    let tid = claims.get("tid").and_then(Value::as_str);
    let tenant = key_issuer.strip_prefix("https://").and_then(|rest| rest.split('/').nth(1));
    if tenant.is_some_and(|tenant| tenant == "{tenantid}" || Some(tenant) == tid) {
        return Ok(());
    }
    Err(KindRefusal::Claim { kind: IssuerKind::Azure, rule: "a signing key whose own issuer is the tenant in tid" })
}
