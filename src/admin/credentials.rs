//! Credentials: hand out a client secret or a long-lived access token once, rotate, disable, delete.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{AccessTokenRequest, AdminState, Asked, Body, Problem};
use crate::audit::ChangeEvent;
use crate::clock::random_bytes;
use crate::store::{Change, ChangeRefusal, CredentialKind, CredentialRecord, SecretRecord};
use crate::vocab::{CredentialName, Scope, Scopes, TokenId, UnixTime, UserName};
use crate::workload::credentials::{fresh_client_id, fresh_secret, with_new_secret};
use crate::yaml;

const DAY: Duration = Duration::from_secs(86_400);
/// How long a long-lived access token lives when the request does not say: a quarter of a year.
const TOKEN_LIFETIME: Duration = Duration::from_secs(90 * DAY.as_secs());
/// No long-lived access token lives longer: it cannot be taken back where only its signature is checked.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(365 * DAY.as_secs());
/// No client secret's expiry lies farther away; without `expires_in` it has none.
const MAX_SECRET_LIFETIME: Duration = Duration::from_secs(3650 * DAY.as_secs());
/// Longest time for which the secret before a rotation still works.
const MAX_OVERLAP: Duration = Duration::from_secs(30 * DAY.as_secs());

/// A credential as the API shows it: never its secret, nor the hash.
#[derive(Debug, Serialize)]
pub(super) struct CredentialView {
    name: CredentialName,
    client_id: String,
    user: UserName,
    #[serde(rename = "type")]
    kind: CredentialKind,
    scopes: Scopes,
    state: &'static str,
    created_at: String,
    expires_at: Option<String>,
    /// When each accepted secret was made and ends; several only while a rotation overlaps.
    secrets: Vec<SecretView>,
}

#[derive(Debug, Serialize)]
struct SecretView {
    created_at: String,
    expires_at: Option<String>,
}

impl CredentialView {
    fn new(credential: &CredentialRecord, now: UnixTime) -> CredentialView {
        let ended = |end: Option<UnixTime>| end.is_some_and(|end| end <= now);
        let secrets = credential.secrets.iter().filter(|secret| !ended(secret.expires_at));
        CredentialView {
            name: credential.name.clone(),
            client_id: credential.client_id.to_string(),
            user: credential.user.clone(),
            kind: credential.kind,
            scopes: credential.scopes.clone(),
            state: match (credential.disabled, ended(credential.expires_at)) {
                (true, _) => "disabled",
                (false, true) => "expired",
                (false, false) => "enabled",
            },
            created_at: credential.created_at.to_rfc3339(),
            expires_at: credential.expires_at.map(UnixTime::to_rfc3339),
            secrets: secrets
                .map(|secret| SecretView {
                    created_at: secret.created_at.to_rfc3339(),
                    expires_at: secret.expires_at.map(UnixTime::to_rfc3339),
                })
                .collect(),
        }
    }
}

/// A secret that is shown this once.
enum HandedOut {
    ClientSecret(SecretString),
    AccessToken(SecretString),
}

/// The credential, and what it hands out, in an answer that nothing may keep (RFC 6749 §5.1).
fn hand_out(status: StatusCode, view: CredentialView, secret: &HandedOut) -> Response {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        credential: CredentialView,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_secret: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        access_token: Option<&'a str>,
    }
    let (client_secret, access_token) = match secret {
        HandedOut::ClientSecret(secret) => (Some(secret.expose_secret()), None),
        HandedOut::AccessToken(token) => (None, Some(token.expose_secret())),
    };
    let shown = Shown { credential: view, client_secret, access_token };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response()
}

/// What a new credential needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    name: String,
    user: String,
    #[serde(rename = "type")]
    kind: Kind,
    expires_in: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Oauth2,
    AccessToken,
}

