//! Exactly one client authentication method (RFC 6749 §2.3).
//!
//! In: a well-formed request and its `Authorization` header. Out: an assertion whose shape is sound, or a presented
//! secret. Not here: whether either is true; everything read from an assertion is named `unverified_*`.

mod assertion;
mod basic;
mod certificate;
mod secret;
mod throttle;

pub use assertion::{AssertionFault, AssertionShape, UnverifiedAssertion};
pub use certificate::{CertificateFault, UnverifiedCertificate};
pub use secret::PresentedSecret;
pub use throttle::{Throttle, Throttled};

use rustls::pki_types::CertificateDer;

use crate::request::{ClientParameters, Grant, GrantName, TokenRequest};

/// RFC 7523 §2.2.
pub const ASSERTION_TYPE_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// draft-ietf-oauth-spiffe-client-auth §3.1.
pub const ASSERTION_TYPE_JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// What the caller showed to prove who it is.
#[derive(Debug)]
pub enum Presented {
    /// A platform's identity token.
    Assertion(Box<UnverifiedAssertion>),
    /// A client id and secret.
    Secret(PresentedSecret),
    /// A client certificate, whose key the TLS handshake has proven.
    Certificate(Box<UnverifiedCertificate>),
}

/// How the caller authenticates, in the words of the metadata (RFC 8414 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    SecretBasic,
    SecretPost,
    JwtBearer,
    JwtSpiffe,
    /// A client certificate (draft-ietf-oauth-spiffe-client-auth §3.2).
    SpiffeX509,
    /// The grant's own assertion or subject token.
    Grant,
}

impl Method {
    /// Its name in the audit record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::SecretBasic => "client_secret_basic",
            Method::SecretPost => "client_secret_post",
            Method::JwtBearer => "private_key_jwt",
            Method::JwtSpiffe => "spiffe_jwt",
            Method::SpiffeX509 => "spiffe_x509",
            Method::Grant => "grant_assertion",
        }
    }
}

/// Why a request has no one usable authentication.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientAuthRefusal {
    /// More than one method (RFC 6749 §2.3).
    #[error("more than one authentication method")]
    SeveralMethods,
    /// `client_assertion` and `client_assertion_type` come together (RFC 7521 §4.2).
    #[error("{0} is missing beside its counterpart")]
    Incomplete(&'static str),
    /// `client_id` in the body differs from the Basic user.
    #[error("two different client ids")]
    TwoClientIds,
    /// Nothing to authenticate with.
    #[error("no authentication method")]
    None,
    /// Several `Authorization` headers, another scheme than Basic, or a malformed value.
    #[error("the Authorization header is not usable")]
    Authorization,
    /// A `client_assertion_type` we do not know.
    #[error("the client_assertion_type is not supported")]
    AssertionType,
    /// The assertion's shape.
    #[error(transparent)]
    Assertion(#[from] AssertionFault),
    /// The client certificate's shape.
    #[error(transparent)]
    Certificate(#[from] CertificateFault),
}

impl ClientAuthRefusal {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            ClientAuthRefusal::SeveralMethods => "client_auth.several_methods",
            ClientAuthRefusal::Incomplete(_) => "client_auth.incomplete",
            ClientAuthRefusal::TwoClientIds => "client_auth.two_client_ids",
            ClientAuthRefusal::None => "client_auth.none",
            ClientAuthRefusal::Authorization => "client_auth.authorization_header",
            ClientAuthRefusal::AssertionType => "client_auth.assertion_type",
            ClientAuthRefusal::Assertion(fault) => fault.cause(),
            ClientAuthRefusal::Certificate(fault) => fault.cause(),
        }
    }

    /// Whether the request itself is malformed, rather than its authentication failed.
    #[must_use]
    pub fn is_malformed_request(&self) -> bool {
        match self {
            ClientAuthRefusal::SeveralMethods | ClientAuthRefusal::Incomplete(_) | ClientAuthRefusal::TwoClientIds => {
                true
            }
            ClientAuthRefusal::None
            | ClientAuthRefusal::Authorization
            | ClientAuthRefusal::AssertionType
            | ClientAuthRefusal::Assertion(_)
            | ClientAuthRefusal::Certificate(_) => false,
        }
    }
}

