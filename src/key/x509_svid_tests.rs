use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

use super::*;
use crate::key::{KeySet, KeySetUse, SkippedKey};
use crate::vocab::Algorithm;

#[allow(dead_code, unreachable_pub)] // the end-to-end tests use the rest
#[path = "../../tests/support/certificates.rs"]
pub(in super::super) mod certificates;
use certificates::{Authority, Leaf, bundle, svid, svid_with, uri, valid};

const NOW: UnixTime = UnixTime(1_790_000_000);
const DOMAIN: &str = "prod.acme.example";
const API: &str = "spiffe://prod.acme.example/ns/payments/sa/api";

/// What becomes of a chain under these authorities' bundle.
fn verified(leaf: &Leaf, authorities: &[&Authority]) -> Result<X509Svid, &'static str> {
    let chain = leaf.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let certificate = UnverifiedCertificate::read(chain).map_err(|fault| fault.cause())?;
    let set = read(&bundle(authorities));
    verify(&certificate, set.x509_authorities(), DOMAIN, End::Client, NOW).map_err(|refusal| refusal.cause())
}

/// The same for a leaf that one authority issued.
fn issued(params: &CertificateParams) -> Result<X509Svid, &'static str> {
    let authority = Authority::new("ca");
    verified(&authority.issue(params), &[&authority])
}

fn read(document: &str) -> KeySet {
    KeySet::parse(document.as_bytes(), KeySetUse::SpiffeJwt, &Algorithm::ALL).unwrap()
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> Result<X509Svid, &'static str> {
    issued(&svid_with(API, change))
}

#[test]
fn a_certificate_as_spire_issues_it_is_its_workloads_until_it_ends() {
    let found = changed(|params| valid(params, NOW.0 - 10, NOW.0 + 3600)).unwrap();
    assert_eq!((found.id().to_string().as_str(), found.not_after()), (API, UnixTime(NOW.0 + 3600)));
}

#[test]
fn a_certificate_has_exactly_one_uri_name_and_others_do_not_matter() {
    let names = |names: &[SanType]| changed(|params| params.subject_alt_names = names.to_vec()).map(|_| ());
    let text = |text: &str| Ia5String::try_from(text).unwrap();
    let beside = [
        SanType::Rfc822Name(text("spiffe@acme.example")),
        uri(API),
        SanType::DnsName(text("api.acme.example")),
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
    ];
    assert_eq!(names(&beside), Ok(()));
    assert_eq!(names(&[]), Err("certificate.uri_names"));
    assert_eq!(names(&beside[2..]), Err("certificate.uri_names"));
    for second in [API, "spiffe://prod.acme.example/other", "https://acme.example/"] {
        assert_eq!(names(&[uri(API), uri(second)]), Err("certificate.uri_names"), "{second}");
    }
}

#[test]
fn the_uri_name_is_a_workloads_spiffe_id_to_the_letter() {
    for bad in [
        "spiffe://prod.acme.example",
        "spiffe://prod.acme.example/",
        "spiffe://prod.acme.example/ns/payments/",
        "spiffe://PROD.acme.example/api",
        "SPIFFE://prod.acme.example/api",
        "spiffe://prod.acme.example:443/api",
        "spiffe://u@prod.acme.example/api",
        "spiffe://prod.acme.example/api?a=b",
        "spiffe://prod.acme.example/api#a",
        "spiffe://prod.acme.example/%61pi",
        "spiffe://prod.acme.example/a/../api",
        "spiffe:///api",
        "https://prod.acme.example/api",
    ] {
        assert_eq!(issued(&svid(bad)), Err("certificate.spiffe_id"), "{bad}");
    }
    assert_eq!(issued(&svid("spiffe://stage.acme.example/api")), Err("certificate.trust_domain"));
}

#[test]
fn a_leaf_is_no_authority_and_its_key_signs_no_certificates() {
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(changed(ca), Err("certificate.authority"));
    let usages = |usages: &[KeyUsagePurpose]| changed(|params| params.key_usages = usages.to_vec()).map(|_| ());
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    assert_eq!(usages(&[DigitalSignature]), Ok(()));
    for bad in [&[DigitalSignature, KeyCertSign][..], &[DigitalSignature, CrlSign], &[KeyEncipherment], &[]] {
        assert_eq!(usages(bad), Err("certificate.key_usage"), "{bad:?}");
    }
    assert!(changed(|params| params.is_ca = IsCa::NoCa).is_ok(), "absent basic constraints say CA false");
}

#[test]
fn a_certificate_for_servers_alone_is_no_clients() {
    let purposes = |purposes: &[ExtendedKeyUsagePurpose]| {
        changed(|params| params.extended_key_usages = purposes.to_vec()).map(|_| ())
    };
    assert_eq!(purposes(&[ExtendedKeyUsagePurpose::ClientAuth]), Ok(()));
    assert_eq!(purposes(&[]), Ok(()));
    assert_eq!(purposes(&[ExtendedKeyUsagePurpose::ServerAuth]), Err("certificate.chain"));
}

#[test]
fn a_certificate_counts_from_its_first_second_to_its_last() {
    let between = |from: i64, to: i64| changed(|params| valid(params, NOW.0 + from, NOW.0 + to)).map(|_| ());
    assert_eq!(between(0, 0), Ok(()));
    assert_eq!(between(1, 60), Err("certificate.not_yet_valid"));
    assert_eq!(between(-60, -1), Err("certificate.expired"));
}

