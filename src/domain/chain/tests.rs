use super::*;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

struct Images(TempDir);

impl Images {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `qemu-img create`, with the backing name taken as it is.
    fn make(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        let output = Command::new("qemu-img")
            .current_dir(self.0.path())
            .args(["create", "-q", "-u", "-f", "qcow2"])
            .args(arguments)
            .arg(&path)
            .arg("1M")
            .output()
            .expect("the package qemu-utils is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }

    fn raw(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [0; 512]).unwrap();
        path
    }
}

fn below(top: &Path) -> Result<Vec<Resource>> {
    let resource = Resource::new(Kind::Disk, top, Flags::default()).unwrap();
    layers(&Resource { place: Place::Chain, ..resource })
}

fn listed(found: &[Resource], images: &Images) -> Vec<String> {
    found
        .iter()
        .map(|layer| {
            assert_eq!(layer.place, Place::Here);
            let name = layer.path.strip_prefix(images.0.path()).unwrap().display();
            format!("{name}{}", if layer.flags.backing && layer.flags.readonly { " below" } else { "" })
        })
        .collect()
}

#[test]
fn a_chain_is_followed_to_its_end() {
    let images = Images::new();
    images.raw("deep/base.raw");
    images.make("deep/mid.qcow2", &["-b", "./base.raw", "-F", "raw"]);
    images.make("second.qcow2", &["-b", "deep/mid.qcow2", "-F", "qcow2"]);
    let name = format!("file:{}", images.path("second.qcow2").display());
    let top = images.make("top.qcow2", &["-b", &name, "-F", "qcow2"]);
    assert_eq!(
        listed(&below(&top).unwrap(), &images),
        ["top.qcow2", "second.qcow2 below", "deep/mid.qcow2 below", "deep/./base.raw below"]
    );
}

#[test]
fn data_files_are_used_as_their_image_is() {
    let images = Images::new();
    images.make("low.qcow2", &["-o", "data_file=low.data"]);
    let top = images.make("top.qcow2", &["-o", "data_file=top.data", "-b", "low.qcow2", "-F", "qcow2"]);
    assert_eq!(
        listed(&below(&top).unwrap(), &images),
        ["top.qcow2", "top.data", "low.qcow2 below", "low.data below"]
    );
}

#[test]
fn a_format_is_never_guessed() {
    let images = Images::new();
    images.make("base.qcow2", &["-b", "/never/looked/at", "-F", "raw"]);
    let raw = images.make("raw.qcow2", &["-b", "base.qcow2", "-F", "raw"]);
    assert_eq!(listed(&below(&raw).unwrap(), &images), ["raw.qcow2", "base.qcow2 below"]);
    // A header that names no format at all: qemu-img refuses to write one.
    let mut header = fs::read(&raw).unwrap();
    let at = header.windows(4).position(|bytes| bytes == 0xe279_2aca_u32.to_be_bytes()).unwrap();
    header[at] = 0x11;
    let unknown = images.path("unknown.qcow2");
    fs::write(&unknown, header).unwrap();
    assert_eq!(listed(&below(&unknown).unwrap(), &images), ["unknown.qcow2", "base.qcow2 below"]);
}

#[test]
fn names_of_other_hosts_end_a_chain_and_strange_ones_are_refused() {
    let images = Images::new();
    for name in
        ["nbd://host/x", "nbd+unix:///x?socket=/s", "https://host/x.qcow2", "rbd:pool/image", "iscsi://h/t/1"]
    {
        let top = images.make("top.qcow2", &["-b", name, "-F", "qcow2"]);
        assert_eq!(listed(&below(&top).unwrap(), &images), ["top.qcow2"], "{name}");
    }
    for name in [
        "json:{\"driver\":\"file\",\"filename\":\"/x\"}",
        "nvme://0000:01:00.0/1",
        "fat:/etc",
        "blkdebug::/x",
    ] {
        let top = images.make("top.qcow2", &["-b", name, "-F", "qcow2"]);
        let error = below(&top).unwrap_err();
        assert_eq!(error.errno(), libc::ENOTSUP, "{name}");
        assert!(error.to_string().contains("backingStore"), "{error}");
        assert_eq!(error.path(), Some(top.as_path()));
    }
}

#[test]
fn chains_that_never_end_are_refused() {
    let images = Images::new();
    for (name, below_it) in [("a", "b"), ("b", "c"), ("c", "a"), ("self", "self")] {
        images.make(name, &["-b", below_it, "-F", "qcow2"]);
    }
    for name in ["a", "self"] {
        let error = below(&images.path(name)).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(error.to_string().contains("comes back"), "{error}");
    }
    // By another name for each layer.
    let image = fs::read(images.make("template", &["-b", "l000", "-F", "qcow2"])).unwrap();
    let at = image.windows(4).position(|bytes| bytes == b"l000").unwrap();
    for layer in 0..210 {
        let mut image = image.clone();
        image[at..at + 4].copy_from_slice(format!("l{:03}", layer + 1).as_bytes());
        fs::write(images.path(&format!("l{layer:03}")), image).unwrap();
    }
    let error = below(&images.path("l000")).unwrap_err();
    assert!(error.errno() == libc::EINVAL && error.to_string().contains("200 layers"), "{error}");
    assert_eq!(below(&images.path("l100")).unwrap().len(), 111);
}

#[test]
fn a_header_cannot_point_at_the_systems_files() {
    let images = Images::new();
    std::os::unix::fs::symlink("/etc/shadow", images.path("link")).unwrap();
    for name in [
        "/etc/shadow",
        "link",
        "/usr/lib/os-release",
        "../../../../../../etc/passwd",
        "/dev/null",
        "/proc/self/mem",
        "file:/etc/passwd",
        ".",
    ] {
        for arguments in [vec!["-b", name, "-F", "raw"], vec!["-b", name, "-F", "qcow2"]] {
            let top = images.make("top.qcow2", &arguments);
            let error = below(&top).unwrap_err();
            assert_eq!(error.errno(), libc::EPERM, "{name}: {error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn what_is_missing_is_listed_or_named() {
    let images = Images::new();
    let top = images.make("top.qcow2", &["-b", "gone.raw", "-F", "raw"]);
    assert_eq!(listed(&below(&top).unwrap(), &images), ["top.qcow2", "gone.raw below"]);
    assert_eq!(listed(&below(&images.path("nothing")).unwrap(), &images), ["nothing"]);
    let top = images.make("top.qcow2", &["-b", "gone.qcow2", "-F", "qcow2"]);
    assert_eq!(listed(&below(&top).unwrap(), &images), ["top.qcow2", "gone.qcow2 below"]);
    let not_one = images.raw("not.qcow2");
    assert_eq!(below(&not_one).unwrap_err().errno(), libc::EINVAL);
}
