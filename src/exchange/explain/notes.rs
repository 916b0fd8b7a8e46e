//! What an operator would look up next, for refusals before any policy is asked: from the issuers and keys as they are now.

use crate::diagnostic::did_you_mean;
use crate::issuer::{Issuer, Issuers};
use crate::key::{KeyStatus, Keys};
use crate::kind::NamedBy;
use crate::vocab::shown;

/// Most issuers that are listed.
const LISTED: usize = 20;
/// Longest text of a caller's that is compared and shown.
const MAX_CHARACTERS: usize = 256;

/// What a token said of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said<'a> {
    pub(super) issuer: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) key_id: Option<&'a str>,
}

/// What can be looked up.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) issuers: &'a Issuers,
    /// None, where only files are at hand.
    pub(super) keys: Option<&'a Keys>,
}

impl World<'_> {
    /// Notes on this cause; `issuer` is the one that was found, if one was.
    pub(super) fn notes(&self, cause: &str, said: Said<'_>, issuer: Option<&Issuer>) -> Vec<String> {
        match cause {
            "issuer.unknown" | "issuer.legacy_token" => self.unknown_issuer(said),
            "issuer.missing" | "issuer.malformed" => vec![self.configured(|_| true)],
            "issuer.trust_domain_unknown" => self.unknown_trust_domain(said),
            "issuer.shape" => vec![
                "a JWT-SVID is sent as urn:ietf:params:oauth:client-assertion-type:jwt-spiffe, every other token as \
                 urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                    .to_owned(),
            ],
            "key.unknown" | "key.ambiguous" | "key.algorithm" | "key.missing_kid" | "key.unavailable" => {
                self.keys_of(said, issuer)
            }
            "claims.audience" | "claims.additional_audience" => issuer.map(audiences).into_iter().collect(),
            "claims.lifetime" | "claims.expired" | "claims.not_yet_valid" | "claims.issued_in_future" => {
                issuer.map(times).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn unknown_issuer(&self, said: Said<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(iss) = said.issuer {
            let iss: String = iss.chars().take(MAX_CHARACTERS).collect();
            notes.push(format!("the token says its iss is {}", shown(&iss, MAX_CHARACTERS)));
            notes.extend(self.near(&iss));
        }
        notes.push(self.configured(|_| true));
        notes.extend(self.who_has(said.key_id, None));
        notes
    }

    /// The configured issuer that was probably meant.
    fn near(&self, iss: &str) -> Option<String> {
        let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
        let known = || {
            self.issuers
                .iter()
                .flat_map(|issuer| issuer.identifiers().iter().map(move |known| (issuer, known.as_str())))
        };
        if let Some((issuer, known)) = known().find(|(_, known)| plain(known) == plain(iss)) {
            let name = issuer.name();
            return Some(format!(
                "issuer {name} is {known}: they differ only by a final slash or capitals, and an iss is compared byte for byte"
            ));
        }
        let near = did_you_mean(iss, known().map(|(_, known)| known))?;
        let (issuer, _) = known().find(|(_, known)| *known == near)?;
        Some(format!("did you mean {near}, which is issuer {}?", issuer.name()))
    }

    fn unknown_trust_domain(&self, said: Said<'_>) -> Vec<String> {
        let is_spiffe = |issuer: &Issuer| matches!(issuer.kind().named_by, NamedBy::TrustDomain);
        let domain = said.subject.and_then(|subject| subject.strip_prefix("spiffe://")?.split('/').next());
        let mut notes = Vec::new();
        if let Some(domain) = domain {
            let domain: String = domain.chars().take(MAX_CHARACTERS).collect();
            notes.push(format!("the trust domain of sub is {}", shown(&domain, MAX_CHARACTERS)));
            let known = self.issuers.iter().filter(|issuer| is_spiffe(issuer)).map(|issuer| issuer.identifier());
            notes.extend(did_you_mean(&domain, known).map(|near| format!("did you mean {near}?")));
        }
        notes.push(self.configured(is_spiffe));
        notes
    }

    fn configured(&self, which: impl Fn(&Issuer) -> bool) -> String {
        let listed: Vec<String> = self
            .issuers
            .iter()
            .filter(|issuer| which(issuer))
            .map(|issuer| format!("{} ({})", issuer.name(), issuer.identifiers().join(", ")))
            .collect();
        let more = listed.len().saturating_sub(LISTED);
        let shown = listed.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
        match (listed.is_empty(), more) {
            (true, _) => "no such issuer is configured".to_owned(),
            (false, 0) => format!("configured: {shown}"),
            (false, more) => format!("configured: {shown}; and {more} more"),
        }
    }

    fn keys_of(&self, said: Said<'_>, issuer: Option<&Issuer>) -> Vec<String> {
        let statuses = self.keys.map(Keys::statuses).unwrap_or_default();
        let own = statuses.iter().find(|status| issuer.is_some_and(|issuer| *issuer.name() == status.issuer));
        let mut notes: Vec<String> =
            said.key_id.map(|id| format!("the header's kid is {}", shown(id, MAX_CHARACTERS))).into_iter().collect();
        notes.extend(own.map(key_status));
        notes.extend(self.who_has(said.key_id, issuer));
        notes
    }

    /// Another issuer that has the key: then the token, or the issuer it was configured under, is another's.
    fn who_has(&self, key_id: Option<&str>, except: Option<&Issuer>) -> Option<String> {
        let key_id = key_id?;
        let has = |status: &KeyStatus| {
            status.keys.iter().any(|key| key.id.as_ref().is_some_and(|id| id.as_str() == key_id))
                && except.is_none_or(|issuer| *issuer.name() != status.issuer)
        };
        let status = self.keys?.statuses().into_iter().find(has)?;
        Some(format!("issuer {} has a key with this kid now", status.issuer))
    }
}

fn key_status(status: &KeyStatus) -> String {
    let ids: Vec<&str> = status.keys.iter().filter_map(|key| key.id.as_ref()).map(|id| id.as_str()).collect();
    let time = |time: Option<crate::vocab::UnixTime>| time.map_or("never".to_owned(), |time| time.to_string());
    let mut text = format!(
        "issuer {} now has {}; last fetch {}",
        status.issuer,
        if ids.is_empty() { "no key with a kid".to_owned() } else { format!("the keys {}", ids.join(", ")) },
        time(status.last_fetch)
    );
    if status.next_fetch.is_some() {
        text.push_str(&format!(", next planned {}", time(status.next_fetch)));
    }
    if let Some(error) = &status.last_error {
        text.push_str(&format!("; the last try failed: {error}"));
    }
    text
}

fn audiences(issuer: &Issuer) -> String {
    let accepted: Vec<&str> = issuer.audiences().iter().map(crate::vocab::Audience::as_str).collect();
    format!("issuer {} accepts the audience {}", issuer.name(), accepted.join(" or "))
}

fn times(issuer: &Issuer) -> String {
    let (lifetime, leeway) = (issuer.max_lifetime().as_secs(), issuer.leeway().as_secs());
    format!("issuer {} accepts lifetimes up to {lifetime} s and clock differences up to {leeway} s", issuer.name())
}
