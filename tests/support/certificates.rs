//! A trust domain's certificates: authorities, and leaves of which a test changes one thing.
//!
//! Unit tests of `src/key` read this file too, so it uses nothing else of `tests/support`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

/// A CA and its key.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

/// A leaf, its key, and what leads from it to an authority.
pub struct Leaf {
    pub chain: Vec<Vec<u8>>,
    key: KeyPair,
}

impl Authority {
    /// A self-signed CA, valid as far as dates go.
    pub fn new(name: &str) -> Authority {
        Authority::with(name, |_| ())
    }

    /// The same, after `change`.
    pub fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let (params, key) = (authority(name, change), KeyPair::generate().expect("a key"));
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority { params, key, certificate }
    }

    /// A CA that this one signed.
    pub fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let (params, key) = (authority(name, change), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer()).expect("a certificate");
        Authority { params, key, certificate }
    }

    /// Signs a leaf for a new key.
    pub fn issue(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer()).expect("a certificate");
        Leaf { chain: vec![certificate.der().to_vec()], key }
    }

    /// The certificate.
    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    /// As a member of a SPIFFE bundle.
    pub fn jwk(&self) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": [STANDARD.encode(self.certificate.der())] })
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

impl Leaf {
    /// With these intermediates behind it.
    pub fn behind(mut self, intermediates: &[&Authority]) -> Leaf {
        self.chain.extend(intermediates.iter().map(|one| one.der()));
        self
    }

    /// The private key, PKCS #8.
    pub fn key_der(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    /// With another key than the certificate's.
    pub fn with_a_stolen_name(mut self) -> Leaf {
        self.key = KeyPair::generate().expect("a key");
        self
    }
}

/// A SPIFFE bundle of these authorities.
pub fn bundle(authorities: &[&Authority]) -> String {
    let keys: Vec<Value> = authorities.iter().map(|one| one.jwk()).collect();
    json!({ "keys": keys, "spiffe_sequence": 1 }).to_string()
}

/// An X.509-SVID as SPIRE issues it, but valid as far as dates go.
pub fn svid(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// The same, changed.
pub fn svid_with(id: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = svid(id);
    change(&mut params);
    params
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("ASCII"))
}

/// Valid between these seconds since 1970.
pub fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    let at = |seconds: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).expect("after 1970"))
    };
    (params.not_before, params.not_after) = (at(from), at(to));
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}
