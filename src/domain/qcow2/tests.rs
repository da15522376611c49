use super::*;
use proptest::prelude::*;
use std::fs;
use std::process::Command;

/// An image as qemu-img makes it.
fn made(dir: &Path, name: &str, arguments: &[&str]) -> std::path::PathBuf {
    let path = dir.join(name);
    let output = Command::new("qemu-img")
        .current_dir(dir)
        .args(["create", "-q", "-f", "qcow2"])
        .args(arguments)
        .arg(&path)
        .arg("1M")
        .output()
        .expect("the package qemu-utils is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

#[test]
fn what_qemu_img_writes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("base.raw"), vec![0; 1 << 20]).unwrap();
    for options in ["compat=0.10", "compat=1.1", "cluster_size=512", "cluster_size=2M"] {
        let plain = read(&made(dir, "plain.qcow2", &["-o", options])).unwrap();
        assert_eq!((plain.backing, plain.backing_format, plain.data_file), (None, None, None));
        let path = made(dir, "top.qcow2", &["-o", options, "-b", "base.raw", "-F", "raw"]);
        let top = read(&path).unwrap();
        assert_eq!(top.backing.as_deref(), Some("base.raw"));
        assert_eq!(top.backing_format.as_deref(), Some("raw"));
        assert_eq!(top.data_file, None);
    }
    let path = made(dir, "meta.qcow2", &["-o", "data_file=data.raw,data_file_raw=on"]);
    assert_eq!(read(&path).unwrap().data_file.as_deref(), Some("data.raw"));
}

#[test]
fn what_is_no_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = fs::read(made(dir.path(), "good.qcow2", &["-u", "-b", "/below.img", "-F", "qcow2"])).unwrap();
    let path = dir.path().join("bad");
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut image = good.clone();
        change(&mut image);
        fs::write(&path, image).unwrap();
        read(&path)
    };
    assert_eq!(broken(&|_| {}).unwrap().backing.as_deref(), Some("/below.img"));
    let name = u64::from_be_bytes(good[8..16].try_into().unwrap()) as usize;
    assert_eq!(good[100..104], 112_u32.to_be_bytes());
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [(&str, Change<'_>); 17] = [
        ("begin", &|i| i.clear()),
        ("begin", &|i| i[0] = b'q'),
        ("shorter", &|i| i.truncate(10)),
        ("shorter", &|i| i.truncate(90)),
        ("version", &|i| i[7] = 1),
        ("version", &|i| i[7] = 4),
        ("cluster size", &|i| i[23] = 8),
        ("cluster size", &|i| i[20..24].fill(0xff)),
        ("length of its header", &|i| i[100..104].fill(0)),
        ("length of its header", &|i| i[100..104].fill(0xff)),
        ("longer than 1023", &|i| i[16..20].fill(0xff)),
        ("outside the first cluster", &|i| i[8..16].fill(0xff)),
        ("outside the first cluster", &|i| i[14..16].copy_from_slice(&[0, 16])),
        ("not text", &|i| i[name] = 0xff),
        ("not text", &|i| i[name + 3] = b'\n'),
        // The first extension stands right behind a header of 112 bytes.
        ("longer than the header", &|i| i[116..120].fill(0xff)),
        ("does not name", &|i| i[79] |= 4),
    ];
    for (what, change) in changes {
        let error = broken(change).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{what}");
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert_eq!(error.path(), Some(path.as_path()));
    }
    let error = broken(&|i| i.truncate(name + 4)).unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn only_files_and_block_devices_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [&fifo, Path::new("/dev/zero"), Path::new("/dev/full"), dir.path()] {
        let error = read(path).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL, "{error}");
    }
    assert_eq!(read(&dir.path().join("missing")).unwrap_err().errno(), libc::ENOENT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_header_ends(mut head in proptest::collection::vec(any::<u8>(), 0..600), version in 2..4_u8, bits in 8..22_u8) {
        for (at, byte) in [b'Q', b'F', b'I', 0xfb, 0, 0, 0, version].into_iter().enumerate() {
            if let Some(place) = head.get_mut(at) {
                *place = byte;
            }
        }
        if head.len() > 103 {
            head[20..24].copy_from_slice(&[0, 0, 0, bits]);
            head[100..104].copy_from_slice(&[0, 0, 0, 104]);
        }
        if let Ok(parsed) = parse(&head) {
            prop_assert!(parsed.backing.is_none_or(|(offset, size)| offset + u64::from(size) <= 1 << bits));
        }
    }
}
