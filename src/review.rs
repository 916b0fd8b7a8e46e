//! Whether a token's own cluster still stands by it (Kubernetes `TokenReview`).
//!
//! In: a permit and the claims it was given for. Out: [`Confirmed`], the only thing that becomes a user. Proves: where
//! the operator wrote `review`, the cluster's API server says now that the token is good, of this account and for our
//! audience; a signature cannot say that the pod or the account was deleted since. Not here: what the token says (see
//! `claims`), and whether the user may act (see `workload`).

mod api;
mod standing;

use std::collections::HashMap;

use secrecy::SecretString;

use crate::claims::VerifiedClaims;
use crate::issuer::Issuers;
use crate::policy::Permit;
use crate::vocab::IssuerName;

use api::ApiServer;
pub use api::ReviewFault;
pub use standing::Disowned;

/// A permit whose token still holds, as far as its issuer is asked. Only [`Reviews::confirm`] makes one.
#[derive(Debug)]
pub struct Confirmed(Permit);

impl Confirmed {
    /// What the policies admitted.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.0
    }
}

/// Why a permit is not confirmed. Carries nothing of the token.
#[derive(Debug, thiserror::Error)]
pub enum ReviewFailure {
    /// The cluster does not stand by the token.
    #[error("the cluster of issuer {issuer} does not stand by the token: {why}")]
    NotAuthenticated {
        /// The operator's name for the cluster.
        issuer: IssuerName,
        /// What the API server's answer lacks.
        why: Disowned,
    },
    /// The API server cannot be asked; nobody is let in unasked.
    #[error("the API server of issuer {issuer} cannot be asked about the token: {why}")]
    Unavailable {
        /// The operator's name for the cluster.
        issuer: IssuerName,
        /// What an operator has to mend.
        why: ReviewFault,
    },
}

impl ReviewFailure {
    /// The audit record's cause.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            ReviewFailure::NotAuthenticated { .. } => "review.not_authenticated",
            ReviewFailure::Unavailable { .. } => "review.unavailable",
        }
    }
}

/// The API servers that are asked, each with one client that is made at its first use and kept.
#[derive(Debug, Default)]
pub struct Reviews {
    servers: HashMap<IssuerName, ApiServer>,
}

impl Reviews {
    /// For the enabled issuers that have `review`. Nothing is read or connected to yet.
    #[must_use]
    pub fn new(issuers: &Issuers) -> Reviews {
        let enabled = issuers.iter().filter(|issuer| !issuer.settings().disabled);
        let server = |settings: &crate::config::ReviewSettings| ApiServer::new(settings.clone());
        let servers = enabled.filter_map(|issuer| {
            issuer.settings().review.as_ref().map(|settings| (issuer.name().clone(), server(settings)))
        });
        Reviews { servers: servers.collect() }
    }

    /// Asks the cluster of these claims, where the operator wrote so.
    ///
    /// # Errors
    /// See [`ReviewFailure`].
    pub async fn confirm(&self, permit: Permit, claims: &VerifiedClaims) -> Result<Confirmed, ReviewFailure> {
        let issuer = claims.issuer().name();
        if claims.issuer().settings().review.is_none() {
            return Ok(Confirmed(permit));
        }
        let unavailable = |why| ReviewFailure::Unavailable { issuer: issuer.clone(), why };
        let asked = (self.servers.get(issuer), claims.token_for_review(), claims.audience());
        let (Some(server), Some(token), Some(audience)) = asked else {
            return Err(unavailable(ReviewFault::NotConfigured));
        };
        let answer = server.review(token, audience).await.map_err(unavailable)?;
        let said = standing::Said {
            subject: claims.subject().as_str(),
            audience,
            token_id: claims.token_id(),
            members: claims.members(),
        };
        match standing::check(&said, &answer) {
            Ok(()) => Ok(Confirmed(permit)),
            Err(why) => Err(ReviewFailure::NotAuthenticated { issuer: issuer.clone(), why }),
        }
    }

    /// Whether an issuer's API server can be asked at all, with a token that nobody has; `None` where there is nothing
    /// to ask.
    pub async fn probe(&self, issuer: &IssuerName) -> Option<Result<(), ReviewFault>> {
        let server = self.servers.get(issuer)?;
        let nobody = SecretString::from("countersign-check");
        Some(server.review(&nobody, "countersign-check").await.map(|_| ()))
    }
}
