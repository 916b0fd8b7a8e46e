//! The parameters of a form, each at most once, and the request they make.

use super::{
    ClientParameters, GRANT_CLIENT_CREDENTIALS, GRANT_JWT_BEARER, GRANT_TOKEN_EXCHANGE, Grant, MAX_ASSERTION_BYTES,
    MAX_BODY_BYTES, RequestParts, RequestRefusal, TOKEN_TYPE_ACCESS_TOKEN, TokenRequest, form,
};
use crate::vocab::{Audience, ClientId, Scopes};

/// Most parameters in one body.
pub(super) const MAX_PARAMETERS: usize = 1000;

const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TOKEN_TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// Reads a form and holds it to its limits; what each endpoint needs of it is for the endpoint.
pub(super) fn read_form(parts: RequestParts<'_>) -> Result<Parameters, RequestRefusal> {
    if parts.has_content_coding {
        return Err(RequestRefusal::ContentCoding);
    }
    if !parts.content_type.is_some_and(form::is_utf8_form) {
        return Err(RequestRefusal::NotAForm);
    }
    if parts.query.is_some_and(|query| form::names(query).any(|name| Parameters::knows(&name))) {
        return Err(RequestRefusal::InQuery);
    }
    let parameters = Parameters::read(parts.body)?;
    parameters.check_size(parts.body.len())?;
    Ok(parameters)
}

/// The parameters we know, as they stand in the body.
#[derive(Default)]
pub(super) struct Parameters {
    grant_type: Option<String>,
    scope: Option<String>,
    assertion: Option<String>,
    subject_token: Option<String>,
    subject_token_type: Option<String>,
    requested_token_type: Option<String>,
    has_actor: bool,
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion: Option<String>,
    client_assertion_type: Option<String>,
    pub(super) token: Option<String>,
    targets: Vec<(&'static str, String)>,
}

/// Parameters that may stand once (RFC 6749 §3.2 and erratum 5708, RFC 7521 §4.2, RFC 8693 §2.1).
pub(super) const SINGLE: [&str; 14] = [
    "grant_type",
    "scope",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "assertion",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "actor_token",
    "actor_token_type",
    "token",
    "token_type_hint",
];

impl Parameters {
    fn knows(name: &str) -> bool {
        SINGLE.contains(&name) || name == "resource" || name == "audience"
    }

    fn read(body: &[u8]) -> Result<Parameters, RequestRefusal> {
        let mut read = Parameters::default();
        let mut seen: u16 = 0;
        for (index, pair) in form::pairs(body).enumerate() {
            if index >= MAX_PARAMETERS {
                return Err(RequestRefusal::TooLarge);
            }
            let (name, value) = pair?;
            if let Some((bit, known)) = SINGLE.iter().enumerate().find(|(_, known)| **known == name) {
                if seen & (1 << bit) != 0 {
                    return Err(RequestRefusal::Repeated(known));
                }
                seen |= 1 << bit;
            }
            // RFC 6749 §3.2: a parameter with no value counts as absent.
            if !value.is_empty() {
                read.set(&name, value.into_owned());
            }
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: String) {
        let slot = match name {
            "grant_type" => &mut self.grant_type,
            "scope" => &mut self.scope,
            "assertion" => &mut self.assertion,
            "subject_token" => &mut self.subject_token,
            "subject_token_type" => &mut self.subject_token_type,
            "requested_token_type" => &mut self.requested_token_type,
            "client_id" => &mut self.client_id,
            "client_secret" => &mut self.client_secret,
            "client_assertion" => &mut self.client_assertion,
            "client_assertion_type" => &mut self.client_assertion_type,
            "token" => &mut self.token,
            "actor_token" | "actor_token_type" => {
                self.has_actor = true;
                return;
            }
            "resource" => return self.targets.push(("resource", value)),
            "audience" => return self.targets.push(("audience", value)),
            _ => return,
        };
        *slot = Some(value);
    }

    /// A body over the limit is refused; when what is too large is an assertion by itself, that is a failed
    /// authentication, and the next stage says so.
    fn check_size(&self, body_bytes: usize) -> Result<(), RequestRefusal> {
        let assertions = [&self.client_assertion, &self.assertion, &self.subject_token].into_iter().flatten();
        let oversized = assertions.map(String::len).filter(|length| *length > MAX_ASSERTION_BYTES).max();
        if body_bytes.saturating_sub(oversized.unwrap_or(0)) > MAX_BODY_BYTES || body_bytes > 2 * MAX_BODY_BYTES {
            return Err(RequestRefusal::TooLarge);
        }
        Ok(())
    }

    pub(super) fn client(&mut self) -> Result<ClientParameters, RequestRefusal> {
        let id = self.client_id.take().map(|id| ClientId::parse(&id).map_err(|_| RequestRefusal::Value("client_id")));
        Ok(ClientParameters {
            id: id.transpose()?,
            secret: self.client_secret.take().map(secrecy::SecretString::from),
            assertion_type: self.client_assertion_type.take(),
            assertion: self.client_assertion.take(),
        })
    }

    pub(super) fn into_request(mut self) -> Result<TokenRequest, RequestRefusal> {
        let targets = self.targets.iter().map(|(name, value)| target(name, value)).collect::<Result<_, _>>()?;
        let scopes = match &self.scope {
            Some(scope) => Some(Scopes::parse_wire(scope).map_err(|_| RequestRefusal::Scope)?),
            None => None,
        };
        let client = self.client()?;
        let grant = match self.grant_type.as_deref() {
            None => return Err(RequestRefusal::Missing("grant_type")),
            Some(GRANT_CLIENT_CREDENTIALS) => Grant::ClientCredentials,
            Some(GRANT_JWT_BEARER) => Grant::JwtBearer(self.assertion.ok_or(RequestRefusal::Missing("assertion"))?),
            Some(GRANT_TOKEN_EXCHANGE) => {
                check_exchange(
                    self.has_actor,
                    self.subject_token_type.as_deref(),
                    self.requested_token_type.as_deref(),
                )?;
                Grant::TokenExchange(self.subject_token.ok_or(RequestRefusal::Missing("subject_token"))?)
            }
            Some(_) => return Err(RequestRefusal::UnsupportedGrant),
        };
        Ok(TokenRequest { grant, client, scopes, targets })
    }
}

/// RFC 8693 §2.1 and §2.2.2. Delegation (`actor_token`) is not offered, so asking for it is refused, not ignored.
fn check_exchange(
    has_actor: bool,
    subject_token_type: Option<&str>,
    requested_token_type: Option<&str>,
) -> Result<(), RequestRefusal> {
    if has_actor {
        return Err(RequestRefusal::Value("actor_token"));
    }
    match subject_token_type {
        Some(TOKEN_TYPE_JWT | TOKEN_TYPE_ID_TOKEN) => {}
        Some(_) => return Err(RequestRefusal::Value("subject_token_type")),
        None => return Err(RequestRefusal::Missing("subject_token_type")),
    }
    match requested_token_type {
        None | Some(TOKEN_TYPE_ACCESS_TOKEN | TOKEN_TYPE_JWT) => Ok(()),
        Some(_) => Err(RequestRefusal::Value("requested_token_type")),
    }
}

/// RFC 8707 §2: a `resource` is an absolute URI without fragment; an `audience` is any name.
fn target(name: &str, value: &str) -> Result<Audience, RequestRefusal> {
    if name == "resource" && (value.contains('#') || url::Url::parse(value).is_err()) {
        return Err(RequestRefusal::Target);
    }
    Audience::parse(value).map_err(|_| RequestRefusal::Target)
}
