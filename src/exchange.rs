//! The path of a token. Start reading here.
//!
//! request → client_auth → issuer → key → claims → policy → review → workload → mint → audit. Each stage's output is the proof
//! that the stage was passed, so none can be left out: without a permit there is no user, without a user no token.

mod explain;
mod failure;
mod rules;

pub use explain::{Past, Verdict, explain_claims};
pub use failure::{Failure, Refused, Side};
pub use rules::Rules;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::audit::{Outcome, Trail};
use crate::claims::VerifiedClaims;
use crate::client_auth::{
    self, ClientAuthRefusal, Method, Presented, Throttle, UnverifiedAssertion, UnverifiedCertificate,
};
use crate::clock::Clock;
use crate::mint::{MintedToken, Ring, SignedToken, TokenDefaults, Wanted};
use crate::policy::{self, Depth, KeptClaims, PolicyRefusal, Question};
use crate::request::{Grant, GrantName, RequestParts, RequestRefusal, TokenRequest};
use crate::review::Confirmed;
use crate::store::{ExchangeCommit, Store};
use crate::vocab::{ClientId, TraceId, UserName};
use crate::workload::{self, Admission, credentials};

/// What arrived at the token endpoint.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// The request's trace id.
    pub trace_id: TraceId,
    /// Who connected.
    pub client_address: Option<IpAddr>,
    /// Every `Authorization` header.
    pub authorization: Vec<&'a [u8]>,
    /// The client certificates of its connection, in DER, leaf first.
    pub client_chain: &'a [Vec<u8>],
    /// The form; or why it could not be read.
    pub form: Result<RequestParts<'a>, RequestRefusal>,
}

/// What a successful exchange gives.
#[derive(Debug)]
pub struct Granted {
    /// The token.
    pub token: MintedToken,
    /// The grant that was used.
    pub grant: GrantName,
}