pub(super) async fn create(
    State(admin): State<AdminState>,
    Body(new): Body<NewCredential>,
) -> Result<Response, Problem> {
    let now = admin.clock.now();
    let kind = match new.kind {
        Kind::Oauth2 => CredentialKind::Oauth2,
        Kind::AccessToken => CredentialKind::AccessToken,
    };
    let scopes = new.scopes.iter().map(|scope| Scope::parse(scope)).collect::<Result<_, _>>()?;
    let mut credential = CredentialRecord {
        name: CredentialName::parse(&new.name)?,
        client_id: fresh_client_id()?,
        user: UserName::parse(&new.user)?,
        kind,
        scopes: Scopes::new(scopes),
        created_at: now,
        expires_at: lifetime(kind, new.expires_in.as_deref())?.map(|lifetime| now.plus(lifetime)),
        disabled: false,
        secrets: Vec::new(),
    };
    let (record, secret) = fresh(&admin, &credential, now)?;
    credential.secrets.push(record);
    let made = event("created", &credential).made(&admin.clock)?;
    let created = admin.store.change(Change::CreateCredential(credential.clone()), made).await;
    created.map_err(|refusal| match refusal {
        ChangeRefusal::Missing(_) => {
            Problem::missing(format!("{refusal}; create it first: countersign user create {}", credential.user))
        }
        other => other.into(),
    })?;
    tracing::info!(credential = %credential.name, user = %credential.user, "credential {} created", credential.name);
    Ok(hand_out(StatusCode::CREATED, CredentialView::new(&credential, now), &secret))
}

fn lifetime(kind: CredentialKind, asked: Option<&str>) -> Result<Option<Duration>, Problem> {
    let (default, longest) = match kind {
        CredentialKind::Oauth2 => (None, MAX_SECRET_LIFETIME),
        CredentialKind::AccessToken => (Some(TOKEN_LIFETIME), MAX_TOKEN_LIFETIME),
    };
    let Some(asked) = asked else { return Ok(default) };
    let asked = yaml::duration(asked).map_err(|rule| Problem::invalid(format!("expires_in {rule}")))?;
    if asked.is_zero() || asked > longest {
        let days = longest.as_secs() / DAY.as_secs();
        return Err(Problem::invalid(format!("expires_in must be more than 0s and at most {days}d")));
    }
    Ok(Some(asked))
}

/// A fresh secret for the credential as it is now, and the record that accepts it.
fn fresh(
    admin: &AdminState,
    credential: &CredentialRecord,
    now: UnixTime,
) -> Result<(SecretRecord, HandedOut), Problem> {
    let expires_at = credential.expires_at;
    let record = |hash| SecretRecord { hash, created_at: now, expires_at };
    if credential.kind == CredentialKind::Oauth2 {
        let secret = fresh_secret()?;
        return Ok((record(admin.hasher.hash_secret(&secret)), HandedOut::ClientSecret(secret)));
    }
    let token_id = TokenId::new(admin.clock.now_millis(), random_bytes()?);
    let hash = admin.hasher.hash_token_id(&token_id);
    let token = (admin.tokens)(&AccessTokenRequest {
        token_id,
        user: credential.user.clone(),
        credential: credential.name.clone(),
        client_id: credential.client_id.clone(),
        scopes: credential.scopes.clone(),
        issued_at: now,
        expires_at: expires_at.unwrap_or_else(|| now.plus(TOKEN_LIFETIME)),
    })?;
    Ok((record(hash), HandedOut::AccessToken(token)))
}

/// Which credentials are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    user: Option<String>,
}

/// All that match.
#[derive(Debug, Serialize)]
pub(super) struct CredentialList {
    credentials: Vec<CredentialView>,
}

pub(super) async fn list(
    State(admin): State<AdminState>,
    Asked(filter): Asked<Filter>,
) -> Result<Json<CredentialList>, Problem> {
    let user = filter.user.as_deref().map(UserName::parse).transpose()?;
    let all = admin.store.credentials().await?;
    let matching = all.iter().filter(|credential| user.as_ref().is_none_or(|user| credential.user == *user));
    let now = admin.clock.now();
    Ok(Json(CredentialList { credentials: matching.map(|credential| CredentialView::new(credential, now)).collect() }))
}

pub(super) async fn one(State(admin): State<AdminState>, name: Path<String>) -> Result<Json<CredentialView>, Problem> {
    let credential = find(&admin, &name).await?;
    Ok(Json(CredentialView::new(&credential, admin.clock.now())))
}

