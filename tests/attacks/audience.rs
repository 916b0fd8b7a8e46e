//! audience: our issuer identifier (or what the issuer's configuration says), alone, byte for byte.

use serde_json::{Value, json};

use crate::support::BROKER;
use crate::support::keys::TestKey;
use crate::support::platform::Platform;
use crate::support::setup::{Platforms, Setup};

const TENANT_B: &str = "https://tenant-b.example";

fn tenant_b() -> Platform {
    Platform::oidc().at("https://idp.tenant-b.example").with_key(TestKey::rsa("rsa-b").named("tenant-b-1"))
}

fn with_tenant_b(setup: Setup, _: &Platforms) -> Setup {
    let settings = format!("kind: oidc, url: https://idp.tenant-b.example, audiences: [\"{TENANT_B}\"]");
    setup.platform("tenant-b", &settings, &tenant_b()).policy(
        "tenant-b",
        "policy: tenant-b
issuer: tenant-b
match: { sub: e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10 }
user: tenant-b
scopes: [\"service:my-api\"]
",
    )
}

rows! {
    "AU-01" an_audience_is_there_and_has_a_value(row) {
        let valid = || row.partner().assertion();
        row.accepts("our identifier", valid()).await;
        row.refuses("missing", valid().without("aud"), "claims.malformed").await;
        for aud in [Value::Null, json!(5), json!({ "0": BROKER }), json!(true), json!([BROKER, 5]), json!([[BROKER]])] {
            row.refuses(&aud.to_string(), valid().claim("aud", aud.clone()), "claims.malformed").await;
        }
        for aud in [json!(""), json!([]), json!([""])] {
            row.refuses(&aud.to_string(), valid().claim("aud", aud.clone()), "claims.audience").await;
        }
    }

    "AU-02" another_service_s_audience_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("our identifier", valid()).await;
        let other = valid().claim("aud", "https://vault.example");
        row.refuses("another service", other, "claims.audience").await;
        let among = valid().claim("aud", json!([BROKER, "https://vault.example"]));
        row.refuses("ours among others", among, "claims.additional_audience").await;
    }

    "AU-04" a_list_of_one_is_an_audience(row) {
        row.accepts("oidc", row.partner().assertion().claim("aud", json!([BROKER]))).await;
        row.accepts("Kubernetes", row.broker.platforms.kubernetes.assertion()).await;
    }

    "AU-05" the_token_endpoint_is_no_audience(row) {
        let valid = || row.partner().assertion();
        row.accepts("our identifier", valid()).await;
        for path in ["/oauth2/token", "/token"] {
            let endpoint = valid().claim("aud", format!("{BROKER}{path}"));
            row.refuses(path, endpoint, "claims.audience").await;
        }
    }

    "AU-06" an_audience_injected_by_another_server_s_metadata_is_refused(row) {
        let valid = || row.partner().assertion();
        row.accepts("our identifier", valid()).await;
        let victim = valid().claim("aud", "https://victim-broker.example/oauth2/token");
        row.refuses("a victim's endpoint", victim, "claims.audience").await;
        let ours_as_victim = valid().claim("aud", json!([format!("{BROKER}/oauth2/token"), "https://attacker.example"]));
        row.refuses("ours beside an attacker", ours_as_victim, "claims.audience").await;
        for pair in [json!([BROKER, "https://attacker.example"]), json!(["https://attacker.example", BROKER])] {
            row.refuses("two audiences", valid().claim("aud", pair), "claims.additional_audience").await;
        }
    }

    "AU-08" an_audience_is_compared_without_normalization(row) {
        let valid = || row.partner().assertion();
        row.accepts("our identifier", valid()).await;
        let audiences = [
            "https://broker.example.com/",
            "https://BROKER.example.com",
            "HTTPS://broker.example.com",
            "https://broker.example.com.evil",
            "https://broker.example.com?x",
            "https://broker.example.com#x",
            "https://broker.example.com:443",
            "https://broker.example.co",
            " https://broker.example.com",
            "broker.example.com",
        ];
        for audience in audiences {
            row.refuses(audience, valid().claim("aud", audience), "claims.audience").await;
            row.refuses(audience, valid().claim("aud", json!([audience])), "claims.audience").await;
        }
    }

    "AU-09" github_s_default_audience_is_refused(row) {
        let valid = || row.github().assertion();
        row.accepts("our identifier", valid()).await;
        row.refuses("the owner", valid().claim("aud", "https://github.com/acme"), "claims.audience").await;
    }

    "AU-10" a_token_for_entra_s_own_federation_is_refused(row) {
        let pod = || row.broker.platforms.kubernetes.assertion();
        row.accepts("our identifier", pod()).await;
        let aud = "api://AzureADTokenExchange";
        row.refuses("Kubernetes", pod().claim("aud", json!([aud])), "claims.audience").await;
        let machine = row.broker.platforms.azure.assertion();
        row.refuses("Entra", machine.claim("aud", aud), "claims.audience").await;
    }

    "AU-11" a_token_for_the_kubernetes_api_is_refused(row) {
        let pod = || row.broker.platforms.kubernetes.assertion();
        row.accepts("our identifier", pod()).await;
        let api = "https://kubernetes.default.svc";
        row.refuses("the API server", pod().claim("aud", json!([api])), "claims.audience").await;
        row.refuses("k3s", pod().claim("aud", json!([api, "k3s"])), "claims.audience").await;
    }

    "AU-12" one_trust_s_audience_does_not_serve_another(row, with_tenant_b) {
        let tenant_b_assertion = || tenant_b().assertion().claim("aud", TENANT_B);
        row.accepts("tenant A", row.partner().assertion()).await;
        row.accepts("tenant B", tenant_b_assertion()).await;
        row.refuses("A's token, B's audience", row.partner().assertion().claim("aud", TENANT_B), "claims.audience").await;
        row.refuses("B's token, A's audience", tenant_b().assertion(), "claims.audience").await;
        let named = row.broker.token_request(&row.partner().assertion().compact(), &[("client_id", "tenant-b")]);
        row.refuses("A's token, B's client", named, "policy.none").await;
    }
}
