//! The files that a fetch needs: a CA, a bearer token, a key set in place of an answer.

use std::path::Path;

use reqwest::Certificate;
use reqwest::header::HeaderValue;

use super::FetchFault;

/// Largest bearer token or CA file.
const MAX_LOCAL_FILE_BYTES: u64 = 1024 * 1024;

pub(super) fn file(what: &'static str, path: &Path) -> Result<Vec<u8>, FetchFault> {
    let fault = |error: &dyn std::fmt::Display| FetchFault::LocalFile {
        what,
        path: path.display().to_string(),
        error: error.to_string(),
    };
    let size = std::fs::metadata(path).map_err(|error| fault(&error))?.len();
    if size > MAX_LOCAL_FILE_BYTES {
        return Err(fault(&"it is larger than 1 MiB"));
    }
    std::fs::read(path).map_err(|error| fault(&error))
}

pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, FetchFault> {
    const WHAT: &str = "the CA file";
    let unusable = || FetchFault::LocalFile {
        what: WHAT,
        path: path.display().to_string(),
        error: "it has no PEM certificate".to_owned(),
    };
    let found = Certificate::from_pem_bundle(&file(WHAT, path)?).map_err(|_| unusable())?;
    if found.is_empty() { Err(unusable()) } else { Ok(found) }
}

/// Read anew at every fetch: Kubernetes rotates the file.
pub(super) fn bearer(path: &Path) -> Result<HeaderValue, FetchFault> {
    const WHAT: &str = "the bearer token file";
    let text = file(WHAT, path)?;
    let mut value = Vec::from(b"Bearer ");
    value.extend_from_slice(text.trim_ascii());
    let mut header = HeaderValue::from_bytes(&value).map_err(|_| FetchFault::LocalFile {
        what: WHAT,
        path: path.display().to_string(),
        error: "it is not one line of text".to_owned(),
    })?;
    header.set_sensitive(true);
    Ok(header)
}
