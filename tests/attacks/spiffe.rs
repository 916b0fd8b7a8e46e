//! spiffe: placeholder.
use crate::row::Row;
use crate::support::assertion::Assertion;
use crate::support::faulty::FaultyIssuer;
use crate::support::JWT_SPIFFE;
use crate::support::wire::Request;

/// The settings of `mesh` with its bundle fetched from there.
pub fn fetched_from(issuer: &FaultyIssuer) -> String {
    format!(
        "{{ kind: spiffe, trust_domain: prod.acme.example, danger_allow_http: true, \
         bundle: {{ url: \"{}\", profile: https_web }} }}",
        issuer.keys_url()
    )
}

/// Signs in with a JWT-SVID.
pub fn svid(_: &Row, assertion: Assertion) -> Request {
    let assertion = assertion.compact();
    Request::token(&[
        ("grant_type", "client_credentials"),
        ("client_assertion_type", JWT_SPIFFE),
        ("client_assertion", &assertion),
    ])
}
