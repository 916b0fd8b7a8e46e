//! One well-formed OAuth request, each parameter once.
//!
//! In: the body of `POST /oauth2/token`. Out: [`TokenRequest`]. Proves: it is a form, every parameter we know stands
//! once, and the grant's own parameters are there. Leaves unchecked: everything the parameters claim.

mod form;
mod parameters;

use crate::vocab::{Audience, ClientId, Scopes};

pub(crate) use form::decode as decode_form_text;

/// Largest accepted body. Assertions are at most 16 KiB; the rest is room for parameters we ignore.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Longest assertion: an Entra token with 200 groups still fits.
pub const MAX_ASSERTION_BYTES: usize = 16 * 1024;

const GRANT_CLIENT_CREDENTIALS: &str = "client_credentials";
/// RFC 7523 §2.1.
const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1.
const GRANT_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3.
pub const TOKEN_TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A well-formed token request.
pub struct TokenRequest {
    grant: Grant,
    client: ClientParameters,
    scopes: Option<Scopes>,
    targets: Vec<Audience>,
}

/// How the caller asks.
pub enum Grant {
    /// RFC 6749 §4.4: the client itself is the workload.
    ClientCredentials,
    /// RFC 7523 §2.1, with its `assertion`.
    JwtBearer(String),
    /// RFC 8693 §2.1, with its `subject_token`.
    TokenExchange(String),
}

/// What a grant is called, without what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum GrantName {
    ClientCredentials,
    JwtBearer,
    TokenExchange,
}

impl GrantName {
    /// The `grant_type` value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            GrantName::ClientCredentials => GRANT_CLIENT_CREDENTIALS,
            GrantName::JwtBearer => GRANT_JWT_BEARER,
            GrantName::TokenExchange => GRANT_TOKEN_EXCHANGE,
        }
    }

    /// Every grant, as the metadata lists them.
    pub const ALL: [GrantName; 3] = [GrantName::ClientCredentials, GrantName::JwtBearer, GrantName::TokenExchange];
}

impl serde::Serialize for GrantName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The client authentication parameters of the body, none of them judged yet.
#[derive(Default)]
pub struct ClientParameters {
    /// `client_id`.
    pub id: Option<ClientId>,
    /// `client_secret`.
    pub secret: Option<secrecy::SecretString>,
    /// `client_assertion_type`.
    pub assertion_type: Option<String>,
    /// `client_assertion`.
    pub assertion: Option<String>,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenRequest").field("grant", &self.grant_name()).finish_non_exhaustive()
    }
}

/// Why a body is no well-formed token request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The content type is not a UTF-8 form.
    #[error("the content type is not application/x-www-form-urlencoded in UTF-8")]
    NotAForm,
    /// The body is compressed.
    #[error("the body has a content coding")]
    ContentCoding,
    /// Broken percent-encoding, not UTF-8, or a control character.
    #[error("a parameter is not well-formed text")]
    Malformed,
    /// A parameter stands twice.
    #[error("the parameter {0} stands twice")]
    Repeated(&'static str),
    /// A parameter that belongs in the body stands in the query.
    #[error("a parameter stands in the query string")]
    InQuery,
    /// The body or the number of parameters is too large.
    #[error("the body is too large")]
    TooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// Too many large bodies are being read at this moment.
    #[error("too many large bodies at once")]
    Busy,
    /// A parameter that the grant needs is absent.
    #[error("the parameter {0} is missing")]
    Missing(&'static str),
    /// A parameter has a value that no one can mean.
    #[error("the parameter {0} has an unacceptable value")]
    Value(&'static str),
    /// A grant we do not offer.
    #[error("the grant type is not offered")]
    UnsupportedGrant,
    /// `scope` breaks the grammar of RFC 6749 §3.3.
    #[error("the scope is malformed")]
    Scope,
    /// `resource` or `audience` is no usable target (RFC 8707 §2).
    #[error("the resource or audience is malformed")]
    Target,
}

impl RequestRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            RequestRefusal::NotAForm => "request.not_a_form",
            RequestRefusal::ContentCoding => "request.content_coding",
            RequestRefusal::Malformed => "request.malformed",
            RequestRefusal::Repeated(_) => "request.repeated_parameter",
            RequestRefusal::InQuery => "request.parameter_in_query",
            RequestRefusal::TooLarge => "request.too_large",
            RequestRefusal::TimedOut => "request.timed_out",
            RequestRefusal::Busy => "request.busy",
            RequestRefusal::Missing(_) => "request.missing_parameter",
            RequestRefusal::Value(_) => "request.parameter_value",
            RequestRefusal::UnsupportedGrant => "request.unsupported_grant",
            RequestRefusal::Scope => "request.scope",
            RequestRefusal::Target => "request.target",
        }
    }
}

