//! The steps of the demonstration: every one is a real HTTP request to the running broker.

use std::sync::Arc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, header};
use serde_json::{Map, Value, json};

use super::client::{self, Client, Reply};
use super::operator::Operator;
use super::platforms::{Issuers, Platform};
use super::report::Report;
use super::spire::{self, Spire};

/// The host name that the protected service is configured under.
pub const SERVICE_HOST: &str = "my-api.localhost";

/// What the steps talk to.
pub struct Stage {
    /// Our issuer identifier and where the broker listens.
    pub broker: String,
    /// Who runs the broker.
    pub operator: Operator,
    /// The platforms.
    pub issuers: Arc<Issuers>,
    /// A real SPIRE, where one was asked for.
    pub spire: Option<Spire>,
    /// How they are asked.
    pub client: Client,
}

/// A cluster access token and where it came from.
struct Minted {
    from: &'static str,
    token: String,
}

impl Stage {
    /// Runs them all, telling the report.
    pub async fn run(&self, report: &mut Report) {
        report.section("Exchange", "each platform's own identity token in, a cluster access token out");
        let mut minted = Vec::new();
        for platform in Platform::ALL {
            let outcome = self.exchange_assertion(platform).await;
            keep(report, &mut minted, platform.name(), outcome);
        }
        if let Some(spire) = &self.spire {
            let outcome = self.exchange_svid(spire).await;
            keep(report, &mut minted, spire::NAME, outcome);
        }
        let outcome = self.exchange_secret().await;
        keep(report, &mut minted, "client secret", outcome);

        report.section("Call", &format!("a service behind the gateway, {SERVICE_HOST}, with each of those tokens"));
        for Minted { from, token } in &minted {
            let bearer = format!("Bearer {token}");
            report.step(from, &self.call(&[("authorization", &bearer)]).await);
        }
        if let Some(Minted { token, .. }) = minted.first() {
            report.step(
                "raw header",
                &self
                    .call(&[("x-countersign-auth", token)])
                    .await
                    .map(|text| format!("{text}  (X-Countersign-Auth: <token>)")),
            );
        }
        report.step("no token", &self.call_without_token().await);

        report.section("Verify", "as any service can, with a standard JOSE library and the published keys");
        for Minted { from, token } in minted.first().into_iter().chain(minted.last()) {
            report.step(from, &self.verify(token).await);
        }

        report.section("Refuse", "the same workload on another branch, refs/heads/dev");
        self.refuse(report).await;
    }

    async fn exchange_assertion(&self, platform: Platform) -> Result<(String, String), String> {
        let assertion = self.issuers.token(platform, &self.broker, &Map::new()).map_err(text)?;
        self.exchange(platform.assertion_type(), &assertion).await
    }

    async fn exchange_svid(&self, spire: &Spire) -> Result<(String, String), String> {
        let svid = spire.svid(&self.broker).await.map_err(text)?;
        self.exchange(Platform::Spiffe.assertion_type(), &svid).await
    }

    async fn exchange(&self, assertion_type: &str, assertion: &str) -> Result<(String, String), String> {
        let subject = member(&claims(assertion)?, "sub");
        let begun = Instant::now();
        let reply = self.ask_with_assertion(assertion_type, assertion).await?;
        self.minted(&subject, &reply, begun).await
    }

