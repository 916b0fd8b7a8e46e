//! Microsoft Entra ID: managed identities and service principals of one tenant, or of several that are listed. Never of
//! every tenant: what Microsoft writes as `{tenantid}` or `common` is this list here.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{HOUR, Identity, Kind, Lints, NamedBy, Shared, SingleUse, TenantPin, Workload};
use crate::vocab::{Algorithm, ClaimType};

pub(super) static KIND: Kind = Kind {
    name: "azure",
    named_by: NamedBy::Tenants { issuers, keys },
    shares_identifier: false,
    own_settings: &["tenant", "tenants", "cloud"],
    check_url,
    algorithms: &[Algorithm::RS256],
    closed_algorithms: None,
    claims: &CLAIMS,
    open: false,
    // The metadata service answers with the same token until it is nearly over, and there is no jti.
    single_use: SingleUse::Never,
    // 86,700 s have been seen on a managed identity's token.
    max_lifetime: Duration::from_secs(25 * HOUR),
    tenant_pin: Some(TenantPin {
        shared: Shared::ByConfiguredTenants,
        alternatives: &[&["tid"]],
        // Ids of an identity or an application; resources' names in xms_mirid are given again.
        narrower: &["oid", "sub", "azp", "appid"],
    }),
    immutable: &["tid", "oid"],
    names: &[("xms_mirid", "oid"), ("xms_az_rid", "oid"), ("app_displayname", "appid")],
    narrows: &[],
    subject: None,
    caller_chosen: &[],
    lints: Lints {
        workload: Some(Workload {
            noun: "identity",
            lint: "azure-identity",
            ids: &[&["tid", "oid"]],
            names: &[],
            others: &[],
        }),
        always: &["tid"],
        can_say,
        ..Lints::NONE
    },
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

/// Where Entra ID runs. Each cloud has its own tenants and hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Cloud {
    #[default]
    Public,
    UsGovernment,
    /// Operated by 21Vianet.
    China,
}

impl Cloud {
    /// Every cloud.
    pub const ALL: [Cloud; 3] = [Cloud::Public, Cloud::UsGovernment, Cloud::China];

    /// The name used in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Cloud::Public => "public",
            Cloud::UsGovernment => "us-government",
            Cloud::China => "china",
        }
    }

    /// The cloud with this configuration name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| cloud.name() == name)
    }

    /// Signs people and workloads in, has the keys, and is the `iss` of version 2 tokens.
    fn login(self) -> &'static str {
        match self {
            Cloud::Public => "https://login.microsoftonline.com",
            Cloud::UsGovernment => "https://login.microsoftonline.us",
            Cloud::China => "https://login.partner.microsoftonline.cn",
        }
    }

    /// The `iss` of version 1 tokens; the government's cloud never had one of its own.
    fn token_service(self) -> &'static str {
        match self {
            Cloud::Public | Cloud::UsGovernment => "https://sts.windows.net",
            Cloud::China => "https://sts.chinacloudapi.cn",
        }
    }
}

/// Which of the two a token has is the resource application's setting (its accepted token version), so a tenant has
/// both. The slash of the first belongs to it.
fn issuers(identity: &Identity<'_>) -> Vec<String> {
    let (service, login) = (identity.cloud.token_service(), identity.cloud.login());
    let of = |tenant: &String| [format!("{service}/{tenant}/"), format!("{login}/{tenant}/v2.0")];
    identity.tenants.iter().flat_map(of).collect()
}

/// Asked for directly: the metadata on this host names another issuer than the tokens of version 1 do. Several tenants
/// have one key set, in which a key says whose tokens it signs.
fn keys(identity: &Identity<'_>) -> Option<String> {
    let tenant = match identity.tenants {
        [] => return None,
        [one] => one,
        [_, _, ..] => "common",
    };
    Some(format!("{}/{tenant}/discovery/v2.0/keys", identity.cloud.login()))
}

/// A tenant's id in its canonical form.
///
/// # Errors
/// What is wrong with it.
pub fn tenant(text: &str) -> Result<String, &'static str> {
    if is_guid(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(match text {
        "common" | "organizations" | "consumers" | "{tenantid}" => {
            "lets every tenant in; must be your tenant's GUID (`az account show --query tenantId`)"
        }
        _ => "must be the tenant's GUID (`az account show --query tenantId`), not its name",
    })
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    lengths && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let shared = ["{", "/common/", "/organizations/", "/consumers/"];
    if shared.iter().any(|part| url.contains(part)) {
        return Err("must name one tenant by its GUID: the other forms let every tenant in");
    }
    Ok(())
}

/// The tenant must be a configured one and the one that `iss` names, and people stay out: their tokens come from the same
/// issuer.
fn check_claims(identity: &Identity<'_>, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let tid = text("tid");
    can_say(identity, "tid", tid.unwrap_or_default())?;
    let named = text("iss").and_then(first_in_path).filter(|part| is_guid(part));
    if named.is_some_and(|tenant| tid != Some(tenant)) {
        return Err("the tenant of its iss in tid");
    }
    if claims.contains_key("scp") {
        return Err("no scp: it is a user's token");
    }
    match claims.get("idtyp") {
        Some(kind) if kind.as_str() == Some("app") => Ok(()),
        Some(_) => Err("idtyp app, where it has one"),
        // Version 2 tokens have idtyp on request only. A person's sub is another one for each application.
        None if text("oid").is_some() && text("oid") == text("sub") => Ok(()),
        None => Err("idtyp app, or an oid that is its sub: without them it may be a user's token"),
    }
}

fn can_say(identity: &Identity<'_>, claim: &str, value: &str) -> Result<(), &'static str> {
    if claim == "tid" && !identity.tenants.is_empty() && !identity.tenants.iter().any(|tenant| tenant == value) {
        return Err("the configured tenant in tid");
    }
    Ok(())
}

/// The key's `issuer` names the tenant whose tokens it signs, or `{tenantid}` for any: the tenant stands first in its
/// path in every form. A key of Microsoft's own tenants must not sign for this one.
fn check_key_issuer(key_issuer: &str, claims: &Map<String, Value>) -> Result<(), &'static str> {
    let tid = claims.get("tid").and_then(Value::as_str);
    if first_in_path(key_issuer).is_some_and(|tenant| tenant == "{tenantid}" || Some(tenant) == tid) {
        return Ok(());
    }
    Err("a signing key whose own issuer is the tenant in tid")
}

/// Where every form of a tenant's issuer names the tenant.
fn first_in_path(issuer: &str) -> Option<&str> {
    issuer.split_once("://")?.1.split('/').nth(1)
}