/// Finds the one authentication method of a request; `authorization` holds the values of all `Authorization` headers,
/// `client_chain` the certificates of its connection. Those are a method only where there is no other: a service mesh
/// shows one on every connection, whatever the request says, so they cannot make two of one (RFC 6749 §2.3).
///
/// # Errors
/// See [`ClientAuthRefusal`].
pub fn presented(
    request: &TokenRequest,
    authorization: &[&[u8]],
    client_chain: &[Vec<u8>],
) -> Result<(Method, Presented), ClientAuthRefusal> {
    let client = request.client();
    let basic = basic::read(authorization, carries_assertion(request))?;
    let methods = usize::from(basic.is_some())
        + usize::from(client.secret.is_some())
        + usize::from(client.assertion.is_some() || client.assertion_type.is_some());
    // The assertion grants carry their own proof. A secret beside it is judged first (and then refused the grant).
    let grant_proof = grant_assertion(request.grant());
    if methods > 1 || (grant_proof.is_some() && client.assertion.is_some()) {
        return Err(ClientAuthRefusal::SeveralMethods);
    }
    if let Some(secret) = basic {
        if client.id.as_ref().is_some_and(|id| *id != secret.client_id) {
            return Err(ClientAuthRefusal::TwoClientIds);
        }
        return Ok((Method::SecretBasic, Presented::Secret(secret)));
    }
    if let Some(secret) = &client.secret {
        let client_id = client.id.clone().ok_or(ClientAuthRefusal::Incomplete("client_id"))?;
        return Ok((Method::SecretPost, Presented::Secret(PresentedSecret { client_id, secret: secret.clone() })));
    }
    if let Some(token) = grant_proof {
        let assertion = UnverifiedAssertion::parse(token, AssertionShape::Unsaid)?;
        return Ok((Method::Grant, Presented::Assertion(Box::new(assertion))));
    }
    if methods == 0 && !client_chain.is_empty() {
        return client_certificate(client, client_chain);
    }
    client_assertion(client)
}

/// The client secret of a request that may be made with nothing else.
///
/// # Errors
/// See [`ClientAuthRefusal`].
pub fn presented_secret(
    client: ClientParameters,
    authorization: &[&[u8]],
) -> Result<PresentedSecret, ClientAuthRefusal> {
    match (basic::read(authorization, false)?, client.secret, client.id) {
        (Some(_), Some(_), _) => Err(ClientAuthRefusal::SeveralMethods),
        (Some(secret), None, Some(id)) if id != secret.client_id => Err(ClientAuthRefusal::TwoClientIds),
        (Some(secret), None, _) => Ok(secret),
        (None, Some(secret), Some(client_id)) => Ok(PresentedSecret { client_id, secret }),
        (None, Some(_), None) => Err(ClientAuthRefusal::Incomplete("client_id")),
        (None, None, _) => Err(ClientAuthRefusal::None),
    }
}

fn carries_assertion(request: &TokenRequest) -> bool {
    request.client().assertion.is_some() || request.grant_name() != GrantName::ClientCredentials
}

fn grant_assertion(grant: &Grant) -> Option<&str> {
    match grant {
        Grant::ClientCredentials => None,
        Grant::JwtBearer(token) | Grant::TokenExchange(token) => Some(token),
    }
}

fn client_assertion(client: &ClientParameters) -> Result<(Method, Presented), ClientAuthRefusal> {
    let (token, assertion_type) = match (&client.assertion, &client.assertion_type) {
        (None, None) => return Err(ClientAuthRefusal::None),
        (Some(_), None) => return Err(ClientAuthRefusal::Incomplete("client_assertion_type")),
        (None, Some(_)) => return Err(ClientAuthRefusal::Incomplete("client_assertion")),
        (Some(token), Some(assertion_type)) => (token, assertion_type),
    };
    let (method, shape) = match assertion_type.as_str() {
        ASSERTION_TYPE_JWT_BEARER => (Method::JwtBearer, AssertionShape::JwtBearer),
        ASSERTION_TYPE_JWT_SPIFFE => (Method::JwtSpiffe, AssertionShape::JwtSpiffe),
        _ => return Err(ClientAuthRefusal::AssertionType),
    };
    Ok((method, Presented::Assertion(Box::new(UnverifiedAssertion::parse(token, shape)?))))
}

