//! issuer: only a configured issuer, byte for byte; nobody else's keys are ever asked for.

use serde_json::{Value, json};

use crate::support::issuer::TestIssuer;
use crate::support::keys::TestKey;
use crate::support::platform::Platform;
use crate::support::setup::{Platforms, Setup};

fn rival() -> Platform {
    Platform::oidc().at("https://idp.rival.example").with_key(TestKey::rsa("rsa-b").named("rival-1"))
}

/// A second trusted issuer, whose policy admits the same subject as somebody else.
fn with_rival(setup: Setup, _: &Platforms) -> Setup {
    let same_id = rival().key.named("partner-1");
    setup.key_file("rival", "kind: oidc, url: https://idp.rival.example", &[&rival().key, &same_id]).policy(
        "rival-build",
        "policy: rival-build
issuer: rival
match: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }
user: rival-build
scopes: [\"service:my-api\"]
",
    )
}

rows! {
    "IS-01" an_issuer_nobody_configured_is_refused_and_never_contacted(row) {
        row.accepts("a configured one", row.partner().assertion()).await;
        let key = TestKey::rsa("rsa-b");
        let attacker = TestIssuer::start(&[&key]).await;
        let signed = |issuer: &str| row.partner().assertion().signed_by(&key).claim("iss", issuer);
        row.refuses("self-hosted", signed(&attacker.url()), "issuer.unknown").await;
        row.refuses("elsewhere", signed("https://attacker.example"), "issuer.unknown").await;
        row.refuses("metadata address", signed("http://169.254.169.254/"), "issuer.unknown").await;
        assert_eq!(attacker.hits(), 0, "a stranger's issuer was contacted");
    }

    "JC-18" a_template_is_no_tenant(row) {
        row.accepts("the tenant's own", row.broker.platforms.azure.assertion()).await;
        let tenant = "tenant: 6f8d2c51-3b0a-4e67-9c1e-5d1f0a2b7c94";
        for written in ["common", "organizations", "consumers", "\"{tenantid}\"", "acme.onmicrosoft.com"] {
            row.is_no_configuration(tenant, &format!("tenant: {written}"), "tenant").await;
        }
        for path in ["common", "organizations", "{tenantid}"] {
            let url = format!("url: \"https://login.microsoftonline.com/{path}/v2.0\"");
            row.is_no_configuration(tenant, &url, "tenant").await;
        }
        row.accepts("afterwards", row.broker.platforms.azure.assertion()).await;
    }

    "IS-02" an_issuer_that_only_begins_like_a_trusted_one_is_refused(row) {
        row.accepts("the trusted one", row.github().assertion()).await;
        let trusted = row.github().issuer().to_owned();
        for rest in [".evil.example", "/evil", "evil", ":8443", "/"] {
            let issuer = format!("{trusted}{rest}");
            row.refuses(&issuer, row.github().assertion().claim("iss", issuer.as_str()), "issuer.unknown").await;
        }
        for shorter in [&trusted[..trusted.len() - 1], "https://", "h"] {
            row.refuses(shorter, row.github().assertion().claim("iss", shorter), "issuer.unknown").await;
        }
    }

    "IS-03" user_information_beside_a_trusted_host_is_refused(row) {
        row.accepts("the trusted one", row.github().assertion()).await;
        let issuers = [
            "https://evil@token.actions.githubusercontent.com",
            "https://evil:pw@token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com@evil",
            "https://token.actions.githubusercontent.com%40evil",
            "https://@token.actions.githubusercontent.com",
        ];
        for issuer in issuers {
            row.refuses(issuer, row.github().assertion().claim("iss", issuer), "issuer.unknown").await;
        }
    }

    "IS-05" an_issuer_is_compared_without_normalization(row) {
        row.accepts("as configured", row.github().assertion()).await;
        let issuers = [
            "HTTPS://token.actions.githubusercontent.com",
            "https://TOKEN.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com:443",
            "https://token.actions.githubusercontent.com/",
            "https://token.actions.githubusercontent.com/.",
            "https://token.actions.githubusercontent.com/./",
            "https://token.actions.githubusercontent.com/a/..",
            "https://%74oken.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com.",
            "https://token.actions.githubusercontent.com?",
            "https://token.actions.githubusercontent.com#",
            " https://token.actions.githubusercontent.com",
            "https:token.actions.githubusercontent.com",
        ];
        for issuer in issuers {
            row.refuses(issuer, row.github().assertion().claim("iss", issuer), "issuer.unknown").await;
        }
    }

    "IS-06" a_homoglyph_of_an_issuer_is_refused(row) {
        row.accepts("as configured", row.github().assertion()).await;
        let issuers = [
            "https://t\u{43e}ken.actions.githubusercontent.com",
            "https://token\u{ff0e}actions.githubusercontent.com",
            "https://token\u{3002}actions.githubusercontent.com",
            "https://xn--tken-5cd.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com\u{200b}",
            "https://token.actions.g\u{131}thubusercontent.com",
            "https\u{ff1a}//token.actions.githubusercontent.com",
        ];
        for issuer in issuers {
            row.refuses(issuer, row.github().assertion().claim("iss", issuer), "issuer.unknown").await;
        }
    }

    "IS-08" an_issuer_is_there_and_is_text(row) {
        let valid = || row.partner().assertion();
        row.accepts("text", valid()).await;
        row.refuses("missing", valid().without("iss"), "issuer.missing").await;
        row.refuses("empty", valid().claim("iss", ""), "issuer.unknown").await;
        let trusted = row.partner().issuer();
        for iss in [json!(5), json!({ "url": trusted }), json!([trusted]), json!([[trusted]]), Value::Null, json!(true)] {
            row.refuses(&iss.to_string(), valid().claim("iss", iss.clone()), "issuer.malformed").await;
        }
    }

    "IS-09" one_issuer_s_key_never_signs_for_another(row, with_rival) {
        row.accepts("partner", row.partner().assertion()).await;
        row.accepts("rival", rival().assertion()).await;
        let crossed = row.partner().assertion().signed_by(&rival().key);
        row.refuses("the rival's kid", crossed, "key.unknown").await;
        let same_id = row.partner().assertion().signed_by(&rival().key.named("partner-1"));
        row.refuses("the same kid at both", same_id, "claims.signature").await;
        let other_way = rival().assertion().signed_by(&row.partner().key);
        row.refuses("the other way round", other_way, "claims.signature").await;
    }
}
