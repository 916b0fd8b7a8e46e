//! The requests of one fetch: where each may go, and what it carries.

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode};
use rustls::ClientConfig;
use url::{Host, Origin, Url};

use super::super::address::{AddressRefused, Reach};
use super::client::{Client, Roots};
use super::fault::connection;
use super::{FetchFault, Fetched, HttpFetch, answer, local};
use crate::issuer::Issuer;

/// Most redirects followed; a good key URL needs none, a host's own clean-up one.
const MAX_REDIRECTS: usize = 2;

/// What is the same for all requests of one fetch.
pub(super) struct Session<'a> {
    fetch: &'a HttpFetch,
    issuer: &'a Issuer,
    /// What the operator wrote: the keys' URL, or the metadata's.
    start: &'a Url,
    /// The origins that the operator wrote: that of `start`, and the issuer's own.
    pinned: Vec<Origin>,
    roots: Roots,
    /// Taken away at the first redirect, wherever that leads, and at the first request to an origin other than that of
    /// `start`: whoever writes a `Location` must not choose who gets it.
    bearer: Option<HeaderValue>,
}

impl Session<'_> {
    pub(super) fn open<'a>(
        fetch: &'a HttpFetch,
        issuer: &'a Issuer,
        start: &'a Url,
    ) -> Result<Session<'a>, FetchFault> {
        let settings = issuer.settings();
        let own = settings.url.as_ref().and_then(|url| Url::parse(url.as_str()).ok());
        let pinned = own.iter().chain([start]).map(Url::origin).collect();
        let roots = match &settings.ca_file {
            None => Roots::System,
            Some(path) if settings.ca_only => Roots::Only(local::certificates(path)?),
            Some(path) => Roots::SystemAnd(local::certificates(path)?),
        };
        let bearer = settings.bearer_token_file.as_deref().map(local::bearer).transpose()?;
        Ok(Session { fetch, issuer, start, pinned, roots, bearer })
    }

    /// Only to the server that this TLS configuration lets through, wherever a redirect leads (SPIFFE Federation §5.2.2).
    pub(super) fn trusting_only(mut self, tls: ClientConfig) -> Self {
        self.roots = Roots::Workload(Box::new(tls));
        self
    }

    /// One document. Redirects are followed by hand: each is vetted as the first request was, and none is remembered
    /// (SPIFFE Federation §7.5.1).
    pub(super) async fn get(&mut self, from: &Url) -> Result<Fetched, FetchFault> {
        let mut url = from.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(&url).await?;
            if !is_redirect(response.status()) {
                return answer::read(response, self.fetch.limits.body_bytes).await;
            }
            self.bearer = None;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = self.vetted_redirect(from, &url, next.ok_or(FetchFault::Redirect("to no URL"))?)?;
        }
        Err(FetchFault::Redirect("more than twice"))
    }

    /// A redirect stays within the origin that was asked, or leads to one that the operator wrote for this issuer.
    fn vetted_redirect(&self, from: &Url, url: &Url, next: Url) -> Result<Url, FetchFault> {
        if url.scheme() == "https" && next.scheme() != "https" {
            return Err(FetchFault::Redirect("from https to another scheme"));
        }
        if next.origin() != from.origin() && !self.pinned.contains(&next.origin()) {
            return Err(FetchFault::Redirect("to another origin, which is not configured"));
        }
        Ok(next)
    }

    async fn request(&mut self, url: &Url) -> Result<Response, FetchFault> {
        let reach = self.reach(url)?;
        reach.check(url).map_err(|AddressRefused| FetchFault::AddressRefused)?;
        if url.origin() != self.start.origin() {
            self.bearer = None;
        }
        let client = Client {
            reach,
            roots: self.roots.clone(),
            connect: self.fetch.limits.connect,
            // What is near is reached directly: a proxy would resolve its own `localhost`, and vets nothing of ours.
            proxy: self
                .fetch
                .proxy
                .as_ref()
                .filter(|_| !reach.private && !is_loopback(url))
                .and_then(|it| it.for_url(url)),
        };
        let client = tokio::task::spawn_blocking(move || client.build()).await.map_err(|_| FetchFault::Stopped)?;
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        ]);
        headers.extend(self.bearer.clone().map(|bearer| (AUTHORIZATION, bearer)));
        let client = client.map_err(|error| connection(&error))?;
        client.get(url.clone()).headers(headers).send().await.map_err(|error| connection(&error))
    }

    /// How far a request to this URL may reach. Private addresses only at origins the operator wrote down (scheme,
    /// host and port). This machine, and plain http, only for an issuer that says so and that the operator put there:
    /// what comes from elsewhere does not lead here.
    fn reach(&self, url: &Url) -> Result<Reach, FetchFault> {
        let settings = self.issuer.settings();
        let is_local = settings.danger_allow_http && is_loopback(self.start);
        let refused = || FetchFault::Url(url.origin().ascii_serialization());
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused());
        }
        match url.scheme() {
            "https" => {
                let private = settings.allow_private_network && self.pinned.contains(&url.origin());
                Ok(Reach { public: true, private, loopback: private || is_local })
            }
            "http" if is_local && self.start.scheme() == "http" && is_loopback(url) => {
                Ok(Reach { public: false, private: false, loopback: true })
            }
            _ => Err(refused()),
        }
    }
}

/// Those with a `Location` to follow (RFC 9110 §15.4); 300 and 304 are answers, and not good ones.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        // The resolver still has the last word on where the name leads.
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
