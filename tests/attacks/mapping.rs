//! mapping: signed and valid claims become exactly the user that a policy names, or nobody.

use serde_json::{Value, json};

use countersign::store::UserState;

use crate::row::Row;
use crate::support::issuer::TestIssuer;
use crate::support::keys::TestKey;
use crate::support::platform::Platform;
use crate::support::setup::{Platforms, Setup};

/// The partner's one policy with this line in its `match`.
fn partner_matching(setup: Setup, line: &str) -> Setup {
    let text = format!(
        "policy: partner-build\nissuer: partner\nmatch:\n  {line}\nuser: partner-build\nscopes: [\"service:my-api\"]\n"
    );
    setup.policy("partner-build", &text)
}

fn staging() -> Platform {
    let key = TestKey::rsa("rsa-a").named("staging-1");
    Platform::kubernetes()
        .at("https://oidc.eks.eu-west-1.amazonaws.com/id/00000000000000000000000000000000")
        .with_key(key)
}

/// A second cluster, trusted for another workload.
fn with_staging(setup: Setup, _: &Platforms) -> Setup {
    let settings = format!("kind: kubernetes, url: {}", staging().issuer());
    setup.platform("staging", &settings, &staging()).policy(
        "staging-probe",
        "policy: staging-probe
issuer: staging
match: { sub: \"system:serviceaccount:probes:probe\" }
user: staging-probe
scopes: [\"service:my-api\"]
",
    )
}

/// A GitHub assertion with one other claim is admitted by no policy.
async fn refuses_github_with(row: &Row, changes: &[(&str, &str)]) {
    let changed = changes.iter().fold(row.github().assertion(), |changed, (name, value)| changed.claim(name, *value));
    row.refuses(&format!("{changes:?}"), changed, "policy.none").await;
}

rows! {
    "MP-01" a_subject_is_there_and_is_text(row) {
        let valid = || row.partner().assertion();
        row.accepts("text", valid()).await;
        row.refuses("missing", valid().without("sub"), "claims.malformed").await;
        for sub in [json!(""), json!(5), json!(["e6a0c5c4-52b7-4c39-9d0f-3a6f1a7b2d10"]), Value::Null, json!({})] {
            row.refuses(&sub.to_string(), valid().claim("sub", sub.clone()), "claims.malformed").await;
        }
        let long = valid().claim("sub", "x".repeat(2049));
        row.refuses("2,049 bytes", long, "claims.malformed").await;
    }

    "MP-02" a_wildcard_stays_inside_its_segment(row, |setup, _| partner_matching(setup, "sub: { glob: \"repo:org/*\" }")) {
        let valid = |sub: &str| row.partner().assertion().claim("sub", sub);
        row.accepts("inside", valid("repo:org/x")).await;
        let others = [
            "repo:org-evil/x",
            "repo:org/../evil",
            "repo:orgX/y",
            "xrepo:org/x",
            "repo:org/x/y",
            "repo:org/x:ref:refs/heads/main",
            "repo:org",
            "repo:ORG/x",
        ];
        for sub in others {
            row.refuses(sub, valid(sub), "policy.none").await;
        }
    }

    "MP-04" a_value_cannot_pose_as_another_part_of_the_subject(row, |setup, _| {
        partner_matching(setup, "sub: { glob: \"repo:acme/*:ref:refs/heads/main\" }")
    }) {
        let valid = |sub: &str| row.partner().assertion().claim("sub", sub);
        row.accepts("a branch", valid("repo:acme/shop:ref:refs/heads/main")).await;
        for sub in [
            "repo:acme/shop:environment:prod:ref:refs/heads/main",
            "repo:acme/shop:environment:x:y:ref:refs/heads/main",
            "repo:acme/shop/x:ref:refs/heads/main",
        ] {
            row.refuses(sub, valid(sub), "policy.none").await;
        }
    }

    "MP-06" the_same_name_under_other_ids_is_somebody_else(row) {
        row.accepts("the pinned ids", row.github().assertion()).await;
        refuses_github_with(&row, &[("repository_id", "999999")]).await;
        refuses_github_with(&row, &[("repository_owner_id", "66")]).await;
        refuses_github_with(&row, &[("repository_id", "123456 ")]).await;
        let number = row.github().assertion().claim("repository_id", 123_456);
        row.refuses("a number where the claim is text", number, "policy.none").await;
    }

    "MP-09" a_fork_s_pull_request_is_not_the_main_branch(row) {
        row.accepts("a push", row.github().assertion()).await;
        let sub = "repo:acme/shop:pull_request";
        let pull_request = [("event_name", "pull_request"), ("sub", sub), ("ref", "refs/pull/7/merge")];
        refuses_github_with(&row, &pull_request).await;
        refuses_github_with(&row, &pull_request[..1]).await;
    }

    "MP-10" a_pull_request_target_is_not_a_push(row) {
        row.accepts("a push", row.github().assertion()).await;
        refuses_github_with(&row, &[("event_name", "pull_request_target"), ("head_ref", "main")]).await;
    }

    "MP-11" a_reusable_workflow_from_another_ref_is_refused(row) {
        row.accepts("a tag", row.github().assertion()).await;
        for workflow in [
            "acme/ci/.github/workflows/deploy.yml@refs/heads/attacker",
            "acme/ci/.github/workflows/deploy.yml@refs/tags/v1/x",
            "acme/ci/.github/workflows/other.yml@refs/tags/v1",
            "evil/ci/.github/workflows/deploy.yml@refs/tags/v1",
        ] {
            refuses_github_with(&row, &[("job_workflow_ref", workflow)]).await;
        }
    }

    "MP-13" a_self_hosted_runner_is_not_a_hosted_one(row) {
        row.accepts("hosted", row.github().assertion()).await;
        refuses_github_with(&row, &[("runner_environment", "self-hosted")]).await;
    }

    "MP-19" missing_groups_match_nothing_and_nobody_is_asked_for_them(row, |setup, _| {
        partner_matching(setup, "groups: release")
    }) {
        row.accepts("groups in the token", row.partner().assertion()).await;
        let elsewhere = TestIssuer::start(&[]).await;
        let overage = row
            .partner()
            .assertion()
            .without("groups")
            .claim("_claim_names", json!({ "groups": "src1" }))
            .claim("_claim_sources", json!({ "src1": { "endpoint": format!("{}/groups", elsewhere.url()) } }));
        row.refuses("groups elsewhere", overage, "policy.none").await;
        assert_eq!(elsewhere.hits(), 0, "somebody asked for the groups");
    }

    "MP-23" a_person_is_not_a_workload(row) {
        let machine = || row.broker.platforms.azure.assertion();
        row.accepts("idtyp app", machine()).await;
        row.refuses("scp", machine().claim("scp", "user_impersonation"), "claims.kind_rule").await;
        let delegated = machine().without("idtyp").claim("scp", "user_impersonation");
        row.refuses("scp, no idtyp", delegated, "claims.kind_rule").await;
        row.refuses("idtyp user", machine().claim("idtyp", "user"), "claims.kind_rule").await;
        let account = row.partner().assertion().claim("sub", "110169484474386276334").claim("email", "a@acme.example");
        row.refuses("another subject of the same issuer", account, "policy.none").await;
    }

    "MP-24" a_subject_is_compared_byte_for_byte(row, |setup, _| partner_matching(setup, "sub: \"caf\u{e9}\"")) {
        let valid = |sub: &str| row.partner().assertion().claim("sub", sub);
        row.accepts("as written", valid("caf\u{e9}")).await;
        for sub in ["cafe\u{301}", "caf\u{e9}\u{200b}", "\u{202e}caf\u{e9}", "CAF\u{c9}", "cafe", "\u{feff}caf\u{e9}"] {
            row.refuses(sub, valid(sub), "policy.none").await;
        }
        row.refuses("NUL", valid("caf\u{e9}\u{0}"), "claims.malformed").await;
        row.refuses("line break", valid("caf\u{e9}\n"), "claims.malformed").await;
    }

    "MP-26" a_client_id_beside_an_assertion_names_the_same_user(row) {
        let naming = |client_id: &str| {
            row.broker.token_request(&row.partner().assertion().compact(), &[("client_id", client_id)])
        };
        row.accepts("no client_id", row.partner().assertion()).await;
        row.accepts("its own user", naming("partner-build")).await;
        let own = row.broker.credential("its-own", "partner-build").await;
        row.accepts("its own user's client id", naming(&own.client_id)).await;
        row.refuses("another user", naming("payments-pod"), "policy.none").await;
        let other = row.broker.credential("another-s", "somebody-else").await;
        row.refuses("another user's client id", naming(&other.client_id), "policy.none").await;
        row.refuses("nobody", naming("nobody-at-all"), "policy.none").await;
        row.refuses("no possible user", naming("a b"), "policy.client_id").await;
    }

    "MP-27" a_disabled_or_deleted_user_is_refused_at_once(row) {
        row.accepts("enabled", row.partner().assertion()).await;
        row.broker.set_user_state("partner-build", UserState::Disabled).await;
        row.refuses("disabled", row.partner().assertion(), "workload.user_disabled").await;
        row.broker.set_user_state("partner-build", UserState::Enabled).await;
        row.accepts("enabled again", row.partner().assertion()).await;
        row.broker.set_user_state("partner-build", UserState::Deleted).await;
        row.refuses("deleted", row.partner().assertion(), "workload.user_deleted").await;
    }

    "MP-29" the_same_name_in_another_cluster_is_somebody_else(row, with_staging) {
        row.accepts("its cluster", row.broker.platforms.kubernetes.assertion()).await;
        row.refuses("another cluster", staging().assertion(), "policy.none").await;
        let posing = row.broker.platforms.kubernetes.assertion().signed_by(&staging().key);
        row.refuses("another cluster's key", posing, "key.unknown").await;
    }

    "MP-31" a_legacy_kubernetes_token_is_refused(row) {
        let pod = || row.broker.platforms.kubernetes.assertion();
        row.accepts("bound", pod()).await;
        let legacy = || {
            pod()
                .without("exp")
                .without("iat")
                .without("nbf")
                .without("aud")
                .without("kubernetes.io")
                .claim("kubernetes.io/serviceaccount/namespace", "payments")
                .claim("kubernetes.io/serviceaccount/service-account.name", "payments-api")
        };
        row.refuses("its own iss", legacy().claim("iss", "kubernetes/serviceaccount"), "issuer.legacy_token").await;
        row.refuses("the cluster's iss", legacy(), "claims.kind_rule").await;
        let unbounded = pod().without("exp").without("aud");
        row.refuses("no exp and no aud", unbounded, "claims.malformed").await;
    }

    "MP-32" a_token_without_a_pod_is_refused_where_the_policy_wants_one(row) {
        let pod = || row.broker.platforms.kubernetes.assertion();
        row.accepts("a pod", pod()).await;
        let bound_to = |kind: &str| {
            let account = json!({ "name": "payments-api", "uid": "a9b8c7d6-e5f4-4a3b-8c2d-1e0f9a8b7c6d" });
            let bound = json!({ "namespace": "payments", "serviceaccount": account, kind: { "name": "x", "uid": "y" } });
            pod().claim("kubernetes.io", bound)
        };
        row.refuses("a node", bound_to("node"), "policy.none").await;
        row.refuses("a secret", bound_to("secret"), "policy.none").await;
    }
}
