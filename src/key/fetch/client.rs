//! The only HTTP client of the broker: whom it trusts, which addresses it connects to, and through what.

use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Certificate;
use rustls::ClientConfig;
use url::Url;

use super::super::address::{Reach, VettingResolver};
use crate::config::ProxySettings;

/// Whom a server's certificate must lead to.
#[derive(Debug, Clone)]
pub(super) enum Roots {
    /// The operating system's.
    System,
    /// Those, and an issuer's `ca_file`.
    SystemAnd(Vec<Certificate>),
    /// An issuer's `ca_file` alone (`ca_only`).
    Only(Vec<Certificate>),
    /// None: the configuration knows a workload by its X.509-SVID (profile https_spiffe).
    Workload(Box<ClientConfig>),
}

/// The configured forward proxy and what goes around it.
pub(in super::super) struct Proxy {
    proxy: reqwest::Proxy,
    /// `NO_PROXY`, by curl's rules.
    exceptions: Matcher,
}

impl Proxy {
    /// `None` only for settings that the loader does not make.
    pub(in super::super) fn new(settings: &ProxySettings) -> Option<Proxy> {
        let url = settings.secret_url();
        let exceptions = Matcher::builder().https(url.as_str()).no(settings.exceptions()).build();
        Some(Proxy { proxy: reqwest::Proxy::https(url.as_str()).ok()?, exceptions })
    }

    /// The proxy for this URL, unless it is an exception.
    pub(super) fn for_url(&self, url: &Url) -> Option<reqwest::Proxy> {
        let target: http::Uri = url.as_str().parse().ok()?;
        self.exceptions.intercept(&target).map(|_| self.proxy.clone())
    }
}

/// What a client is built for: one request, since the reach is that request's. Fetches are minutes apart: there is no
/// connection worth keeping.
pub(super) struct Client {
    pub(super) reach: Reach,
    pub(super) roots: Roots,
    pub(super) connect: Duration,
    pub(super) proxy: Option<reqwest::Proxy>,
}

impl Client {
    pub(super) fn build(self) -> Result<reqwest::Client, reqwest::Error> {
        // A machine without any CA certificates cannot build the first. The configured roots still count there, and
        // every other server is then untrusted, which the fetch reports.
        match &self.roots {
            Roots::System => self.builder().build().or_else(|_| self.builder().tls_certs_only([]).build()),
            Roots::SystemAnd(roots) => {
                let with_system_roots = self.builder().tls_certs_merge(roots.clone()).build();
                with_system_roots.or_else(|_| self.builder().tls_certs_only(roots.clone()).build())
            }
            Roots::Workload(tls) => self.builder().https_only(true).tls_backend_preconfigured(*tls.clone()).build(),
            Roots::Only(roots) => self.builder().tls_certs_only(roots.clone()).build(),
        }
    }

    #[allow(clippy::disallowed_methods)] // the one place that makes HTTP clients
    fn builder(&self) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .no_proxy() // nor one of the environment
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect)
            .referer(false)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        match &self.proxy {
            // The name that is resolved here is then the proxy's, which the operator wrote; the target's is not.
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder.dns_resolver(VettingResolver(self.reach)),
        }
    }
}
