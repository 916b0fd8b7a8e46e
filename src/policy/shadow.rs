//! What enforcing shadow policies would change: counted from what their verdicts stood beside.
//!
//! In: for each exchange its shadow verdicts and what became of it. Out: one row a policy. Not here: where exchanges come
//! from (see `cli`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Users that a row names; a template has as many as its claim has values.
const USERS: usize = 5;

/// What the enforced policies made of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided<'a> {
    /// They admitted it as this user.
    Admitted(&'a str),
    /// None admitted it.
    None,
    /// They refused for a reason that one more policy does not take away: two users, an error.
    Refused,
}

/// What enforcing one shadow policy alone would have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Exchanges that it would have admitted by its own lines.
    pub exchanges: u64,
    /// Refused ones that it would have let in.
    pub would_admit: u64,
    /// Admitted ones that would have been refused, since it says another user.
    pub would_break: u64,
    /// Those that would have ended as they did.
    pub no_change: u64,
    /// Those in which another shadow policy says another user: enforcing both would refuse them.
    pub conflicts: u64,
    /// Some of the users that it would have admitted.
    pub users: BTreeSet<String>,
    /// When it said something last.
    pub last_seen: Option<String>,
    /// The trace id of the last exchange that it would have changed.
    pub trace_id: Option<String>,
}

/// Counts exchanges by shadow policy.
#[derive(Debug, Default)]
pub struct Effects(BTreeMap<String, Effect>);

impl Effects {
    /// Adds one exchange: what each shadow policy says, by policy and user; what became of it; its time and trace id.
    pub fn add(&mut self, verdicts: &[(&str, &str)], decided: Decided<'_>, (time, trace_id): (&str, &str)) {
        for (policy, user) in verdicts {
            let effect = self.0.entry((*policy).to_owned()).or_default();
            effect.exchanges += 1;
            let changed = match decided {
                Decided::None => &mut effect.would_admit,
                Decided::Admitted(other) if other != *user => &mut effect.would_break,
                Decided::Admitted(_) | Decided::Refused => &mut effect.no_change,
            };
            *changed += 1;
            effect.conflicts += u64::from(verdicts.iter().any(|(_, other)| other != user));
            if effect.users.len() < USERS {
                effect.users.insert((*user).to_owned());
            }
            effect.last_seen = Some(time.to_owned());
            if decided == Decided::None || matches!(decided, Decided::Admitted(other) if other != *user) {
                effect.trace_id = Some(trace_id.to_owned());
            }
        }
    }

    /// The policies that said something, and what their verdicts come to.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Effect)> {
        self.0.iter().map(|(policy, effect)| (policy.as_str(), effect))
    }

    /// What one policy's verdicts come to; nothing, when it said nothing.
    #[must_use]
    pub fn of(&self, policy: &str) -> Effect {
        self.0.get(policy).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_verdict_counts_by_what_it_stood_beside() {
        let mut effects = Effects::default();
        let verdict = [("trial", "u")];
        for (decided, trace_id) in [
            (Decided::None, "a"),
            (Decided::Admitted("other"), "b"),
            (Decided::Admitted("u"), "c"),
            (Decided::Refused, "d"),
        ] {
            effects.add(&verdict, decided, ("t", trace_id));
        }
        let effect = effects.of("trial");
        let counts = (effect.exchanges, effect.would_admit, effect.would_break, effect.no_change, effect.conflicts);
        assert_eq!((counts, effect.trace_id.as_deref()), ((4, 1, 1, 2, 0), Some("b")));
        assert_eq!(effects.of("silent"), Effect::default());
    }

    #[test]
    fn two_shadow_policies_that_disagree_are_a_conflict_of_both() {
        let mut effects = Effects::default();
        effects.add(&[("a", "u"), ("b", "v"), ("c", "u")], Decided::None, ("t", "x"));
        effects.add(&[("a", "u"), ("c", "u")], Decided::None, ("t", "y"));
        let conflicts = |policy: &str| effects.of(policy).conflicts;
        assert_eq!((conflicts("a"), conflicts("b"), conflicts("c")), (1, 1, 1));
        assert_eq!(effects.of("a").would_admit, 2);
    }

    #[test]
    fn a_template_s_many_users_are_not_all_named() {
        let mut effects = Effects::default();
        for index in 0..100 {
            effects.add(&[("t", &format!("u{index}"))], Decided::None, ("t", "x"));
        }
        assert_eq!(effects.of("t").users.len(), USERS);
    }
}
