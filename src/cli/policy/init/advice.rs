//! What `policy init` tells the author beside the files: what they rest on, and what would still refuse the token.

use serde_json::{Map, Value};

use super::Set;
use crate::cli::output::harmless;
use crate::diagnostic::Diagnostics;
use crate::issuer::Issuer;
use crate::kind::{NamedBy, likely, spiffe};
use crate::policy::Wish;
use crate::yaml::scalar_text;

/// The notes, one a paragraph.
pub(super) fn notes(
    set: &Set,
    (issuer, claims): (&Issuer, &Map<String, Value>),
    wish: &Wish,
    warnings: &Diagnostics,
) -> String {
    let unverified = "The token's signature was NOT verified: these are the values that it says. Compare them with what you \
                      know of the workload before you enforce the policy.";
    let mut notes = vec![unverified.to_owned()];
    notes.extend(audience(issuer, claims));
    if issuer.settings().disabled {
        notes.push(format!("Issuer `{}` is disabled: the policy admits nobody until it is enabled.", issuer.name()));
    }
    let same = set.policies.iter().find(|policy| policy.fixed_user() == Some(&wish.user));
    notes.extend(same.map(|policy| {
        let (user, other) = (&wish.user, policy.name());
        format!("`{user}` is also the user of policy `{other}`: the workload becomes the same user.")
    }));
    if !warnings.is_empty() {
        notes.push(warnings.to_string());
    }
    let scopes = if wish.scopes.is_empty() { "say in `scopes` what its tokens may carry, then run" } else { "run" };
    notes.push(format!("Next: {scopes} `countersign policy test --coverage`."));
    notes.join("\n\n")
}

/// What would refuse the token before any policy is asked, and is mended most often.
fn audience(issuer: &Issuer, claims: &Map<String, Value>) -> Option<String> {
    let found = audiences(claims);
    let is_accepted = |found: &str| issuer.audiences().iter().any(|accepted| accepted.as_str() == found);
    if found.iter().any(|one| is_accepted(one)) {
        return None;
    }
    let accepted: Vec<&str> = issuer.audiences().iter().map(|one| one.as_str()).collect();
    let (name, shown) = (issuer.name(), harmless(&found.join(", ")));
    let accepted = accepted.join(", ");
    Some(format!(
        "The token is for the audience {shown}, and `{name}` accepts {accepted}: ask the platform for that one, or the \
         broker refuses it (claims.audience)."
    ))
}

fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => vec!["(none)"],
    }
}

/// What to add to the configuration, when nobody trusts the token's issuer yet.
pub(super) fn unknown_issuer(set: &Set, claims: &Map<String, Value>) -> String {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let kind = likely(claims);
    let domain = text("sub").and_then(|sub| spiffe::parse_id(sub).ok()).map(|id| id.trust_domain_name().to_owned());
    let written = |value: &str| scalar_text(&Value::from(value)).unwrap_or_default();
    let settings = match (&kind.named_by, text("iss")) {
        (NamedBy::TrustDomain, _) => {
            let domain = domain.unwrap_or_default();
            format!(", trust_domain: {}, bundle: {{ url: WHERE_ITS_BUNDLE_IS, profile: https_web }}", written(&domain))
        }
        (NamedBy::Tenants { .. }, _) => format!(", tenant: {}", written(text("tid").unwrap_or_default())),
        (NamedBy::Url { default: Some(default) }, Some(iss)) if *default == iss => String::new(),
        (NamedBy::Url { .. }, Some(iss)) => format!(", url: {}", written(iss)),
        (NamedBy::Url { .. }, None) => return "the token has no iss, so no issuer can be found for it".to_owned(),
    };
    let shown = text("iss").or(text("sub")).map(harmless).unwrap_or_default();
    let file = set.config.file.display();
    let ours = set.config.issuer.as_str();
    let audience = match audiences(claims) {
        found if found.contains(&ours) => String::new(),
        found => format!(
            "\n\nIts audience is {}; the broker accepts its own issuer identifier, {ours}. Ask the platform for that, or \
             add `audiences` to the entry.",
            harmless(&found.join(", "))
        ),
    };
    format!(
        "no issuer is configured for {shown}. If you trust it, add to {file}:\n\nissuers:\n  {kind}: {{ kind: {kind}{settings} \
         }}{audience}"
    )
}
