//! Which addresses a key fetch may connect to.
//!
//! In: a URL or an address that a name resolved to. Out: yes or no. An issuer's metadata is a stranger's text until
//! its keys are trusted, so it must not steer a connection into our own network (RFC 8725bis §3.10).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How far one request may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    /// Addresses of the internet.
    pub(super) public: bool,
    /// Private networks: RFC 1918, shared (RFC 6598), unique local (RFC 4193).
    pub(super) private: bool,
    /// This machine.
    pub(super) loopback: bool,
}

/// The address is out of reach. Says no address: an answer must not tell what a name resolves to inside.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the host's address is not one that keys may be fetched from")]
pub(super) struct AddressRefused;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    Loopback,
    /// Metadata services, link-local, multicast, documentation, transition forms: no setting opens these.
    Never,
}

/// Metadata services outside the link-local range: Alibaba, Azure's wire server, and AWS's and Google's over IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

impl Reach {
    /// Checks the URL's host where it is an address; a name is checked when it resolves, by [`VettingResolver`].
    /// reqwest asks no resolver about addresses, in any of their spellings.
    pub(super) fn check(self, url: &Url) -> Result<(), AddressRefused> {
        let admitted = match url.host() {
            Some(Host::Ipv4(address)) => self.admits(address.into()),
            Some(Host::Ipv6(address)) => self.admits(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if admitted { Ok(()) } else { Err(AddressRefused) }
    }

    fn admits(self, address: IpAddr) -> bool {
        let kind = match address {
            IpAddr::V4(address) => kind_v4(address),
            IpAddr::V6(address) => kind_v6(address),
        };
        match kind {
            Kind::Public => self.public,
            Kind::Private => self.private,
            Kind::Loopback => self.loopback,
            Kind::Never => false,
        }
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    if METADATA_V4.contains(&address) || address.is_link_local() || address.is_documentation() {
        return Kind::Never;
    }
    match (a, b, c) {
        (127, ..) => Kind::Loopback,
        (100, 64..=127, _) | (198, 18..=19, _) => Kind::Private,
        (0 | 224.., ..) | (192, 0, 0) => Kind::Never,
        _ if address.is_private() => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if address.is_loopback() {
        return Kind::Loopback;
    }
    if METADATA_V6.contains(&address) {
        return Kind::Never;
    }
    match address.segments() {
        // NAT64 (RFC 6052): the address behind it decides.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            match kind_v4(Ipv4Addr::new(a, b, c, d)) {
                Kind::Public => Kind::Public,
                Kind::Private | Kind::Loopback | Kind::Never => Kind::Never,
            }
        }
        // Teredo, documentation, 6to4.
        [0x2001, 0 | 0xdb8, ..] | [0x2002, ..] => Kind::Never,
        [0xfc00..=0xfdff, ..] => Kind::Private,
        [0x2000..=0x3fff, ..] => Kind::Public,
        // Also IPv4-mapped and IPv4-compatible, link-local, site-local and multicast.
        _ => Kind::Never,
    }
}

/// Resolves names and keeps only addresses within reach, so a name cannot be rebound between check and connection.
pub(super) struct VettingResolver(pub(super) Reach);

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found.filter(|address| reach.admits(address.ip())).collect();
            if admitted.is_empty() {
                return Err(AddressRefused.into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERNET: Reach = Reach { public: true, private: false, loopback: false };
    const EVERYTHING: Reach = Reach { public: true, private: true, loopback: true };

    fn reaches(reach: Reach, host: &str) -> bool {
        reach.check(&Url::parse(&format!("https://{host}/keys")).unwrap()).is_ok()
    }

    #[test]
    fn only_internet_addresses_are_reached_by_default() {
        for good in ["192.0.66.1", "8.8.8.8", "[2606:4700::1111]", "[64:ff9b::808:808]", "idp.example"] {
            assert!(reaches(INTERNET, good), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "[::1]",
            "[fd00::1]",
            "[fc00::1]",
        ] {
            assert!(!reaches(INTERNET, bad), "{bad}");
            assert!(reaches(EVERYTHING, bad), "{bad}");
        }
    }

    #[test]
    fn no_setting_reaches_metadata_services_or_transition_forms() {
        for never in [
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[::ffff:169.254.169.254]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b::a00:1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[::]",
            "0.0.0.0",
            "0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
        ] {
            assert!(!reaches(EVERYTHING, never), "{never}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_out_of_reach_is_refused() {
        let resolve = |reach| VettingResolver(reach).resolve("localhost".parse().unwrap());
        assert!(resolve(INTERNET).await.is_err());
        assert!(resolve(EVERYTHING).await.unwrap().all(|address| address.ip().is_loopback()));
    }
}
