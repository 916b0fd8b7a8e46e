//! What `docs/causes.md` says about a cause: one page for people who read and for people who ask.

/// The page. `tests/causes.rs` holds that it has every cause.
const PAGE: &str = include_str!("../../../docs/causes.md");
/// Stands in the page for the cell above.
const THE_SAME: &str = "the same";

/// What a cause means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) means: &'static str,
    pub(super) what_to_do: &'static str,
}

/// What the page says.
pub(super) fn of(cause: &str) -> Option<Advice> {
    let mut above = "";
    for line in PAGE.lines() {
        let mut cells = line.trim_matches(['|', ' ']).split(" | ");
        let (Some(name), Some(means), Some(what_to_do)) = (cells.next(), cells.next(), cells.next()) else { continue };
        let what_to_do = if what_to_do == THE_SAME { above } else { what_to_do };
        above = what_to_do;
        if name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) == Some(cause) {
            return Some(Advice { means, what_to_do });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_an_exchange_comes_with_what_to_do() {
        let exchange = PAGE.split("## Services").next().unwrap();
        let causes = exchange.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let causes: Vec<&str> = causes.filter(|name| name.contains('.')).collect();
        assert!(causes.len() > 60, "the page was not read");
        for cause in causes {
            let advice = of(cause).unwrap_or_else(|| panic!("{cause}"));
            assert!(!advice.means.is_empty() && !advice.what_to_do.is_empty(), "{cause}");
            assert_ne!(advice.what_to_do, THE_SAME, "{cause}");
        }
        assert_eq!(of("assertion.key_id").unwrap().what_to_do, "look at who made the token");
        assert_eq!(of("no.such"), None);
    }
}
