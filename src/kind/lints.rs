//! What the lints of policies know of a kind's tokens (`docs/lints.md`): data beside the kind's own, so that no lint asks
//! which kind it is.

use super::Identity;

/// What policies for a kind often leave open, and what its tokens never say.
pub struct Lints {
    /// How one workload is told from all others.
    pub workload: Option<Workload>,
    /// Why its jobs ran, where strangers can make some run.
    pub events: Option<Events>,
    /// The claim that says whose machine the job ran on.
    pub runner: Option<&'static str>,
    /// What fixes the definition of the job.
    pub definition: Option<Fixed>,
    /// What fixes the branch or tag.
    pub reference: Option<Fixed>,
    /// Claims that every token has, beside `sub`, `aud` and `exp`. They may be JSON Pointers.
    pub always: &'static [&'static str],
    /// All values that a claim can have, where they are few and will not become more.
    pub values: &'static [(&'static str, &'static [&'static str])],
    /// Whether a token of this issuer can say this in a top-level claim; the rule that forbids it, as the end of a
    /// sentence.
    pub can_say: fn(&Identity<'_>, &str, &str) -> Result<(), &'static str>,
}

/// By what one workload is named.
pub struct Workload {
    /// What it is called: "repository".
    pub noun: &'static str,
    /// The lint that finds a policy which names none.
    pub lint: &'static str,
    /// Claims that together are one workload's alone, in each way that there is.
    pub ids: &'static [&'static [&'static str]],
    /// Claims whose value names one. A pattern stays within it when its beginning has this shape, in which `*` is any
    /// name; with an empty one no pattern does.
    pub names: &'static [(&'static str, &'static str)],
    /// Claims that say otherwise what may come: where a policy has one, it need not name a workload.
    pub others: &'static [&'static str],
}

/// Events that make jobs run.
pub struct Events {
    /// The claim that names the event.
    pub claim: &'static str,
    /// Those that somebody can cause who may not change the code that is deployed.
    pub reachable: &'static [&'static str],
}

/// What settles one question, in each way that there is.
pub struct Fixed {
    /// Claims that do so together.
    pub claims: &'static [&'static [&'static str]],
    /// What a `sub` has in it that does so as well; empty: none does.
    pub in_subject: &'static str,
}

impl Lints {
    /// Of a kind of which nothing of this is known.
    pub const NONE: Lints = Lints {
        workload: None,
        events: None,
        runner: None,
        definition: None,
        reference: None,
        always: &[],
        values: &[],
        can_say: |_, _, _| Ok(()),
    };
}
