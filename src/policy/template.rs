//! Texts with claims in them: `gha-{repository_id}`, `{/kubernetes.io/namespace}`.

use std::sync::Arc;

use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::matcher::Selector;
use crate::vocab::UserName;

/// A parsed template.
#[derive(Debug, Clone)]
pub(super) enum Template {
    /// It reads no claim, and says the same for everybody; that may be a user's name.
    Fixed { text: SmolStr, user: Option<UserName> },
    /// It does.
    Filled { source: SmolStr, parts: Box<[Part]> },
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(SmolStr),
    Claim(Arc<Selector>),
}

impl Template {
    /// Reads a template; `{{` and `}}` stand for braces, and `selector` reads what is between single ones.
    pub(super) fn parse(
        source: &str,
        mut selector: impl FnMut(&str) -> Arc<Selector>,
    ) -> Result<Template, &'static str> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut characters = source.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '{' | '}' if characters.peek() == Some(&character) => {
                    characters.next();
                    text.push(character);
                }
                '{' => {
                    let name: String = characters.by_ref().take_while(|inner| *inner != '}').collect();
                    if name.is_empty() {
                        return Err("has an empty `{}`; name a claim");
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text).into()));
                    }
                    parts.push(Part::Claim(selector(&name)));
                }
                '}' => return Err("has a `}` without its `{`; write `}}` for a brace"),
                other => text.push(other),
            }
        }
        if source.matches('{').count() > 0 && unclosed(source) {
            return Err("has a `{` without its `}`; write `{{` for a brace");
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Ok(match parts.as_slice() {
            [] => Template::Fixed { text: SmolStr::default(), user: None },
            [Part::Text(text)] => Template::Fixed { text: text.clone(), user: UserName::parse(text).ok() },
            _ => Template::Filled { source: source.into(), parts: parts.into() },
        })
    }

    /// As it is written.
    pub(super) fn source(&self) -> String {
        match self {
            Template::Fixed { text, .. } => text.replace('{', "{{").replace('}', "}}"),
            Template::Filled { source, .. } => source.to_string(),
        }
    }

    /// The user it names, when it names the same one for everybody.
    pub(super) fn fixed_user(&self) -> Option<&UserName> {
        match self {
            Template::Fixed { user, .. } => user.as_ref(),
            Template::Filled { .. } => None,
        }
    }

    /// The claims it reads.
    pub(super) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.parts().iter().filter_map(|part| match part {
            Part::Claim(selector) => Some(&**selector),
            Part::Text(_) => None,
        })
    }

    fn parts(&self) -> &[Part] {
        match self {
            Template::Fixed { .. } => &[],
            Template::Filled { parts, .. } => parts,
        }
    }

    /// The text for these claims; `None` when one is absent or is no string, number or boolean.
    pub(super) fn render(&self, claims: &Map<String, Value>) -> Option<String> {
        if let Template::Fixed { text, .. } = self {
            return Some(text.to_string());
        }
        self.parts().iter().try_fold(String::new(), |mut rendered, part| {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Claim(selector) => match selector.select(claims)? {
                    Value::String(text) if !text.is_empty() => rendered.push_str(text),
                    Value::Number(number) => rendered.push_str(&number.to_string()),
                    Value::Bool(value) => rendered.push_str(if *value { "true" } else { "false" }),
                    _ => return None,
                },
            }
            Some(rendered)
        })
    }

    /// Whether some claims make it this user.
    pub(super) fn can_be(&self, user: &UserName) -> bool {
        match self {
            Template::Fixed { user: own, .. } => own.as_ref() == Some(user),
            Template::Filled { parts, .. } => fits(parts, user.as_str()),
        }
    }

    /// The user for these claims; `None` when they make no user name.
    pub(super) fn user(&self, claims: &Map<String, Value>) -> Option<UserName> {
        match self {
            Template::Fixed { user, .. } => user.clone(),
            Template::Filled { .. } => UserName::parse(&self.render(claims)?).ok(),
        }
    }
}

/// Whether some claims, none of them empty, turn these parts into the text.
fn fits(parts: &[Part], text: &str) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Text(own), rest @ ..] => text.strip_prefix(own.as_str()).is_some_and(|text| fits(rest, text)),
        [Part::Claim(_)] => !text.is_empty(),
        [Part::Claim(_), rest @ ..] => {
            text.char_indices().skip(1).any(|(end, _)| text.get(end..).is_some_and(|text| fits(rest, text)))
        }
    }
}

fn unclosed(source: &str) -> bool {
    let plain = source.replace("{{", "").replace("}}", "");
    plain.matches('{').count() != plain.matches('}').count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(source: &str) -> Result<Template, &'static str> {
        Template::parse(source, |key| Arc::new(Selector::parse(key)))
    }

    #[test]
    fn claims_take_their_places_and_nothing_else_does() {
        let claims = json!({ "id": "7", "n": 5, "a": { "b": "x" }, "list": ["x"], "empty": "" });
        let claims = claims.as_object().unwrap();
        let render = |source: &str| parse(source).unwrap().render(claims);
        assert_eq!(render("gha-{id}-{n}-{/a/b}").as_deref(), Some("gha-7-5-x"));
        assert_eq!(render("{{id}}").as_deref(), Some("{id}"));
        for absent in ["{gone}", "{list}", "{empty}", "{/a}"] {
            assert_eq!(render(absent), None, "{absent}");
        }
    }

    #[test]
    fn whom_a_template_can_become_is_known() {
        let can_be = |source: &str, user: &str| parse(source).unwrap().can_be(&UserName::parse(user).unwrap());
        assert!(
            can_be("gha-{id}", "gha-7")
                && can_be("{a}-{b}", "x-y-z")
                && can_be("{a}x", "xx")
                && can_be("fixed", "fixed")
        );
        assert!(
            !can_be("gha-{id}", "gha-")
                && !can_be("gha-{id}", "other")
                && !can_be("{a}-{b}", "xy")
                && !can_be("fixed", "fixe")
        );
    }

    #[test]
    fn a_claim_cannot_put_a_user_name_out_of_its_grammar() {
        let template = parse("gha-{name}").unwrap();
        let user = |value: &str| template.user(json!({ "name": value }).as_object().unwrap());
        assert!(user("ok").is_some());
        assert!(user("a b").is_none() && user("a\r\nX-Admin: 1").is_none());
        assert!(parse("{a").is_err() && parse("a}").is_err() && parse("{}").is_err());
    }
}
