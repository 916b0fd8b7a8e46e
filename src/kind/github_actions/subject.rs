//! What a `sub` of GitHub Actions says, for people to read. Nothing is decided by it: it has three forms, two of which
//! repositories and organizations can choose between, so identity comes from the claims.

/// The three forms.
#[derive(Debug, PartialEq, Eq)]
enum Subject<'a> {
    /// `repo:OWNER/NAME:CONTEXT`.
    Named { repository: &'a str, context: &'a str },
    /// `repo:OWNER@ID/NAME@ID:CONTEXT`: repositories created, renamed or moved since July 2026, others on request.
    Numbered { owner: (&'a str, &'a str), name: (&'a str, &'a str), context: &'a str },
    /// Whatever a customisation template makes of the claims.
    Custom,
}

impl Subject<'_> {
    fn parse(text: &str) -> Subject<'_> {
        let repository_and_context = text.strip_prefix("repo:").and_then(|rest| rest.split_once(':'));
        let Some((repository, context)) = repository_and_context.filter(|(_, context)| is_default(context)) else {
            return Subject::Custom;
        };
        let Some((owner, name)) = repository.split_once('/') else { return Subject::Custom };
        match (numbered(owner), numbered(name)) {
            (Some(owner), Some(name)) => Subject::Numbered { owner, name, context },
            _ if repository.contains('@') => Subject::Custom,
            _ => Subject::Named { repository, context },
        }
    }
}

/// `ref:…`, `environment:…` or `pull_request`, and nothing behind it: a `:` in a value is written `%3A`.
fn is_default(context: &str) -> bool {
    let value = context.strip_prefix("ref:").or_else(|| context.strip_prefix("environment:"));
    context == "pull_request" || value.is_some_and(|value| !value.is_empty() && !value.contains(':'))
}

/// `NAME@ID`; a name has no `@`.
fn numbered(part: &str) -> Option<(&str, &str)> {
    part.split_once('@').filter(|(name, id)| !name.is_empty() && is_number(id))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One line of `explain`.
pub(super) fn describe(subject: &str) -> String {
    let shown = |context: &str| context.replacen(':', " ", 1).replace("%3A", ":");
    match Subject::parse(subject) {
        Subject::Named { repository, context } => {
            format!("{repository} by its names, which can be taken over; {}", shown(context))
        }
        Subject::Numbered { owner, name, context } => {
            format!("{}/{}, ids {}/{}; {}", owner.0, name.0, owner.1, name.1, shown(context))
        }
        Subject::Custom => "made by a customisation template; the claims say who it is".to_owned(),
    }
}

/// Why a policy should not rest on a subject, or on the beginning or pattern of one; `has_id` when another line pins
/// the repository or its owner by id.
pub(super) fn doubt(subject: &str, has_id: bool) -> Option<&'static str> {
    let repository = subject.strip_prefix("repo:")?.split(':').next()?;
    let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
    let is_numbered = |part: &str| part.split_once('@').is_some_and(|(_, id)| is_number(id));
    let has_dash = |part: &str| part.rsplit_once('-').is_some_and(|(_, id)| is_number(id));
    if has_dash(owner) && has_dash(name) {
        return Some(
            "has the form with ids behind dashes, which GitHub withdrew: anybody can register an organization whose \
             name ends so",
        );
    }
    let says_ids = is_numbered(owner) && (name.is_empty() || is_numbered(name));
    (!has_id && !says_ids).then_some("names a repository by names only, which can be taken over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_told_apart() {
        let named = |context| Subject::Named { repository: "acme/shop", context };
        for context in ["ref:refs/heads/main", "ref:refs/tags/v1", "environment:prod%3Aeu", "pull_request"] {
            assert_eq!(Subject::parse(&format!("repo:acme/shop:{context}")), named(context));
            let numbered = Subject::Numbered { owner: ("acme", "65"), name: ("shop", "123456"), context };
            assert_eq!(Subject::parse(&format!("repo:acme@65/shop@123456:{context}")), numbered);
        }
        for custom in [
            "repository_id:456789",
            "job_workflow_ref:acme/ci/.github/workflows/x.yml@refs/heads/main",
            "repo:acme/shop:environment:prod:job_workflow_ref:acme/ci/.github/workflows/x.yml@refs/heads/main",
            "repo:acme/shop",
            "repo:acme@65/shop:pull_request",
            "repo:acme@x/shop@y:pull_request",
            "repo:acme/shop:environment:",
            "repo::pull_request",
            "",
        ] {
            assert_eq!(Subject::parse(custom), Subject::Custom, "{custom}");
        }
        assert_eq!(describe("repo:acme@65/shop@7:environment:prod%3Aeu"), "acme/shop, ids 65/7; environment prod:eu");
    }

    #[test]
    fn names_without_ids_and_ids_behind_dashes_are_doubted() {
        for names in ["repo:acme/shop:ref:refs/heads/main", "repo:acme/*", "repo:acme@*/shop@*:pull_request", "repo:"] {
            assert!(doubt(names, false).is_some() && doubt(names, true).is_none(), "{names}");
        }
        let dashes = "repo:acme-65/shop-123456:ref:refs/heads/main";
        assert!(doubt(dashes, true).unwrap().contains("withdrew"));
        for fine in ["repo:acme@65/shop@7:pull_request", "repo:acme@65/", "repository_id:7", "repo:acme-65/shop@7:x"] {
            assert!(doubt(fine, true).is_none(), "{fine}");
        }
        assert!(doubt("repo:acme@65/shop@7:pull_request", false).is_none());
    }
}