    async fn ask_with_assertion(&self, assertion_type: &str, assertion: &str) -> Result<Reply, String> {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", assertion_type),
            ("client_assertion", assertion),
        ];
        self.client.post_form(&format!("{}/oauth2/token", self.broker), &fields).await.map_err(text)
    }

    async fn exchange_secret(&self) -> Result<(String, String), String> {
        let (id, secret) = self.operator.new_secret().await?;
        let begun = Instant::now();
        // RFC 6749 §2.3.1; neither part has a character that its form encoding would change.
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let headers =
            [(header::AUTHORIZATION.as_str(), basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let url = format!("{}/oauth2/token", self.broker);
        let body = Bytes::from_static(b"grant_type=client_credentials");
        let request = client::request(Method::POST, &url, &headers, body).map_err(text)?;
        let reply = self.client.send(request).await.map_err(text)?;
        self.minted(&id, &reply, begun).await
    }

    /// The line of the report and the token, or why there is none.
    async fn minted(&self, who: &str, reply: &Reply, begun: Instant) -> Result<(String, String), String> {
        let took = begun.elapsed();
        if reply.status != http::StatusCode::OK {
            return Err(self.explain_failure(reply).await);
        }
        let answer = reply.json().map_err(text)?;
        let token = member(&answer, "access_token");
        let minted = claims(&token)?;
        let line = format!(
            "{who:<46} → {user:<20} {scope}  {life}, {took:.0?}",
            user = member(&minted, "sub"),
            scope = member(&minted, "scope"),
            life = minutes(answer.get("expires_in")),
        );
        Ok((line, token))
    }

    async fn call(&self, headers: &[(&str, &str)]) -> Result<String, String> {
        let reply = self.get_service(headers).await?;
        if !reply.status.is_success() {
            return Err(format!("{}: {}", reply.status, reply.text()));
        }
        let seen = reply.json().map_err(text)?;
        let user = seen.pointer("/identity/X-Countersign-User").and_then(Value::as_str).unwrap_or_default();
        let credential_came_through = seen.pointer("/identity/X-Countersign-Auth").is_some()
            || seen.get("authorization_seen") != Some(&Value::Bool(false));
        if user.is_empty() || credential_came_through {
            return Err(format!("the service saw {seen}"));
        }
        let line = format!("{} {}", member(&seen, "method"), member(&seen, "path"));
        Ok(format!("{line} → {}, the service sees X-Countersign-User: {user}", reply.status.as_u16()))
    }

    async fn call_without_token(&self) -> Result<String, String> {
        let reply = self.get_service(&[]).await?;
        let challenge = reply.headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        match (reply.status.as_u16(), challenge) {
            (401, Some(challenge)) => Ok(format!("GET /hello → 401, WWW-Authenticate: {challenge}")),
            (status, challenge) => Err(format!("expected 401 with a challenge, got {status}, {challenge:?}")),
        }
    }

    async fn get_service(&self, headers: &[(&str, &str)]) -> Result<Reply, String> {
        let with_host: Vec<_> = [(header::HOST.as_str(), SERVICE_HOST)].iter().chain(headers).copied().collect();
        let url = format!("{}/hello", self.broker);
        let request = client::request(Method::GET, &url, &with_host, Bytes::new()).map_err(text)?;
        self.client.send(request).await.map_err(text)
    }

    /// The cause, which the answer does not tell, of an exchange that should have gone well.
    async fn explain_failure(&self, reply: &Reply) -> String {
        let answer = reply.json().unwrap_or_default();
        let why = match self.operator.cause(&member(&answer, "trace_id")).await {
            Ok((cause, detail)) => format!("{cause}: {detail}"),
            Err(fault) => fault,
        };
        format!("{} {}\n{why}", reply.status.as_u16(), member(&answer, "error"))
    }

    /// The caller learns a trace id; the operator, everything.
    async fn refuse(&self, report: &mut Report) {
        let refused = self.refused_exchange().await;
        let Ok((trace_id, claims)) = refused else {
            report.step("github", &refused.map(|_| String::new()));
            return;
        };
        report.step("github", &Ok(format!("401 invalid_client, trace_id {trace_id}: all that the caller learns")));
        let recorded = self.operator.cause(&trace_id).await;
        report.step("audit", &recorded.map(|(cause, detail)| format!("{cause}: {detail}")));
        let explained = self.operator.explain(&claims);
        let first = Ok("nearest policy first".to_owned());
        report.step("explain", &explained.as_ref().map_or_else(|fault| Err(fault.clone()), |_| first));
        report.quote(&explained.unwrap_or_default());
    }

    async fn refused_exchange(&self) -> Result<(String, Map<String, Value>), String> {
        let branch = [("ref".to_owned(), json!("refs/heads/dev"))].into_iter().collect();
        let assertion = self.issuers.token(Platform::Github, &self.broker, &branch).map_err(text)?;
        let reply = self.ask_with_assertion(Platform::Github.assertion_type(), &assertion).await?;
        let answer = reply.json().map_err(text)?;
        if reply.status != http::StatusCode::UNAUTHORIZED || member(&answer, "error") != "invalid_client" {
            return Err(format!("expected 401 invalid_client, got {} {}", reply.status.as_u16(), reply.text()));
        }
        Ok((member(&answer, "trace_id"), claims(&assertion)?.as_object().cloned().unwrap_or_default()))
    }

    /// Signature, `typ`, `iss` and `aud`, as RFC 9068 §4 asks of a service; the broker's own code takes no part.
    async fn verify(&self, token: &str) -> Result<String, String> {
        let keys = self.client.get(&format!("{}/oauth2/jwks", self.broker)).await.map_err(text)?;
        let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.body).map_err(text)?;
        let header = part(token, 0)?;
        let key_id = member(&header, "kid");
        let key = keys.find(&key_id).ok_or_else(|| format!("/oauth2/jwks has no key {key_id}"))?;
        let key = jsonwebtoken::DecodingKey::from_jwk(key).map_err(text)?;
        let (input, signature) = token.rsplit_once('.').ok_or("no compact JWS")?;
        let algorithm = jsonwebtoken::Algorithm::ES256; // the configuration's signing_algorithm
        if !jsonwebtoken::crypto::verify(signature, input.as_bytes(), &key, algorithm).map_err(text)? {
            return Err("the signature does not verify".into());
        }
        let minted = claims(token)?;
        // The default audience is the broker's own identifier.
        if member(&header, "typ") != "at+jwt"
            || member(&minted, "iss") != self.broker
            || member(&minted, "aud") != self.broker
        {
            return Err(format!("header {header}, claims {minted}"));
        }
        Ok(format!("ES256 signature, typ at+jwt, iss {}, sub {}", self.broker, member(&minted, "sub")))
    }
}

/// Shows the step and keeps its token for the later ones.
fn keep(report: &mut Report, minted: &mut Vec<Minted>, from: &'static str, outcome: Result<(String, String), String>) {
    match outcome {
        Ok((line, token)) => {
            report.step(from, &Ok(line));
            minted.push(Minted { from, token });
        }
        Err(reason) => drop(report.step(from, &Err(reason))),
    }
}

/// A token's claims, for display.
fn claims(compact: &str) -> Result<Value, String> {
    part(compact, 1)
}

fn part(compact: &str, index: usize) -> Result<Value, String> {
    let encoded = compact.split('.').nth(index).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| "not a compact JWS")?;
    serde_json::from_slice(&bytes).map_err(text)
}

fn member(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn minutes(seconds: Option<&Value>) -> String {
    let seconds = seconds.and_then(Value::as_u64).unwrap_or_default();
    if seconds.is_multiple_of(60) { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}

fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
