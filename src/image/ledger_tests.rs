//! What a ledger says survives being written; rubbish is set aside.

use super::*;
use crate::domain::Uuid;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn hold(path: &str, label: &str, origin: Option<Origin>) -> Hold {
    Hold {
        path: Path::new(path).into(),
        model: if label.starts_with('+') { "dac" } else { "selinux" },
        label: label.parse().unwrap(),
        identity: origin.as_ref().map(|_| "1-2-3".parse().unwrap()),
        origin: origin.map(Box::new),
        earlier: false,
        was: None,
        uses: 1,
    }
}

const HOLDER: Holder = Holder { owner: 7, uuid: Uuid([5; 16]) };

fn ledgers() -> (tempfile::TempDir, Ledgers) {
    let dir = tempfile::tempdir().unwrap();
    let ledgers = Ledgers::open(&dir.path().join("state")).unwrap();
    (dir, ledgers)
}

#[test]
fn what_is_written_is_read() {
    let (_dir, ledgers) = ledgers();
    assert!(ledgers.read(HOLDER).unwrap().is_none());
    let odd = OsStr::from_bytes(b"/a \n\xff,\t*").to_str().map_or("/a \n,\t*", |odd| odd);
    let holds = [
        hold("/disk", "+1:+2", None),
        hold(odd, "+1:+2", Some(Origin { original: Some("+0:+0".parse().unwrap()), acl: None })),
        hold("/none", "u:r:t:s0:c1,c2", Some(Origin { original: None, acl: None })),
    ];
    let lines: Vec<_> = holds.iter().map(Line::Hold).collect();
    ledgers.append(HOLDER, &lines, true).unwrap();
    ledgers.append(HOLDER, &lines[..1], false).unwrap();
    ledgers.append(HOLDER, &[Line::Drop(&holds[1])], false).unwrap();
    let page = ledgers.read(HOLDER).unwrap().unwrap();
    assert_eq!(page.lines, 5);
    assert_eq!(page.holds.len(), 2);
    assert_eq!(page.holds.get(&holds[0].path, "dac"), Some(&Hold { uses: 2, ..holds[0].clone() }));
    assert_eq!(page.holds.get(&holds[2].path, "selinux"), Some(&holds[2]));
    ledgers.rewrite(HOLDER, &page.holds).unwrap();
    let again = ledgers.read(HOLDER).unwrap().unwrap();
    assert_eq!((again.lines, again.holds.len()), (3, 2));
    assert_eq!(ledgers.domains(7).unwrap(), [HOLDER]);
    assert!(ledgers.domains(8).unwrap().is_empty());
    // A label that was to be changed to another one, by a process that did not come to the end.
    let next = hold("/disk", "+3:+3", None);
    ledgers.append(HOLDER, &[Line::Hold(&next), Line::Drop(&next)], true).unwrap();
    let changed = Hold { uses: 2, was: Some(holds[0].label.clone()), ..next };
    for _ in 0..2 {
        let page = ledgers.read(HOLDER).unwrap().unwrap();
        assert_eq!(page.holds.get(&changed.path, "dac"), Some(&changed));
        ledgers.rewrite(HOLDER, &page.holds).unwrap();
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(ledgers.path()), mode(&ledgers.full(&name(HOLDER)))), (0o700, 0o600));
    ledgers.remove(HOLDER).unwrap();
    ledgers.remove(HOLDER).unwrap();
}

#[test]
fn cut_anywhere_the_earlier_steps_stand_and_nothing_else() {
    let (_dir, ledgers) = ledgers();
    let (first, second) = (hold("/1", "+1:+2", None), hold("/2", "+1:+2", None));
    ledgers.append(HOLDER, &[Line::Hold(&first)], false).unwrap();
    let path = ledgers.full(&name(HOLDER));
    let one = fs::read(&path).unwrap();
    ledgers.append(HOLDER, &[Line::Hold(&second)], false).unwrap();
    let both = fs::read(&path).unwrap();
    for length in 0..both.len() {
        fs::write(&path, &both[..length]).unwrap();
        let holds = ledgers.read(HOLDER).unwrap().map_or(0, |page| page.holds.len());
        assert_eq!(holds, usize::from(length >= one.len()), "{length}");
        if (1..one.len()).contains(&length) {
            assert!(!path.exists() && path.with_extension("damaged").exists());
        }
    }
    for at in 0..both.len() {
        let mut broken = both.clone();
        broken[at] ^= 0x20;
        fs::write(&path, &broken).unwrap();
        let holds = ledgers.read(HOLDER).unwrap().map_or(0, |page| page.holds.len());
        assert_eq!(holds, usize::from(at >= one.len()), "{at}");
    }
    // After a cut the file goes on where the last whole frame ended.
    fs::write(&path, &both[..both.len() - 3]).unwrap();
    ledgers.read(HOLDER).unwrap();
    ledgers.append(HOLDER, &[Line::Hold(&second)], false).unwrap();
    assert_eq!(fs::read(&path).unwrap(), both);
}

#[test]
fn what_is_no_ledger_is_set_aside() {
    let (dir, ledgers) = ledgers();
    let path = ledgers.full(&name(HOLDER));
    let aside = path.with_extension("damaged");
    fs::create_dir(&path).unwrap();
    assert!(ledgers.read(HOLDER).unwrap().is_none());
    fs::remove_dir(&aside).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
    assert!(ledgers.read(HOLDER).unwrap().is_none());
    fs::write(&path, "root:x:0:0\n").unwrap();
    assert!(ledgers.read(HOLDER).unwrap().is_none());
    assert_eq!(fs::read(&aside).unwrap(), b"root:x:0:0\n");
    fs::set_permissions(&**ledgers.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(Ledgers::open(ledgers.path()).unwrap_err().errno(), libc::EPERM);
}

proptest::proptest! {
    #[test]
    fn rubbish_is_read_without_harm(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut framed = MAGIC.to_vec();
        framed.extend((bytes.len() as u32).to_le_bytes());
        framed.extend(fnv(&bytes).to_le_bytes());
        framed.extend(&bytes);
        decode(&bytes);
        decode(&framed);
    }
}