async fn find(admin: &AdminState, name: &str) -> Result<CredentialRecord, Problem> {
    let name = CredentialName::parse(name)?;
    let found = admin.store.credential(&name).await?;
    Ok(found.ok_or_else(|| ChangeRefusal::Missing(format!("credential {name}")))?)
}

/// How to rotate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// How long the secret before still works; not at all without it.
    overlap: Option<String>,
    /// The new secret's lifetime; as long as the one before without it.
    expires_in: Option<String>,
}

pub(super) async fn rotate(
    State(admin): State<AdminState>,
    name: Path<String>,
    Body(rotation): Body<Rotation>,
) -> Result<Response, Problem> {
    let overlap = match rotation.overlap.as_deref().map(yaml::duration).transpose() {
        Ok(overlap) => overlap.unwrap_or_default(),
        Err(rule) => return Err(Problem::invalid(format!("overlap {rule}"))),
    };
    if overlap > MAX_OVERLAP {
        return Err(Problem::invalid("overlap must be at most 30d"));
    }
    let _one_at_a_time = admin.changes.lock().await;
    let now = admin.clock.now();
    let old = find(&admin, &name).await?;
    let lifetime = match rotation.expires_in {
        Some(asked) => lifetime(old.kind, Some(&asked))?,
        None => lifetime_before(&old),
    };
    let renewed = CredentialRecord { expires_at: lifetime.map(|lifetime| now.plus(lifetime)), ..old.clone() };
    let (record, secret) = fresh(&admin, &renewed, now)?;
    let rotated =
        with_new_secret(old.clone(), record, overlap).map_err(|refusal| Problem::conflict(refusal.to_string()))?;
    update(&admin, "rotated", old, &rotated).await?;
    tracing::info!(credential = %rotated.name, "credential {} rotated", rotated.name);
    Ok(hand_out(StatusCode::OK, CredentialView::new(&rotated, now), &secret))
}

/// How long the newest secret was made for.
fn lifetime_before(credential: &CredentialRecord) -> Option<Duration> {
    let made_at = credential.secrets.iter().map(|secret| secret.created_at).max().unwrap_or(credential.created_at);
    credential.expires_at.map(|end| end.since(made_at))
}

pub(super) async fn disable(admin: State<AdminState>, name: Path<String>) -> Result<Json<CredentialView>, Problem> {
    set_disabled(&admin, &name, true).await
}

pub(super) async fn enable(admin: State<AdminState>, name: Path<String>) -> Result<Json<CredentialView>, Problem> {
    set_disabled(&admin, &name, false).await
}

async fn set_disabled(admin: &AdminState, name: &str, disabled: bool) -> Result<Json<CredentialView>, Problem> {
    let _one_at_a_time = admin.changes.lock().await;
    let old = find(admin, name).await?;
    let changed = CredentialRecord { disabled, ..old.clone() };
    update(admin, if disabled { "disabled" } else { "enabled" }, old, &changed).await?;
    tracing::info!(credential = %changed.name, credential.disabled = disabled, "credential {} changed", changed.name);
    Ok(Json(CredentialView::new(&changed, admin.clock.now())))
}

pub(super) async fn delete(State(admin): State<AdminState>, name: Path<String>) -> Result<StatusCode, Problem> {
    let old = find(&admin, &name).await?;
    let name = old.name.clone();
    let made = event("deleted", &old).made(&admin.clock)?;
    admin.store.change(Change::DeleteCredential(name.clone()), made).await?;
    tracing::info!(credential = %name, "credential {name} deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Writes a credential in place of what was read; one that somebody else changed meanwhile stays.
async fn update(
    admin: &AdminState,
    change: &'static str,
    from: CredentialRecord,
    to: &CredentialRecord,
) -> Result<(), Problem> {
    let made = event(change, to).made(&admin.clock)?;
    let change = Change::UpdateCredential { from: Some(Box::new(from)), to: Box::new(to.clone()) };
    Ok(admin.store.change(change, made).await.map(drop)?)
}

fn event(change: &'static str, credential: &CredentialRecord) -> ChangeEvent {
    let event = ChangeEvent::new("credential", change, "admin_api").user(&credential.user);
    event.fact("credential", credential.name.as_str()).fact("client_id", credential.client_id.as_str())
}
