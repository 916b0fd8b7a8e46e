//! What is known of the claims that a policy names: their types, and which there are not.
//!
//! In: the way to a claim, as a line, a template or a condition spells it. Out: its type, or why there is none.

use crate::condition::{Schema, Type, Unknown};
use crate::issuer::{Issuer, NoClaim};
use crate::vocab::ClaimType;

/// The claims of one issuer's tokens; of an issuer that is not configured nothing is known.
#[derive(Clone, Copy)]
pub(super) struct ClaimTypes<'a>(pub(super) Option<&'a Issuer>);

impl ClaimTypes<'_> {
    /// The type of what this path leads to; `spelt` gives it as the author would write it.
    pub(super) fn at(self, path: &[&str], spelt: fn(&[&str]) -> String) -> Result<ClaimType, Unknown> {
        let Some(issuer) = self.0 else { return Ok(ClaimType::Any) };
        let fault = match issuer.schema().type_at(path) {
            Ok(found) => return Ok(found),
            Err(fault) => fault,
        };
        let upto = |depth: usize| spelt(path.get(..depth).unwrap_or_default());
        let name = issuer.name();
        Err(match fault {
            NoClaim::NoMembers { depth } => Unknown {
                id: "claim-type",
                message: format!("`{}` looks inside `{}`, which has no members", spelt(path), upto(depth)),
                fix: format!("write `{}`", upto(depth)),
            },
            NoClaim::Unknown { depth, near } => {
                let wrong = path.get(depth).copied().unwrap_or_default();
                let message = match depth {
                    0 => format!("tokens of `{name}` have no claim `{wrong}`"),
                    _ => format!("tokens of `{name}` have no `{wrong}` in `{}`", upto(depth)),
                };
                let key = if depth == 0 { wrong.to_owned() } else { pointer(path) };
                let fix = match near {
                    Some(near) => format!("did you mean `{}`?", near.replace("~1", "/").replace("~0", "~")),
                    None => format!("declare it in countersign.yaml: issuers.{name}.claims: {{ \"{key}\": string }}"),
                };
                Unknown { id: "claim-name", message, fix }
            }
        })
    }
}

impl Schema for ClaimTypes<'_> {
    fn type_of(&self, path: &[&str]) -> Result<Type, Unknown> {
        let Some((_, claim)) = path.split_first() else { return Ok(Type::Any) };
        self.at(claim, member_spelling).map(|found| match found {
            ClaimType::String => Type::Text,
            ClaimType::Number => Type::Number,
            ClaimType::Boolean => Type::Boolean,
            ClaimType::StringList => Type::List(Box::new(Type::Text)),
            ClaimType::StringOrList => Type::TextOrList,
            ClaimType::Object => Type::Object,
            ClaimType::Any => Type::Any,
        })
    }
}

/// As a line or a template names it: a claim by its name, what is inside one by a pointer.
pub(super) fn key_spelling(path: &[&str]) -> String {
    match path {
        [claim] if !claim.starts_with('/') => (*claim).to_owned(),
        _ => pointer(path),
    }
}

/// As a condition names it.
fn member_spelling(path: &[&str]) -> String {
    path.iter().fold("claims".to_owned(), |text, step| {
        match step.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            true => format!("{text}.{step}"),
            false => format!("{text}[{step:?}]"),
        }
    })
}

fn pointer(path: &[&str]) -> String {
    path.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}