#[test]
fn only_the_domains_own_authorities_stand_behind_a_certificate() {
    let (own, other) = (Authority::new("ca"), Authority::new("ca"));
    assert!(verified(&own.issue(&svid(API)), &[&other, &own]).is_ok());
    assert_eq!(verified(&other.issue(&svid(API)), &[&own]), Err("certificate.chain"));
    assert_eq!(verified(&own.issue(&svid(API)), &[]), Err("certificate.chain"));
    // The sender brings the CA along; that makes it no authority.
    assert_eq!(verified(&other.issue(&svid(API)).behind(&[&other]), &[&own]), Err("certificate.chain"));
    let ended = Authority::with("ca", |params| valid(params, NOW.0 - 60, NOW.0 - 1));
    assert_eq!(verified(&ended.issue(&svid(API)), &[&ended]), Err("certificate.chain"));
}

#[test]
fn an_intermediate_leads_to_an_authority_if_it_may_sign() {
    let root = Authority::new("root");
    let through = |change: fn(&mut CertificateParams)| {
        let middle = root.intermediate("middle", change);
        verified(&middle.issue(&svid(API)).behind(&[&middle]), &[&root]).map(|_| ())
    };
    assert_eq!(through(|_| ()), Ok(()));
    assert_eq!(through(|params| params.is_ca = IsCa::ExplicitNoCa), Err("certificate.chain"));
    assert_eq!(through(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]), Err("certificate.chain"));
    assert_eq!(through(|params| valid(params, NOW.0 - 60, NOW.0 - 1)), Err("certificate.chain"));
    let middle = root.intermediate("middle", |_| ());
    assert_eq!(verified(&middle.issue(&svid(API)), &[&root]).map(|_| ()), Err("certificate.chain"), "not sent");
    let many = [&middle; 8];
    assert_eq!(verified(&middle.issue(&svid(API)).behind(&many), &[&root]), Err("certificate.too_long"));
}

/// RUSTSEC-2026-0098: a verifier that skips URI constraints lets a constrained authority name everybody.
#[test]
fn an_authority_with_uri_constraints_vouches_for_nobody() {
    let constrained = |to: &'static str| {
        // permittedSubtrees [0] { GeneralSubtree { uniformResourceIdentifier [6] } } (RFC 5280 §4.2.1.10)
        let name = [&[0x86, to.len() as u8], to.as_bytes()].concat();
        let subtree = [&[0x30, name.len() as u8], name.as_slice()].concat();
        let permitted = [&[0xa0, subtree.len() as u8], subtree.as_slice()].concat();
        let value = [&[0x30, permitted.len() as u8], permitted.as_slice()].concat();
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], value);
        extension.set_criticality(true);
        let root = Authority::new("root");
        let middle = root.intermediate("middle", |params| params.custom_extensions = vec![extension]);
        verified(&middle.issue(&svid(API)).behind(&[&middle]), &[&root]).map(|_| ())
    };
    assert_eq!(constrained("stage.acme.example"), Err("certificate.chain"));
    assert_eq!(constrained("prod.acme.example"), Err("certificate.chain"));
}

#[test]
fn an_authority_with_names_below_one_domain_vouches_for_workloads_without_dns_names() {
    let limit = rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("acme.example".to_owned())],
        excluded_subtrees: Vec::new(),
    };
    let root = Authority::with("root", |params| params.name_constraints = Some(limit));
    let named = |name: &str| {
        svid_with(API, |params| params.subject_alt_names.push(SanType::DnsName(Ia5String::try_from(name).unwrap())))
    };
    assert!(verified(&root.issue(&svid(API)), &[&root]).is_ok());
    assert!(verified(&root.issue(&named("api.acme.example")), &[&root]).is_ok());
    assert_eq!(verified(&root.issue(&named("api.other.example")), &[&root]), Err("certificate.chain"));
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let authority = Authority::new("ca");
    for bad in [Vec::new(), b"certificate".to_vec(), [authority.issue(&svid(API)).chain[0].as_slice(), &[0]].concat()] {
        let mut leaf = authority.issue(&svid(API));
        leaf.chain = vec![bad];
        assert_eq!(verified(&leaf, &[&authority]), Err("certificate.malformed"));
    }
    let mut nobody = authority.issue(&svid(API));
    nobody.chain.clear();
    assert_eq!(verified(&nobody, &[&authority]), Err("certificate.malformed"));
}

#[test]
fn a_bundles_authority_is_one_ca_certificate_and_bad_ones_are_counted() {
    let (good, jwk) = (Authority::new("ca"), Authority::new("other").jwk());
    let x5c = |certificates: Value| {
        let mut jwk = jwk.clone();
        jwk["x5c"] = certificates;
        jwk
    };
    let one = jwk["x5c"][0].clone();
    let leaf = STANDARD.encode(&good.issue(&svid(API)).chain[0]);
    let no_signer = Authority::with("ca", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    let mut private = jwk.clone();
    private["d"] = json!("AA");
    let bad = [
        x5c(json!([])),
        x5c(json!([one, one])),
        x5c(json!(one)),
        x5c(json!([1])),
        x5c(json!(["AAAA"])),
        x5c(json!([leaf])),
        x5c(Value::Null),
        no_signer.jwk(),
    ];
    let keys = [&[good.jwk(), private][..], &bad].concat();
    let set = read(&json!({ "keys": keys }).to_string());
    assert_eq!(set.x509_authorities(), [CertificateDer::from(good.der())]);
    assert_eq!(set.skipped().get(&SkippedKey::BadCertificate), Some(&bad.len()));
    assert_eq!(set.skipped().get(&SkippedKey::PrivateKey), Some(&1));
    assert!(!set.is_empty(), "a bundle of X.509 authorities alone is usable");
    let elsewhere = KeySet::parse(bundle(&[&good]).as_bytes(), KeySetUse::Oidc, &Algorithm::ALL).unwrap();
    assert!(elsewhere.is_empty(), "other issuers have no authorities");
}
