//! Spelling any path as a rule's quoted name, so that every byte stands for itself.

use std::fmt::Write;

/// Adds `name` to a rule's quoted text.
///
/// What could mean something to the parser is written as `\ooo`, which it decodes only after it has found
/// the closing quote. The exception is the question mark: apparmor_parser 3.0.8 makes a quantifier of an
/// escaped one and a wildcard of a bare one, but understands an escaped one inside a class.
pub fn quote(name: &[u8], into: &mut String) {
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => into.push(char::from(byte)),
            b'/' | b'.' | b'_' | b'-' | b'+' | b'=' | b':' | b'~' => into.push(char::from(byte)),
            b'?' => into.push_str("[\\077]"),
            byte => {
                let _ = write!(into, "\\{byte:03o}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_stay_readable_and_everything_else_is_escaped() {
        for (name, quoted) in [
            ("/var/lib/libvirt/images/a-b_c+d=e:f~1.qcow2", "/var/lib/libvirt/images/a-b_c+d=e:f~1.qcow2"),
            ("/a b", "/a\\040b"),
            ("/a\"b", "/a\\042b"),
            ("/a\nb", "/a\\012b"),
            ("/@{HOME}", "/\\100\\173HOME\\175"),
            ("/a?*", "/a[\\077]\\052"),
            ("/\\", "/\\134"),
            ("/ä", "/\\303\\244"),
        ] {
            let mut text = String::new();
            quote(name.as_bytes(), &mut text);
            assert_eq!(text, quoted, "{name}");
        }
    }
}
