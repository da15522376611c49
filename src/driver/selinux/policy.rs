//! What the installed policy says about guests: libvirt's three files of contexts.

use super::context::Context;
use crate::error::{Error, Result};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The contexts for one kind of guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contexts {
    /// Of the process.
    pub process: Context,
    /// Of images that a guest writes.
    pub image: Context,
    /// Of what guests only read.
    pub content: Context,
}

/// The files of a policy, read once.
#[derive(Debug, Clone)]
pub struct Policy {
    /// For guests that the hardware runs.
    kvm: Contexts,
    /// For guests that are emulated; their own process context where the policy has one.
    emulated: Contexts,
    /// For containers, where the policy knows them.
    lxc: Option<Contexts>,
}

/// Where the three files are.
#[derive(Debug, Clone)]
pub struct Files {
    /// `virtual_domain_context`.
    pub domain: PathBuf,
    /// `virtual_image_context`.
    pub image: PathBuf,
    /// `lxc_contexts`.
    pub lxc: PathBuf,
}

impl Files {
    /// The files below a policy's root, such as `/etc/selinux/default`.
    pub fn below(root: &Path) -> Self {
        let file = |name| root.join("contexts").join(name);
        Self {
            domain: file("virtual_domain_context"),
            image: file("virtual_image_context"),
            lxc: file("lxc_contexts"),
        }
    }
}

impl Policy {
    /// Reads the files; only the one for containers may be missing.
    pub fn read(files: &Files) -> Result<Self> {
        let text = |path: &Path| {
            fs::read_to_string(path).map_err(|e| {
                Error::at(path, "cannot read the policy's contexts for guests (is selinux-policy installed? option selinux.root)", &e)
            })
        };
        let domains = contexts(&text(&files.domain)?, &files.domain)?;
        let images = contexts(&text(&files.image)?, &files.image)?;
        let missing =
            |path: &Path, what: &str| Error::invalid(format!("{}: {what}", path.display())).with_path(path);
        let process = domains.first().ok_or_else(|| missing(&files.domain, "has no context"))?;
        let image = images.first().ok_or_else(|| missing(&files.image, "has no context"))?;
        let content =
            images.get(1).ok_or_else(|| missing(&files.image, "has no second context, for content"))?;
        let kvm = Contexts { process: process.clone(), image: image.clone(), content: content.clone() };
        let emulated = Contexts { process: domains.get(1).unwrap_or(process).clone(), ..kvm.clone() };
        let lxc = match fs::read_to_string(&files.lxc) {
            Ok(text) => lxc(&text, &files.lxc)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::at(&files.lxc, "cannot read", &error)),
        };
        Ok(Self { kvm, emulated, lxc })
    }

    /// The contexts for a domain type of libvirt.
    pub fn contexts(&self, virt_type: &str) -> Result<&Contexts> {
        match virt_type {
            "qemu" => Ok(&self.emulated),
            "lxc" => self.lxc.as_ref().ok_or_else(|| {
                Error::unsupported("the SELinux policy has no lxc_contexts, so containers cannot be labelled")
            }),
            _ => Ok(&self.kvm),
        }
    }
}

/// One context a line; comments and empty lines do not count.
fn contexts(text: &str, path: &Path) -> Result<Vec<Context>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.parse().map_err(|e: Error| e.context(path.display()).with_path(path)))
        .collect()
}

/// `process = "…"`, `file = "…"` and `content = "…"`.
fn lxc(text: &str, path: &Path) -> Result<Option<Contexts>> {
    let value = |key: &str| -> Result<Option<Context>> {
        let found = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().trim_matches('"'))
        });
        found.map(|v| v.parse().map_err(|e: Error| e.context(path.display()).with_path(path))).transpose()
    };
    let (process, image) = (value("process")?, value("file")?);
    let content = value("content")?.or_else(|| image.clone());
    Ok(process.zip(image).zip(content).map(|((process, image), content)| Contexts {
        process,
        image,
        content,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(domain: &str, image: &str, lxc: Option<&str>) -> Result<Policy> {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::below(dir.path());
        fs::create_dir(dir.path().join("contexts")).unwrap();
        fs::write(&files.domain, domain).unwrap();
        fs::write(&files.image, image).unwrap();
        if let Some(text) = lxc {
            fs::write(&files.lxc, text).unwrap();
        }
        Policy::read(&files)
    }

    const IMAGES: &str = "system_u:object_r:svirt_image_t:s0\nsystem_u:object_r:virt_content_t:s0\n";

    #[test]
    fn one_line_serves_both_kinds_two_lines_tell_them_apart() {
        let one = policy("system_u:system_r:svirt_t:s0\n", IMAGES, None).unwrap();
        assert_eq!(one.contexts("kvm").unwrap(), one.contexts("qemu").unwrap());
        assert_eq!(one.contexts("kvm").unwrap().content.kind, "virt_content_t");
        assert_eq!(one.contexts("lxc").unwrap_err().errno(), libc::ENOTSUP);
        let two = "# two\nsystem_u:system_r:svirt_t:s0\n\nsystem_u:system_r:svirt_tcg_t:s0";
        let two = policy(two, IMAGES, None).unwrap();
        assert_eq!(two.contexts("kvm").unwrap().process.kind, "svirt_t");
        assert_eq!(two.contexts("qemu").unwrap().process.kind, "svirt_tcg_t");
    }

    #[test]
    fn containers_have_a_file_of_their_own() {
        let text = "process = \"system_u:system_r:svirt_lxc_net_t:s0\"\nfile=\"system_u:object_r:svirt_lxc_file_t:s0\"\ncontent = \"system_u:object_r:virt_var_lib_t:s0\"\n";
        let lxc = policy("a:b:c:s0", IMAGES, Some(text)).unwrap();
        assert_eq!(lxc.contexts("lxc").unwrap().image.kind, "svirt_lxc_file_t");
    }

    #[test]
    fn incomplete_or_broken_files_are_named() {
        for (domain, image) in
            [("", IMAGES), ("a:b:c:s0", "a:b:c:s0"), ("nonsense", IMAGES), ("a:b:c:s0", "x\ny")]
        {
            let error = policy(domain, image, None).unwrap_err();
            assert_eq!(error.errno(), libc::EINVAL);
            assert!(error.path().is_some(), "{error}");
        }
    }
}
