//! The tree keeps its order: a module imports only modules that stand above it in `lib.rs`, files stay short, and the
//! calls that exist in one place exist in that place only.
//!
//! Reads source text, not the compiler's view: comments, literals and `#[cfg(test)]` items are blanked first, line
//! numbers stay. Clippy's `disallowed-methods` sees through renames; this names the one file that is allowed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const MOST_LINES: usize = 400;

/// What may be written only under one path.
const ONE_PLACE: [(&str, &str); 5] = [
    ("SystemTime::now", "src/clock.rs"),
    ("reqwest::Client", "src/key/fetch"),
    ("kube::Client", "src/review/api.rs"),
    ("jsonwebtoken::decode", "src/claims"),
    ("jsonwebtoken::encode", "src/mint"),
];

/// Paths from the package's root, and their text.
type Tree = BTreeMap<String, String>;

#[test]
fn a_module_imports_only_modules_above_it_in_lib_rs() {
    let tree = read_tree(&["src"]);
    assert!(tree.len() > 20, "the source tree was not found");
    assert_none(&import_faults(&tree));
}

#[test]
fn no_file_is_longer_than_400_lines() {
    assert_none(&length_faults(&read_tree(&["src", "tests", "benches", "examples"])));
}

#[test]
fn clock_network_and_token_decoding_have_one_place_each() {
    assert_none(&place_faults(&read_tree(&["src"])));
}

#[test]
fn a_made_up_tree_with_one_fault_of_each_kind_is_faulted_at_its_lines() {
    let faults = import_faults(&tree(&[
        ("src/lib.rs", "pub mod vocab;\npub mod key;\nmod claims;\n#[cfg(test)]\nmod testing;\n"),
        ("src/vocab.rs", "//! See [`crate::claims`].\n\nuse crate::{vocab::A, claims::{B, C}};\n"),
        ("src/vocab/names.rs", "use super::super::key;\nuse super::claims;\n"),
        ("src/key.rs", "use super::claims::Verified;\n"),
        ("src/key/fetch.rs", "fn f() -> &'static str { \"crate::claims\" }\nfn g() { crate::claims::h() }\n"),
        ("src/claims.rs", "use crate::key::Key; // crate::later is only said\nuse super::vocab::A;\n"),
        ("src/main.rs", "fn main() { countersign::claims::run() }\n"),
    ]));
    let places: Vec<&str> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["src/key.rs:1:", "src/key/fetch.rs:2:", "src/vocab.rs:3:", "src/vocab/names.rs:1:"]);
    assert_eq!(faults[0], "src/key.rs:1: `key` imports `claims`, which stands below it in lib.rs");
}

#[test]
fn test_code_may_import_what_it_likes() {
    let accepted = [
        "#[cfg(test)]\nmod tests {\n    use crate::claims::A;\n    fn f() { '{'; }\n}\n",
        "#[cfg(test)]\nuse crate::claims::A;\n",
    ];
    for text in accepted {
        assert_eq!(import_faults(&small_tree(text)), [""; 0], "{text}");
    }
    let after = "#[cfg(test)]\nmod tests { }\nuse crate::claims::A;\n";
    assert_eq!(import_faults(&small_tree(after)).len(), 1, "the code after a test module counts again");

    let mut apart = small_tree("#[cfg(test)]\nmod promises;\n");
    apart.insert("src/key/promises.rs".into(), "use crate::claims::A;\n".into());
    assert_eq!(import_faults(&apart), [""; 0]);
}

#[test]
fn a_long_file_and_a_call_out_of_its_place_are_faulted() {
    let long = "\n".repeat(MOST_LINES);
    assert_eq!(length_faults(&tree(&[("src/long.rs", &long)])), [""; 0]);
    assert_eq!(length_faults(&tree(&[("src/long.rs", &format!("{long}\n"))])).len(), 1);

    let reading = "fn now() { std::time::SystemTime::now(); }\n";
    assert_eq!(place_faults(&tree(&[("src/clock.rs", reading)])), [""; 0]);
    assert_eq!(
        place_faults(&tree(&[("src/mint.rs", reading)])),
        ["src/mint.rs:1: `SystemTime::now` belongs in src/clock.rs"]
    );
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn small_tree(key: &str) -> Tree {
    tree(&[("src/lib.rs", "pub mod key;\npub mod claims;\n"), ("src/key.rs", key), ("src/claims.rs", "")])
}

fn read_tree(directories: &[&str]) -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tree = Tree::new();
    let mut waiting: Vec<_> = directories.iter().map(|name| root.join(name)).collect();
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                tree.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    tree
}

fn length_faults(tree: &Tree) -> Vec<String> {
    let long = tree.iter().filter(|(_, text)| text.lines().count() > MOST_LINES);
    long.map(|(path, text)| format!("{path}: {} lines, at most {MOST_LINES}", text.lines().count())).collect()
}

