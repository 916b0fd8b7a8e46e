//! Text of a stranger, as an operator may see it.

/// At most so many characters of `text`, with everything that a terminal or a log would act on written as its escape.
#[must_use]
pub fn shown(text: &str, characters: usize) -> String {
    let mut shown = String::new();
    let mut rest = text.chars();
    for character in rest.by_ref().take(characters) {
        if is_plain(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Neither a control nor a direction-changing character.
fn is_plain(character: char) -> bool {
    let changes = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    !character.is_control() && !changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_and_nothing_moves_the_cursor() {
        assert_eq!(shown("abcdef", 6), "abcdef");
        assert_eq!(shown("abcdef", 5), "abcde…");
        assert_eq!(shown("a\u{1b}[2J\n\u{202e}", 9), "a\\u{1b}[2J\\u{a}\\u{202e}");
    }
}
