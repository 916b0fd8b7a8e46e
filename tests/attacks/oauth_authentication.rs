//! oauth-http, client authentication: exactly one method, and one answer to every failure.

use countersign::store::UserState;

use crate::support::keys::TestKey;
use crate::support::wire::Request;
use crate::support::{JWT_BEARER, JWT_SPIFFE};

const SECRET_ONLY: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// A request without any authentication.
fn bare() -> Request {
    Request::token(&SECRET_ONLY)
}

rows! {
    "OA-18" basic_and_a_secret_in_the_body_are_two_methods(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        row.accepts("Basic", bare().basic(&client.client_id, &client.secret)).await;
        let own = [("client_id", client.client_id.as_str()), ("client_secret", client.secret.as_str())];
        let post = Request::token(&[SECRET_ONLY.as_slice(), &own].concat());
        row.accepts("post", post.clone()).await;
        let both = post.clone().basic(&client.client_id, &client.secret);
        row.refuses("the same secret", both, "client_auth.several_methods").await;
        let other = post.basic("another", "thing");
        row.refuses("another secret", other, "client_auth.several_methods").await;
    }

    "OA-19" a_secret_and_an_assertion_are_two_methods(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        row.accepts("an assertion", row.partner().assertion()).await;
        let with = |more: &[(&str, &str)]| row.broker.token_request(&row.partner().assertion().compact(), more);
        let own = [("client_id", client.client_id.as_str()), ("client_secret", client.secret.as_str())];
        row.refuses("in the body", with(&own), "client_auth.several_methods").await;
        let basic = with(&[]).basic(&client.client_id, &client.secret);
        row.refuses("Basic", basic, "client_auth.several_methods").await;
        row.accepts("Go's empty Basic counts as absent", with(&[]).header("Authorization", "Basic Og==")).await;
    }

    "OA-21" basic_and_the_same_client_id_in_the_body_agree(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        let naming = |id: &str| {
            let fields = [SECRET_ONLY.as_slice(), &[("client_id", id)]].concat();
            Request::token(&fields).basic(&client.client_id, &client.secret)
        };
        row.accepts("the same", naming(&client.client_id)).await;
        let malformed = (400, "invalid_request");
        row.refuses_as(malformed, "another", naming("another"), "client_auth.two_client_ids").await;
    }

    "OA-23" an_assertion_and_its_type_come_together(row) {
        let assertion = || row.partner().assertion().compact();
        row.accepts("both", assertion()).await;
        let alone = [SECRET_ONLY[0], ("client_assertion", &assertion())];
        row.refuses("no type", Request::token(&alone), "client_auth.incomplete").await;
        let empty = [SECRET_ONLY[0], ("client_assertion", &assertion()), ("client_assertion_type", "")];
        row.refuses("an empty type", Request::token(&empty), "client_auth.incomplete").await;
        let alone = [SECRET_ONLY[0], ("client_assertion_type", JWT_BEARER)];
        row.refuses("no assertion", Request::token(&alone), "client_auth.incomplete").await;
        let empty = [SECRET_ONLY[0], ("client_assertion_type", JWT_BEARER), ("client_assertion", "")];
        row.refuses("an empty assertion", Request::token(&empty), "client_auth.incomplete").await;
    }

    "OA-24" an_unknown_assertion_type_is_refused(row) {
        let typed = |kind: &str| {
            let assertion = row.partner().assertion().compact();
            Request::token(&[SECRET_ONLY[0], ("client_assertion_type", kind), ("client_assertion", &assertion)])
        };
        row.accepts("jwt-bearer", typed(JWT_BEARER)).await;
        for kind in [
            "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
            "foo",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "URN:IETF:PARAMS:OAUTH:CLIENT-ASSERTION-TYPE:JWT-BEARER",
        ] {
            row.refuses(kind, typed(kind), "client_auth.assertion_type").await;
        }
        row.refuses("jwt-spiffe", typed(JWT_SPIFFE), "issuer.shape").await;
    }

    "OA-25" one_value_holds_one_assertion(row) {
        let assertion = || row.partner().assertion().compact();
        row.accepts("one", assertion()).await;
        for separator in [" ", ",", ", ", "&"] {
            let two = format!("{}{separator}{}", assertion(), assertion());
            row.refuses(separator, two, "assertion.not_compact").await;
        }
    }

    "OA-26" a_request_without_authentication_is_refused(row) {
        row.accepts("an assertion", row.partner().assertion()).await;
        row.refuses("grant_type only", bare(), "client_auth.none").await;
        let named = Request::token(&[SECRET_ONLY[0], ("client_id", "partner-build")]);
        row.refuses("only a name", named, "client_auth.none").await;
    }

    "OA-27" a_bearer_token_is_no_client_authentication(row) {
        let reply = row.accepts("an assertion", row.partner().assertion()).await;
        let access_token = reply.access_token();
        let svid = row.broker.platforms.spiffe.assertion().compact();
        for token in [access_token, svid, row.partner().assertion().compact()] {
            let bearer = bare().header("Authorization", &format!("Bearer {token}"));
            row.refuses("Bearer", bearer, "client_auth.authorization_header").await;
        }
    }

    "OA-28" a_malformed_basic_header_is_refused(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        let valid = || bare().basic(&client.client_id, &client.secret);
        row.accepts("well formed", valid()).await;
        for value in ["Basic", "Basic ", "Basic bm9jb2xvbg==", "Basic !!!!", "Basic OnNlY3JldA==", "Basic Og==", "x"] {
            let request = bare().header("Authorization", value);
            row.refuses(value, request, "client_auth.authorization_header").await;
        }
        let twice = valid().basic(&client.client_id, &client.secret);
        row.refuses("two headers", twice, "client_auth.authorization_header").await;
        let broken = bare().basic(&format!("%ZZ{}", client.client_id), &client.secret);
        row.refuses("broken form-encoding", broken, "client_auth.authorization_header").await;
    }

    "OA-30" the_basic_scheme_is_compared_without_case(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        let pair = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{}:{}", client.client_id, client.secret),
        );
        for scheme in ["Basic", "basic", "BASIC", "bAsIc"] {
            row.accepts(scheme, bare().header("authorization", &format!("{scheme} {pair}"))).await;
        }
    }

    "OA-36" nothing_can_be_learnt_from_a_refusal(row) {
        let client = row.broker.credential("secret", "partner-build").await;
        let idle = row.broker.credential("idle", "idle-user").await;
        let secret = |id: &str, secret: &str| {
            Request::token(&[SECRET_ONLY[0], ("client_id", id), ("client_secret", secret)])
        };
        row.accepts("a secret", secret(&client.client_id, &client.secret)).await;
        row.accepts("an assertion", row.partner().assertion()).await;
        row.broker.set_user_state("idle-user", UserState::Disabled).await;
        row.refuses("an unknown client", secret("nobody", &client.secret), "secret.unknown_client").await;
        row.refuses("a wrong secret", secret(&client.client_id, &idle.secret), "secret.wrong").await;
        row.refuses("a disabled user", secret(&idle.client_id, &idle.secret), "workload.user_disabled").await;
        let forged = row.partner().assertion().secretly_signed_by(&TestKey::rsa("rsa-b"));
        row.refuses("a bad signature", forged, "claims.signature").await;
        row.refuses("no policy", row.partner().assertion().claim("sub", "nobody"), "policy.none").await;
        let stranger = row.partner().assertion().claim("iss", "https://stranger.example");
        row.refuses("an unknown issuer", stranger, "issuer.unknown").await;
        row.refuses("no assertion at all", "x".to_owned(), "assertion.not_compact").await;
    }

    "OA-43" certificate_headers_from_a_stranger_mean_nothing(row) {
        row.accepts("an assertion", row.partner().assertion()).await;
        let headers = [
            ("X-Client-Cert", "MIIB"),
            ("X-Forwarded-Client-Cert", "Hash=ab;URI=spiffe://prod.acme.example/ns/payments/sa/api"),
            ("ssl-client-verify", "SUCCESS"),
            ("Client-Cert", ":MIIB:"),
            ("X-SSL-Client-S-DN", "CN=partner-build"),
            ("X-Countersign-User", "partner-build"),
        ];
        for (name, value) in headers {
            row.refuses(name, bare().header(name, value), "client_auth.none").await;
        }
    }
}