/// The body and the headers that say what it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestParts<'a> {
    /// `Content-Type`, when it stands once.
    pub content_type: Option<&'a str>,
    /// Whether there is a `Content-Encoding` other than `identity`.
    pub has_content_coding: bool,
    /// The URL's query, without `?`.
    pub query: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

impl TokenRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// See [`RequestRefusal`].
    pub fn parse(parts: RequestParts<'_>) -> Result<TokenRequest, RequestRefusal> {
        parameters::read_form(parts)?.into_request()
    }

    /// The grant.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The grant's name.
    #[must_use]
    pub fn grant_name(&self) -> GrantName {
        match self.grant {
            Grant::ClientCredentials => GrantName::ClientCredentials,
            Grant::JwtBearer(_) => GrantName::JwtBearer,
            Grant::TokenExchange(_) => GrantName::TokenExchange,
        }
    }

    /// The client authentication parameters.
    #[must_use]
    pub fn client(&self) -> &ClientParameters {
        &self.client
    }

    /// The scopes asked for; `None` means all that are granted.
    #[must_use]
    pub fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }

    /// The `resource` and `audience` values (RFC 8707 §2, RFC 8693 §2.1); none means the default.
    #[must_use]
    pub fn targets(&self) -> &[Audience] {
        &self.targets
    }
}

/// A request about a token: introspection (RFC 7662 §2.1) or revocation (RFC 7009 §2.1).
pub struct TokenQuestion {
    /// The token asked about.
    pub token: String,
    /// The client authentication parameters.
    pub client: ClientParameters,
}

impl TokenQuestion {
    /// Reads a request; the hint of the token's type changes nothing and is ignored.
    ///
    /// # Errors
    /// See [`RequestRefusal`].
    pub fn parse(parts: RequestParts<'_>) -> Result<TokenQuestion, RequestRefusal> {
        let mut parameters = parameters::read_form(parts)?;
        let token = parameters.token.take().ok_or(RequestRefusal::Missing("token"))?;
        Ok(TokenQuestion { token, client: parameters.client()? })
    }
}

impl std::fmt::Debug for TokenQuestion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenQuestion").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::parameters::{MAX_PARAMETERS, SINGLE};
    use super::*;

    fn parse(body: &str) -> Result<TokenRequest, RequestRefusal> {
        TokenRequest::parse(RequestParts {
            content_type: Some("application/x-www-form-urlencoded"),
            has_content_coding: false,
            query: None,
            body: body.as_bytes(),
        })
    }

    fn refusal(body: &str) -> RequestRefusal {
        parse(body).err().unwrap()
    }

    #[test]
    fn a_known_parameter_stands_once_and_unknown_ones_do_not_matter() {
        assert!(parse("grant_type=client_credentials&x=1&x=2&resource=https://a&resource=https://b").is_ok());
        for name in SINGLE {
            let body = format!("grant_type=client_credentials&{name}=a&{name}=a");
            assert!(matches!(refusal(&body), RequestRefusal::Repeated(_)), "{name}");
        }
    }

    #[test]
    fn an_empty_parameter_counts_as_absent() {
        assert_eq!(refusal("grant_type="), RequestRefusal::Missing("grant_type"));
        assert!(parse("grant_type=client_credentials&scope=&client_id=").unwrap().scopes().is_none());
    }

    #[test]
    fn each_grant_needs_its_own_parameters() {
        let exchange = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=t";
        let jwt = "urn:ietf:params:oauth:token-type:jwt";
        assert_eq!(refusal(exchange), RequestRefusal::Missing("subject_token_type"));
        assert!(parse(&format!("{exchange}&subject_token_type={jwt}")).is_ok());
        let refused = refusal(&format!("{exchange}&subject_token_type={jwt}&actor_token=a"));
        assert_eq!(refused, RequestRefusal::Value("actor_token"));
        assert_eq!(
            refusal("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer"),
            RequestRefusal::Missing("assertion")
        );
        assert_eq!(refusal("grant_type=CLIENT_CREDENTIALS"), RequestRefusal::UnsupportedGrant);
    }

    #[test]
    fn a_body_is_too_large_unless_the_assertion_is() {
        let padding = "x".repeat(MAX_BODY_BYTES);
        assert_eq!(refusal(&format!("grant_type=client_credentials&p={padding}")), RequestRefusal::TooLarge);
        assert!(parse(&format!("grant_type=client_credentials&client_assertion={padding}")).is_ok());
        let many = "a=b&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(refusal(&many), RequestRefusal::TooLarge);
    }

    #[test]
    fn a_target_is_an_absolute_uri_without_fragment() {
        assert!(parse("grant_type=client_credentials&resource=https://a.example/x").is_ok());
        for bad in ["a", "https://a.example/%23f", "/path"] {
            assert_eq!(refusal(&format!("grant_type=client_credentials&resource={bad}")), RequestRefusal::Target);
        }
    }
}