fn place_faults(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, code) in production_code(tree) {
        for (call, place) in ONE_PLACE {
            if !path.starts_with(place) {
                let found = code.match_indices(call);
                faults
                    .extend(found.map(|(at, _)| format!("{path}:{}: `{call}` belongs in {place}", line_of(&code, at))));
            }
        }
    }
    faults
}

fn import_faults(tree: &Tree) -> Vec<String> {
    let order = module_order(&tree["src/lib.rs"]);
    let position = |name: &str| order.iter().position(|module| module == name);
    let mut faults = Vec::new();
    for (path, code) in production_code(tree) {
        let segments: Vec<&str> = path["src/".len()..path.len() - ".rs".len()].split('/').collect();
        let Some(own) = position(segments[0]) else { continue };
        for (at, imported) in crate_imports(&code, segments.len()) {
            if position(&imported).is_some_and(|theirs| theirs > own) {
                let line = line_of(&code, at);
                faults.push(format!(
                    "{path}:{line}: `{}` imports `{imported}`, which stands below it in lib.rs",
                    segments[0]
                ));
            }
        }
    }
    faults
}

fn module_order(lib: &str) -> Vec<String> {
    let code = without_tests(&without_prose(lib));
    let declared = code.lines().filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "));
    declared.map(|rest| rest.trim_end_matches(';').to_owned()).collect()
}

/// Every file without comments, literals and tests; files that are test modules are left out.
fn production_code(tree: &Tree) -> BTreeMap<String, String> {
    let mut code: BTreeMap<String, String> =
        tree.iter().map(|(path, text)| (path.clone(), without_prose(text))).collect();
    let tests: Vec<String> = code.iter().flat_map(|(path, text)| test_files(path, text)).collect();
    code.retain(|path, _| !tests.contains(path));
    code.values_mut().for_each(|text| *text = without_tests(text));
    code
}

/// The files that `#[cfg(test)] mod name;` stands for.
fn test_files(path: &str, code: &str) -> Vec<String> {
    let directory = path.trim_end_matches(".rs").trim_end_matches("/lib").to_owned();
    let after = code.split("#[cfg(test)]").skip(1);
    let named = after.filter_map(|rest| rest.trim_start().strip_prefix("mod ")?.split_once(';'));
    named.filter(|(name, _)| !name.contains('{')).map(|(name, _)| format!("{directory}/{name}.rs")).collect()
}

/// Where the code names a top-level module: `crate::x`, `crate::{x, y::z}`, and `super::` taken `depth` times.
fn crate_imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            let before = &code[..at];
            if before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                None => found.push((at, identifier(rest))),
                Some(group) => found.extend(group_heads(group).into_iter().map(|name| (at, name))),
            }
        }
    }
    found.sort();
    found
}

/// The first name of each member of a `{…}` import group; `group` starts behind its opening brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![identifier(group)];
    let mut open = 1;
    for (at, c) in group.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => heads.push(identifier(&group[at + 1..])),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Blanks every item that stands behind `#[cfg(test)]`: up to its `;` or its closing brace.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let mut open = 0;
        let end = item.char_indices().find_map(|(index, c)| {
            open += i32::from(c == '{') - i32::from(c == '}');
            (open == 0 && (c == ';' || c == '}')).then_some(index + 1)
        });
        let (blanked, after) = item.split_at(end.unwrap_or(item.len()));
        kept.extend(blanked.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    kept + rest
}

/// Blanks comments, strings and character literals; line breaks stay.
fn without_prose(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let prose = prose_length(rest, kept.chars().next_back());
        let (skipped, after) = rest.split_at(prose.unwrap_or(next.len_utf8()));
        match prose {
            None => kept.push(next),
            Some(_) => kept.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
        }
        rest = after;
    }
    kept
}

/// How many bytes of comment or literal `text` starts with.
fn prose_length(text: &str, before: Option<char>) -> Option<usize> {
    let end_of = |from: usize, mark: &str| text[from..].find(mark).map_or(text.len(), |at| from + at + mark.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(end_of(2, "*/"));
    }
    if text.starts_with('"') {
        return Some(quoted_length(text, '"'));
    }
    let hashes = text.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes
        && text[1 + hashes..].starts_with('"')
        && !before.is_some_and(|c| c.is_alphanumeric() && c != 'b')
    {
        return Some(end_of(2 + hashes, &format!("\"{}", "#".repeat(hashes))));
    }
    // A lifetime has no closing quote behind its first character.
    let mut characters = text.strip_prefix('\'')?.chars();
    let first = characters.next()?;
    (first == '\\' || characters.next() == Some('\'')).then(|| quoted_length(text, '\''))
}

/// The length of a literal up to its closing quote, past escapes.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}
