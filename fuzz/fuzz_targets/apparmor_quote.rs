//! Any paths and any name of a guest: each rule is one rule, about the path that was given and no other.
//! One in a thousand texts is also read by the real parser, where there is one.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use svirt::domain::{Definition, Flags, Kind, Resource, Uuid};
use svirt::driver::apparmor::rules;

const PARSER: &str = "/usr/sbin/apparmor_parser";
/// The rules that every guest has.
const OWN: usize = 4;

/// What a rule's quoted text stands for, read by the grammar of AppArmor's own language: `Err` for a text that
/// ends early or is a pattern. The literal parts of the library's own patterns are not asked for here.
fn unquote(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut name, mut rest) = (Vec::new(), text);
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => {
                let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = after else {
                    return Err("an escape that is not three octal digits");
                };
                name.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            // A class of the one character that cannot be escaped outside of one.
            b'[' => {
                rest = after.strip_prefix(b"\\077]").ok_or("a class")?;
                name.push(b'?');
            }
            b'*' | b'?' | b']' | b'{' | b'}' | b'^' | b',' => return Err("a pattern"),
            b'"' | b'\n' | b'\r' | 0 => return Err("the end of the text"),
            b'@' | b'$' => return Err("a variable"),
            byte => name.push(*byte),
        }
    }
    Ok(name)
}

fuzz_target!(|input: (&str, Vec<(u8, &[u8])>)| {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let (title, paths) = input;
    let Ok(mut definition) = Definition::new(title, Uuid([7; 16]), "kvm") else { return };
    let mut wanted = Vec::new();
    for (kind, bytes) in paths.iter().take(8) {
        // What need not be there yet, in a folder that is: the name goes into the rule as it is.
        let kind = [Kind::ChardevFile, Kind::ChardevUnix, Kind::VhostUserSocket, Kind::Shmem][usize::from(kind % 4)];
        let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'/').take(255).collect();
        let path = Path::new("/dev/shm").join(OsStr::from_bytes(&bytes));
        let Ok(resource) = Resource::new(kind, &path, Flags::default()) else { continue };
        if bytes.is_empty() || bytes == b"." || bytes == b".." || path.exists() {
            continue;
        }
        wanted.push(path.as_os_str().as_bytes().to_vec());
        definition.resources.push(resource);
    }
    let text = rules::text(&definition, |_| true).expect("rules");
    wanted.sort();
    wanted.dedup();
    let lines: Vec<&[u8]> = text.as_bytes().split_inclusive(|byte| *byte == b'\n').skip(1).collect();
    assert_eq!(lines.len(), OWN + wanted.len(), "{text}");
    let mut found = Vec::new();
    for line in lines {
        let line = line.strip_prefix(b"  \"").and_then(|line| line.strip_suffix(b",\n")).expect("a rule");
        let end = line.iter().position(|byte| *byte == b'"').expect("the end of a name");
        assert!(matches!(&line[end..], b"\" rw" | b"\" w" | b"\" rwk"), "{}", line.escape_ascii());
        match unquote(&line[..end]) {
            Ok(name) => found.push(name),
            // A pattern of ours around the guest's name.
            Err(_) => assert!(line.starts_with(b"/var/l") || line.starts_with(b"/run/libvirt/"), "{}", line.escape_ascii()),
        }
    }
    found.sort();
    assert_eq!(found, wanted);
    if RUNS.fetch_add(1, Ordering::Relaxed) % 1000 == 0 && Path::new(PARSER).exists() {
        let profile = format!("profile fuzz {{\n{text}}}\n");
        let mut parser = Command::new(PARSER)
            .args(["--skip-kernel-load", "--skip-cache", "--config-file=/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the parser");
        parser.stdin.take().expect("a pipe").write_all(profile.as_bytes()).expect("written");
        assert!(parser.wait().expect("ended").success(), "{profile}");
    }
});
