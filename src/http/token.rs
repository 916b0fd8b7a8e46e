//! `POST /oauth2/token`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error;
use super::form::Form;
use crate::broker::Broker;
use crate::exchange::{Arrival, Granted, Side};
use crate::request::{GrantName, TOKEN_TYPE_ACCESS_TOKEN};

/// RFC 6749 §5.1, RFC 8693 §2.2.1.
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

/// Exchanges an identity for an access token.
pub(super) async fn exchange(State(broker): State<Arc<Broker>>, request: Request) -> Response {
    let Some(form) = Form::read(request).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    // A task of its own: a caller that hangs up would otherwise end the exchange before its audit record is written.
    let answered = tokio::spawn(async move { answer(&broker, &form).await }).await;
    answered.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn answer(broker: &Broker, form: &Form) -> Response {
    let arrival = Arrival {
        trace_id: form.trace_id().clone(),
        client_address: form.client_address(),
        authorization: form.authorization(),
        client_chain: form.client_chain(),
        form: form.parts(),
    };
    match broker.exchange.exchange(arrival).await {
        Ok(granted) => {
            metrics::counter!("countersign_exchanges_total", "outcome" => "minted").increment(1);
            granted_response(granted)
        }
        Err(refused) => {
            let outcome = match refused.failure.side() {
                Side::Caller => "refused",
                Side::Ours => "fault",
            };
            let cause = refused.failure.cause("").cause;
            metrics::counter!("countersign_exchanges_total", "outcome" => outcome, "cause" => cause).increment(1);
            error::answer(&refused).response_with(form.trace_id(), &refused.unmet)
        }
    }
}

fn granted_response(granted: Granted) -> Response {
    let claims = granted.token.claims();
    let response = TokenResponse {
        token_type: "Bearer",
        expires_in: claims.exp.since(claims.iat).as_secs(),
        scope: claims.scope.to_wire(),
        issued_token_type: match granted.grant {
            GrantName::TokenExchange => Some(TOKEN_TYPE_ACCESS_TOKEN),
            GrantName::ClientCredentials | GrantName::JwtBearer => None,
        },
        access_token: granted.token.into_compact(),
    };
    error::no_store(Json(response).into_response())
}
