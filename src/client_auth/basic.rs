//! `Authorization: Basic` at the token endpoint (RFC 6749 §2.3.1, RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ClientAuthRefusal, PresentedSecret};
use crate::request::decode_form_text;
use crate::vocab::ClientId;

/// Reads the header, if there is one. Go's OAuth client sends `Basic Og==` (an empty user and secret) before it tries
/// anything else, so beside an assertion that counts as absent.
pub(super) fn read(values: &[&[u8]], beside_assertion: bool) -> Result<Option<PresentedSecret>, ClientAuthRefusal> {
    let value = match values {
        [] => return Ok(None),
        [value] => value,
        _ => return Err(ClientAuthRefusal::Authorization),
    };
    let pair = decode(value).ok_or(ClientAuthRefusal::Authorization)?;
    if pair.as_slice() == b":" && beside_assertion {
        return Ok(None);
    }
    secret(&pair).map(Some).ok_or(ClientAuthRefusal::Authorization)
}

fn decode(value: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(encoded.trim_matches(' ')).ok().map(zeroize::Zeroizing::new)
}

/// User and secret are form-encoded inside the pair (RFC 6749 §2.3.1).
fn secret(pair: &[u8]) -> Option<PresentedSecret> {
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, secret) = pair.split_at_checked(colon)?;
    let client_id = ClientId::parse(&decode_form_text(user)?).ok()?;
    let secret = decode_form_text(secret.get(1..)?)?.into_owned();
    Some(PresentedSecret { client_id, secret: secret.into() })
}