/// `client_id` is the certificate's SPIFFE ID (draft-ietf-oauth-spiffe-client-auth §3.2; RFC 8705 §2 has it required), so
/// that a connection's certificate speaks for a request only where the request says so.
fn client_certificate(client: &ClientParameters, chain: &[Vec<u8>]) -> Result<(Method, Presented), ClientAuthRefusal> {
    let client_id = client.id.as_ref().ok_or(CertificateFault::NoClientId)?;
    let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
    let certificate = UnverifiedCertificate::read(chain)?;
    if client_id.as_str() != certificate.unverified_id().to_string() {
        return Err(CertificateFault::ClientId.into());
    }
    Ok((Method::SpiffeX509, Presented::Certificate(Box::new(certificate))))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::request::RequestParts;

    fn outcome(body: &str, authorization: &[&str]) -> Result<(Method, Presented), ClientAuthRefusal> {
        let request = TokenRequest::parse(RequestParts {
            content_type: Some("application/x-www-form-urlencoded"),
            has_content_coding: false,
            query: None,
            body: body.as_bytes(),
        })
        .unwrap();
        let headers: Vec<&[u8]> = authorization.iter().map(|value| value.as_bytes()).collect();
        presented(&request, &headers, &[])
    }

    fn assertion() -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"a"}"#), part("{}"), part("signature"))
    }

    fn with_assertion() -> String {
        format!(
            "grant_type=client_credentials&client_assertion={}&client_assertion_type={ASSERTION_TYPE_JWT_BEARER}",
            assertion()
        )
    }

    #[test]
    fn one_method_is_one_method() {
        let basic = format!("bAsIc {}", STANDARD.encode("client:s%2Bcret"));
        let (method, shown) = outcome("grant_type=client_credentials&client_id=client", &[&basic]).unwrap();
        assert_eq!(method, Method::SecretBasic);
        let Presented::Secret(secret) = shown else { panic!("no secret") };
        assert_eq!(secret.secret.expose_secret(), "s+cret");
        let (method, _) = outcome("grant_type=client_credentials&client_id=c&client_secret=s", &[]).unwrap();
        assert_eq!(method, Method::SecretPost);
        assert_eq!(outcome(&with_assertion(), &[]).unwrap().0, Method::JwtBearer);
    }

    #[test]
    fn go_sends_an_empty_basic_header_first_and_it_counts_as_absent_beside_an_assertion() {
        assert_eq!(outcome(&with_assertion(), &["Basic Og=="]).unwrap().0, Method::JwtBearer);
        let alone = outcome("grant_type=client_credentials", &["Basic Og=="]);
        assert_eq!(alone.err(), Some(ClientAuthRefusal::Authorization));
    }

    #[test]
    fn two_methods_are_a_malformed_request() {
        let basic = format!("Basic {}", STANDARD.encode("client:secret"));
        let several = [
            outcome(&with_assertion(), &[&basic]),
            outcome("grant_type=client_credentials&client_id=c&client_secret=s", &[&basic]),
            outcome(&format!("{}&client_id=c&client_secret=s", with_assertion()), &[]),
        ];
        for result in several {
            assert_eq!(result.err(), Some(ClientAuthRefusal::SeveralMethods));
        }
    }

    #[test]
    fn an_unusable_authorization_header_fails_the_authentication() {
        for bad in ["Bearer x", "Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Basic OnNlY3JldA=="] {
            let refused = outcome("grant_type=client_credentials", &[bad]);
            assert_eq!(refused.err(), Some(ClientAuthRefusal::Authorization), "{bad}");
        }
        let twice = outcome("grant_type=client_credentials", &["Basic YTpi", "Basic YTpi"]);
        assert_eq!(twice.err(), Some(ClientAuthRefusal::Authorization));
    }

    #[test]
    fn an_assertion_and_its_type_come_together() {
        let alone = format!("grant_type=client_credentials&client_assertion={}", assertion());
        assert_eq!(outcome(&alone, &[]).err(), Some(ClientAuthRefusal::Incomplete("client_assertion_type")));
        let typed = format!("{alone}&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
        assert_eq!(outcome(&typed, &[]).err(), Some(ClientAuthRefusal::AssertionType));
    }
}
