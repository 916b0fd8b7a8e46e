//! The public listener: limits, routes, and one file an endpoint.
//!
//! In: HTTP requests from anyone. Out: answers that tell a refused caller nothing but a trace id. Requests for a
//! protected service's host go to the gateway, all others to the broker's own endpoints.

mod door;
mod error;
mod form;
mod framing;
mod health;
mod introspect;
mod listener;
mod metadata;
mod tls;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};

use crate::broker::Broker;
use crate::clock::random_bytes;
use crate::vocab::TraceId;

pub use error::Answer;
pub(crate) use health::{live, ready_in_full};
pub use listener::{Listening, ServeFailure, listen};

/// The header that ties an answer to its audit record.
pub const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The trace id of the request being served.
#[derive(Debug, Clone)]
pub struct Trace(pub TraceId);

/// The public routes. Under an issuer identifier with a path, the same endpoints are served below that path.
pub fn router(broker: Arc<Broker>) -> Router {
    let path = issuer_path(&broker);
    let mut router = Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route(&format!("/.well-known/oauth-authorization-server{path}"), get(metadata::authorization_server))
        .merge(endpoints(""));
    if !path.is_empty() {
        router = router.merge(endpoints(&path));
    }
    router
        .fallback(any(error::not_found))
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(Arc::clone(&broker))
        .layer(Extension(form::LargeForms::default()))
        .layer(middleware::from_fn_with_state(broker, dispatch))
}

fn endpoints(prefix: &str) -> Router<Arc<Broker>> {
    Router::new()
        .route(&format!("{prefix}/oauth2/token"), post(token::exchange))
        .route(&format!("{prefix}/oauth2/jwks"), get(metadata::jwks))
        .route(&format!("{prefix}/oauth2/introspect"), post(introspect::introspect))
        .route(&format!("{prefix}/oauth2/revoke"), post(introspect::revoke))
        .route(&format!("{prefix}/.well-known/openid-configuration"), get(metadata::openid_configuration))
}

/// The path of our issuer identifier, without a final slash.
fn issuer_path(broker: &Broker) -> String {
    let path = url::Url::parse(broker.config.issuer.as_str()).map(|url| url.path().trim_end_matches('/').to_owned());
    path.unwrap_or_default()
}

/// Gives the request its trace id, and sends it to the gateway when it is for a protected service.
async fn dispatch(State(broker): State<Arc<Broker>>, mut request: Request, next: Next) -> Response {
    let Ok(random) = random_bytes() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let trace_id = TraceId::new(broker.exchange.clock.now_millis(), random);
    let header = HeaderValue::from_str(trace_id.as_str());
    let mut response = if broker.gateway.matches(&request) {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        broker.gateway.handle(request, &trace_id, peer).await
    } else {
        request.extensions_mut().insert(Trace(trace_id));
        next.run(request).await
    };
    if let Ok(header) = header {
        response.headers_mut().insert(X_TRACE_ID, header);
    }
    response
}
