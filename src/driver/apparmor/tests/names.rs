//! No name, whatever its bytes, is anything but itself.

use super::super::quote::quote;
use super::{domain, parse, resource, rules};
use crate::domain::{Definition, Kind};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The bytes that a quoted name stands for; `None` when it has anything that the parser could understand
/// otherwise.
fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let (mut name, mut rest) = (Vec::new(), text);
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'[' => {
                name.push(b'?');
                rest.strip_prefix(b"[\\077]")?
            }
            b'\\' => {
                let digits = std::str::from_utf8(after.get(..3)?).ok()?;
                name.push(u8::from_str_radix(digits, 8).ok()?);
                &after[3..]
            }
            byte if byte.is_ascii_alphanumeric() || b"/._-+=:~".contains(&byte) => {
                name.push(byte);
                after
            }
            _ => return None,
        };
    }
    Some(name)
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(b"\"'\\*?[]{}^,@#|&;()$ \n\t\x01-.!0aw\xc3\xff".to_vec());
    let byte = prop_oneof![3 => special, 1 => 1..=255_u8];
    proptest::collection::vec(byte.prop_filter("no separator", |b| *b != b'/'), 1..40)
        .prop_filter("a name", |name| !matches!(&name[..], b"." | b".."))
}

proptest! {
    #[test]
    fn no_name_can_add_or_end_a_rule(name in hostile(), title in hostile()) {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let path = folder.join(OsStr::from_bytes(&name));
        let title = String::from_utf8_lossy(&title).into_owned();
        let text = rules::text(&Definition { name: title, ..domain("x", vec![resource(Kind::ChardevUnix, 0, &path)]) }, |_| true).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // A comment, the four of every guest, and the one of its socket.
        prop_assert_eq!(lines.len(), 6);
        let mut found = 0;
        for line in &lines[1..] {
            let rule = line.strip_prefix("  \"").and_then(|line| line.split_once("\" "));
            let (quoted, permissions) = rule.ok_or_else(|| TestCaseError::fail(line.to_string()))?;
            prop_assert!(matches!(permissions, "rw," | "w," | "rwk,"), "{}", line);
            found += usize::from(unquote(quoted.as_bytes()).is_some_and(|name| name == path.as_os_str().as_bytes()));
        }
        prop_assert_eq!(found, 1);
    }

    #[test]
    fn every_name_quoted_is_itself(name in proptest::collection::vec(1..=255_u8, 0..60)) {
        let mut text = String::new();
        quote(&name, &mut text);
        prop_assert_eq!(unquote(text.as_bytes()), Some(name));
    }
}

#[test]
fn the_real_parser_understands_each_name_as_itself() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    // Its dump tells names and what they became apart by lines and arrows.
    let plain = |name: &[u8]| !name.iter().any(|b| matches!(b, b'\n' | b'>'));
    let mut names: BTreeSet<Vec<u8>> =
        (1..=255).filter(|b| *b != b'/').map(|b| vec![b'x', b, b'y']).collect();
    names.extend((0..400).map(|_| hostile().new_tree(&mut runner).unwrap().current()));
    names.retain(|name| plain(name));
    let paths: BTreeSet<Vec<u8>> = names.iter().map(|name| [b"/img/", &name[..]].concat()).collect();
    let mut text = String::new();
    for path in &paths {
        text.push('"');
        quote(path, &mut text);
        text.push_str("\" rw,\n");
    }
    let dump = parse(&[text], &["-D", "rule-exprs"]);
    let mut found = BTreeSet::new();
    for line in dump.split(|b| *b == b'\n').filter_map(|line| line.strip_prefix(b"aare: /img/")) {
        let arrow = b"   ->   ";
        let at = line.windows(arrow.len()).position(|window| window == arrow).unwrap();
        found.insert(literal(&line[at + arrow.len()..]).unwrap_or_else(|| panic!("{}", line.escape_ascii())));
    }
    assert_eq!(found, paths);
}

/// The one string that a regular expression of the parser's matches; `None` when there are others.
fn literal(expression: &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut rest) = (Vec::new(), expression);
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'\\' => {
                text.push(*after.first()?);
                &after[1..]
            }
            b'[' => {
                text.push(b'?');
                rest.strip_prefix(b"[?]")?
            }
            b'.' | b'*' | b'+' | b'?' | b'|' | b'(' | b')' | b']' | b'^' | b'$' | b'{' | b'}' => return None,
            byte => {
                text.push(byte);
                after
            }
        };
    }
    Some(text)
}
