//! `countersign policy check`: the set is valid, or every fault in it; and every warning.

use super::set::Set;
use crate::cli::{Failed, output};

pub(super) fn run(set: &Set) -> Result<(), Failed> {
    let directory = set.config.policies.display();
    output::print(&format!("{directory}: {} policies, valid\n", set.policies.len()))?;
    if set.warnings.is_empty() { Ok(()) } else { output::print(&format!("\n{}\n", set.warnings)) }
}