/// Everything the path needs besides the request.
pub struct Exchange {
    /// Issuers, their keys and the policies, as one snapshot.
    pub rules: ArcSwap<Rules>,
    /// What must survive.
    pub store: Arc<dyn Store>,
    /// Slows down guessing of client secrets.
    pub throttle: Throttle,
    /// The hash of client secrets.
    pub secrets: Arc<credentials::SecretHasher>,
    /// The signing keys.
    pub signer: Arc<Ring>,
    /// What tokens look like.
    pub defaults: TokenDefaults,
    /// Now.
    pub clock: Clock,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Exchange {
    /// Exchanges what arrived for a token. Every exit leaves one audit record before the answer does.
    ///
    /// # Errors
    /// Why there is no token; `http/error.rs` decides how much of it the caller learns.
    pub async fn exchange(&self, arrival: Arrival<'_>) -> Result<Granted, Refused> {
        let mut trail = Trail::begin(arrival.trace_id.clone(), arrival.client_address);
        match self.path(arrival, &mut trail).await {
            Ok(granted) => Ok(granted),
            Err(failure) => Err(self.record(failure, &trail).await),
        }
    }

    async fn path(&self, arrival: Arrival<'_>, trail: &mut Trail) -> Result<Granted, Failure> {
        let request = TokenRequest::parse(arrival.form?)?;
        trail.request(request.grant_name(), request.client().id.as_ref());
        let presented = client_auth::presented(&request, &arrival.authorization, arrival.client_chain);
        if let (Ok((Method::SpiffeX509, _)) | Err(ClientAuthRefusal::Certificate(_)), Some(leaf)) =
            (&presented, arrival.client_chain.first())
        {
            trail.client_certificate(leaf);
        }
        let (method, presented) = presented?;
        trail.method(method);

        let (admission, replay) = match presented {
            Presented::Assertion(assertion) => {
                let rules = self.rules.load_full();
                let claims = self.verify(*assertion, &rules, trail).await?;
                let confirmed = self.admit(&claims, &rules, request.client().id.as_ref(), trail).await?;
                (Admission::Policy(Box::new(confirmed)), claims.replay().cloned())
            }
            Presented::Certificate(certificate) => {
                let rules = self.rules.load_full();
                let claims = self.verify_certificate(&certificate, &rules, trail).await?;
                let confirmed = self.admit(&claims, &rules, request.client().id.as_ref(), trail).await?;
                (Admission::Policy(Box::new(confirmed)), None)
            }
            Presented::Secret(secret) => {
                trail.request(request.grant_name(), Some(&secret.client_id));
                let attempt = self.throttle.attempt(arrival.client_address, &secret.client_id, self.clock.now())?;
                let proven = credentials::prove(&*self.store, &self.secrets, &secret, self.clock.now()).await;
                let proven = proven.inspect_err(|_| attempt.failed())?;
                trail.secret(proven.client_id(), proven.user());
                check_secret_grant(request.grant())?;
                (Admission::Secret(proven), None)
            }
        };

        let user = workload::user(admission, &*self.store, self.clock.now()).await?;
        let wanted = Wanted { scopes: request.scopes(), targets: request.targets() };
        let signed = SignedToken::sign(user, wanted, &self.defaults, &self.signer, &self.clock)?;
        trail.token(signed.claims());
        let record = trail.finish(Outcome::Minted, self.clock.now_millis());
        let token = signed.commit(replay, record, &*self.store).await.inspect_err(|_| trail.withdraw_token())?;
        Ok(Granted { token, grant: request.grant_name() })
    }

    /// issuer → key → claims, for an assertion.
    async fn verify(
        &self,
        assertion: UnverifiedAssertion,
        rules: &Rules,
        trail: &mut Trail,
    ) -> Result<VerifiedClaims, Failure> {
        trail.assertion(&assertion);
        let issuers = rules.issuers.trusted(&assertion)?;
        trail.issuers(&issuers);
        let keys = rules.keys.find(&issuers, &assertion).await?;
        Ok(VerifiedClaims::verify(assertion, &keys, self.clock.now())?)
    }

    /// The same for a client certificate.
    async fn verify_certificate(
        &self,
        certificate: &UnverifiedCertificate,
        rules: &Rules,
        trail: &mut Trail,
    ) -> Result<VerifiedClaims, Failure> {
        trail.certificate(certificate);
        let issuer = rules.issuers.trusted_domain(certificate)?;
        trail.issuer(&issuer);
        let svid = rules.keys.verify_certificate(&issuer, certificate, self.clock.now()).await?;
        Ok(VerifiedClaims::of_certificate(&svid, &issuer)?)
    }

    /// policy: from claims to the one user they may become.
    async fn admit(
        &self,
        claims: &VerifiedClaims,
        rules: &Rules,
        client_id: Option<&ClientId>,
        trail: &mut Trail,
    ) -> Result<Confirmed, Failure> {
        trail.claims(claims, KeptClaims::of(claims, &rules.policies));
        let now = self.clock.now();
        let named = self.named_user(client_id, claims).await?;
        named.iter().for_each(|user| trail.named_user(user));
        let decision = policy::decide(&rules.policies, claims, named.as_ref(), now);
        trail.decided(rules.policies.digest(), decision.shadow);
        match decision.outcome {
            Ok(permit) => {
                trail.permit(&permit);
                Ok(rules.reviews.confirm(permit, claims).await?)
            }
            Err(refusal) => {
                let (issuer, wanted) = (claims.issuer(), named.as_ref());
                let claims = KeptClaims::whole(claims.members().clone());
                let question = Question { issuer: issuer.name(), claims: &claims, wanted, now };
                let explanation = question.explain(&rules.policies, Depth::Record);
                if issuer.settings().explain_to_caller && refusal == PolicyRefusal::NoneAdmits {
                    trail.tell_caller(question.unmet(&rules.policies, issuer.shared_by_tenants()));
                }
                trail.explain(explanation.without(&issuer.settings().audit_exclude));
                Err(refusal.into())
            }
        }
    }

    /// A `client_id` beside an assertion must name the same client (RFC 7521 §4.2): the user, one of its client ids, or
    /// the assertion's own subject, which says nothing more than the assertion does.
    async fn named_user(
        &self,
        client_id: Option<&ClientId>,
        claims: &VerifiedClaims,
    ) -> Result<Option<UserName>, Failure> {
        let Some(client_id) = client_id.filter(|id| id.as_str() != claims.subject().as_str()) else { return Ok(None) };
        if let Some(credential) = self.store.credential_of_client(client_id).await? {
            return Ok(Some(credential.user.clone()));
        }
        UserName::parse(client_id.as_str()).map(Some).map_err(|_| Failure::ClientIdMismatch)
    }

    async fn record(&self, failure: Failure, trail: &Trail) -> Refused {
        let detail = failure.to_string();
        let cause = failure.cause(&detail);
        let outcome = match failure.side() {
            Side::Caller => Outcome::Refused(cause),
            Side::Ours => Outcome::Fault(cause),
        };
        let audit = trail.finish(outcome, self.clock.now_millis());
        tracing::info!(
            trace.id = %trail.trace_id(), exchange.stage = cause.stage, exchange.cause = cause.cause,
            "exchange refused: {}", cause.cause
        );
        let commit =
            ExchangeCommit { replay: None, secret: None, new_user: None, session: None, audit, now: self.clock.now() };
        let grant = trail.grant();
        match self.store.commit(commit).await {
            Ok(_) => Refused { failure, grant, unmet: trail.told_caller().to_vec() },
            // No exit without a record: an answer that could not be recorded says only that.
            Err(fault) => Refused { failure: Failure::Store(fault), grant, unmet: Vec::new() },
        }
    }
}

/// A secret is for `client_credentials` only (RFC 6749 §5.2, `unauthorized_client`).
fn check_secret_grant(grant: &Grant) -> Result<(), Failure> {
    match grant {
        Grant::ClientCredentials => Ok(()),
        Grant::JwtBearer(_) | Grant::TokenExchange(_) => Err(Failure::GrantNotAllowed),
    }
}
