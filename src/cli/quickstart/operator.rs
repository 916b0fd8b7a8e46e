//! What an operator does and sees during the demonstration: makes a client secret, reads the audit trail, explains.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::client::{self, Reply};
use crate::broker::Broker;
use crate::policy;

/// Who the client secret belongs to: a job on a machine without an identity of its own.
const SECRET_USER: &str = "nightly-report";

/// The operator, at the admin socket.
pub struct Operator {
    /// The broker's admin socket.
    pub socket: PathBuf,
    /// The running broker, whose policies are explained.
    pub broker: Arc<Broker>,
}

impl Operator {
    /// A new client id and secret of the user, who is made when missing.
    ///
    /// # Errors
    /// What the admin API answered.
    pub async fn new_secret(&self) -> Result<(String, String), String> {
        let user = self.ask(Method::POST, "/admin/v1/users", Some(json!({ "name": SECRET_USER }))).await?;
        if user.status != StatusCode::CONFLICT {
            user.success().map_err(|fault| format!("user create: {fault}"))?;
        }
        // A kept directory has the credentials of earlier demonstrations.
        let name = format!("quickstart-{}", self.broker.exchange.clock.now_millis().0);
        let wanted = json!({ "name": name, "user": SECRET_USER, "type": "oauth2", "scopes": ["service:my-api"] });
        let made = self.ask(Method::POST, "/admin/v1/credentials", Some(wanted)).await?;
        let made = made.success().map_err(|fault| format!("credential create: {fault}"))?;
        let made = made.json().map_err(|fault| fault.to_string())?;
        match (text(&made, "/client_id"), text(&made, "/client_secret")) {
            (Some(id), Some(secret)) => Ok((id.to_owned(), secret.to_owned())),
            _ => Err("credential create answered without a client id and secret".into()),
        }
    }

    /// The audit record's cause and detail.
    ///
    /// # Errors
    /// When there is no record with this trace id.
    pub async fn cause(&self, trace_id: &str) -> Result<(String, String), String> {
        let found = self.ask(Method::GET, &format!("/admin/v1/audit?trace_id={trace_id}"), None).await?;
        let found = found.success().and_then(|reply| reply.json()).map_err(|fault| fault.to_string())?;
        let detail = text(&found, "/records/0/record/detail").unwrap_or_default();
        match text(&found, "/records/0/record/cause") {
            Some(cause) => Ok((cause.to_owned(), detail.to_owned())),
            None => Err(format!("no audit record of a refusal has the trace id {trace_id}")),
        }
    }

    /// What `countersign explain --claims` says of these claims.
    ///
    /// # Errors
    /// When no configured issuer is named by them.
    pub fn explain(&self, claims: &Map<String, Value>) -> Result<String, String> {
        let rules = self.broker.exchange.rules.load();
        let issuer = rules.issuers.by_claims(claims).first().ok_or("the claims name no configured issuer")?;
        let now = self.broker.exchange.clock.now();
        Ok(policy::explain(&rules.policies, issuer, claims, None, now).to_string())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Reply, String> {
        client::over_socket(&self.socket, method, path, body.as_ref()).await.map_err(|fault| fault.to_string())
    }
}

/// The text at this JSON Pointer (RFC 6901).
fn text<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer.pointer(pointer).and_then(Value::as_str)
}
