//! What is remembered on the image itself, so that it outlives the daemon.
//!
//! `trusted.libvirt.security.MODEL` (the original), `.ref_MODEL` (how many hold it) and
//! `.timestamp_MODEL` (when the host was booted) are libvirt's and mean what libvirt means by them.
//! `trusted.svirt.MODEL` is ours: which label was put on, in which boot of which host, for which first
//! holder. It is written before everything else and the label after everything else, so whatever was
//! reached when the daemon or the host died can be told from what the attributes say.

use super::Label;
use crate::domain::Uuid;
use crate::reservation::Holder;
use crate::sys::node::Node;
use crate::sys::xattr;
use once_cell::sync::Lazy;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;

/// The attributes' names for one model.
struct Names {
    original: CString,
    count: CString,
    timestamp: CString,
    own: CString,
}

impl Names {
    fn new(model: &str) -> Self {
        // A model's name is one of ours and has no NUL.
        let name = |text: String| CString::new(text).unwrap_or_default();
        Self {
            original: name(format!("trusted.libvirt.security.{model}")),
            count: name(format!("trusted.libvirt.security.ref_{model}")),
            timestamp: name(format!("trusted.libvirt.security.timestamp_{model}")),
            own: name(format!("trusted.svirt.{model}")),
        }
    }

    fn of(model: &str) -> &'static Self {
        static SELINUX: Lazy<Names> = Lazy::new(|| Names::new("selinux"));
        static DAC: Lazy<Names> = Lazy::new(|| Names::new("dac"));
        if model == "dac" { &DAC } else { &SELINUX }
    }
}

/// The access control list as it was before the first entry of ours.
const ACL: &CStr = c"trusted.svirt.acl";

/// This boot of this host.
struct Boot {
    id: String,
    host: String,
    time: i64,
}

static BOOT: Lazy<Boot> = Lazy::new(|| {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let host = match line("/etc/machine-id") {
        id if id.is_empty() => line("/proc/sys/kernel/hostname"),
        id => id,
    };
    let time =
        line("/proc/stat").lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0);
    Boot { id: line("/proc/sys/kernel/random/boot_id"), host, time }
});

/// What our own attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    boot: String,
    host: String,
    first: String,
    label: String,
}

impl Own {
    fn encode(&self) -> String {
        format!("1 {} {} {} {}", self.boot, self.host, self.first, self.label)
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("1 ")?.splitn(4, ' ').map(str::to_owned);
        Some(Self { boot: parts.next()?, host: parts.next()?, first: parts.next()?, label: parts.next()? })
    }
}

/// Everything that an image's attributes say about one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// What the image was before anybody's guest used it.
    pub original: Option<Label>,
    /// How many domains hold it.
    pub count: u32,
    timestamp: i64,
    own: Option<Own>,
}

/// What the attributes mean, together with the label that the file has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody holds it. `Some`: what to give back is not what it has now.
    Free(Option<Label>),
    /// Other processes, or one that is dead, hold it as it is labelled now.
    Held,
    /// The only holder on record is the one who asks: its daemon died and came back.
    HeldByUs,
}

impl Remembered {
    /// Reads the attributes; one listing tells the usual image, which has none.
    pub fn read(node: &Node, model: &str) -> io::Result<Self> {
        let on = node.xattrs();
        let names = xattr::list(on)?;
        let known = Names::of(model);
        let text = |name: &CStr| -> io::Result<Option<String>> {
            if !names.split_inclusive(|b| *b == 0).any(|n| n == name.to_bytes_with_nul()) {
                return Ok(None);
            }
            match xattr::get(on, name) {
                Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())),
                Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Ok(Self {
            original: text(&known.original)?.and_then(|t| t.parse().ok()),
            count: text(&known.count)?.and_then(|t| t.parse().ok()).unwrap_or(0),
            timestamp: text(&known.timestamp)?.and_then(|t| t.parse().ok()).unwrap_or(0),
            own: text(&known.own)?.and_then(|t| Own::decode(&t)),
        })
    }

    /// What the attributes mean for `holder`, when the file's label is `current`.
    pub fn standing(&self, holder: Holder, current: Option<&Label>, shared: bool) -> Standing {
        // Our attribute without libvirt's count is a leftover: libvirt gave the image back.
        if self.count == 0 {
            return Standing::Free(None);
        }
        let unchanged = match &self.own {
            Some(own) => own.label == ACL_LABEL || current.is_some_and(|c| own.label == c.to_string()),
            None => true,
        };
        let alive = match &self.own {
            Some(own) if own.host != BOOT.host => shared,
            Some(own) => own.boot == BOOT.id,
            // Libvirt's own rounding wobbles by a second.
            None => (self.timestamp - BOOT.time).abs() <= 1,
        };
        match (alive, unchanged) {
            // Nothing was set yet, or everything is already back: the label was to come last.
            (true, false) if current == self.original.as_ref() => Standing::Free(None),
            (true, _) if self.count == 1 && self.is_first(holder) => Standing::HeldByUs,
            (true, _) => Standing::Held,
            // The host went down with guests running: the label is theirs, the original still good.
            (false, true) => Standing::Free(self.original.clone()),
            (false, false) => Standing::Free(None),
        }
    }

    /// Who is known to hold it, in words.
    pub fn holders(&self) -> String {
        let first = self.own.as_ref().and_then(|own| own.first.split_once('-'));
        match first.and_then(|(_, uuid)| uuid.parse::<Uuid>().ok()) {
            Some(uuid) => format!("{} domain(s) of another process, domain {uuid} first", self.count),
            None => format!("{} domain(s) of another process", self.count),
        }
    }

    fn is_first(&self, holder: Holder) -> bool {
        self.own.as_ref().is_some_and(|own| own.first == first(holder))
    }
}

/// Stands for the label of an image whose users have entries in its access control list.
const ACL_LABEL: &str = "acl";

fn first(holder: Holder) -> String {
    format!("{:08x}-{}", holder.owner, holder.uuid)
}

/// Writes everything for a first holder, except the label itself.
pub fn remember(
    node: &Node,
    model: &str,
    holder: Holder,
    original: Option<&Label>,
    label: &Label,
) -> io::Result<()> {
    let (on, names) = (node.xattrs(), Names::of(model));
    let label = match label {
        Label::Grant { .. } => ACL_LABEL.to_owned(),
        label => label.to_string(),
    };
    let own = Own { boot: BOOT.id.clone(), host: BOOT.host.clone(), first: first(holder), label };
    xattr::set(on, &names.own, own.encode().as_bytes())?;
    if let Some(original) = original {
        xattr::set(on, &names.original, original.to_string().as_bytes())?;
    }
    xattr::set(on, &names.timestamp, BOOT.time.to_string().as_bytes())?;
    set_count(node, model, 1)
}

/// Writes how many hold the image.
pub fn set_count(node: &Node, model: &str, count: u32) -> io::Result<()> {
    xattr::set(node.xattrs(), &Names::of(model).count, count.to_string().as_bytes())
}

/// Removes everything about a model; what is not there is not missed.
pub fn forget(node: &Node, model: &str) -> io::Result<()> {
    let names = Names::of(model);
    let mut all = vec![&*names.count, &*names.timestamp, &*names.original, &*names.own];
    if model == "dac" {
        all.push(ACL);
    }
    for name in all {
        match xattr::remove(node.xattrs(), name) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP | libc::EPERM)) => {
                return Err(e);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Remembers an access control list.
pub fn remember_acl(node: &Node, acl: &[u8]) -> io::Result<()> {
    xattr::set(node.xattrs(), ACL, acl)
}

/// The remembered access control list.
pub fn remembered_acl(node: &Node) -> Option<Vec<u8>> {
    xattr::get(node.xattrs(), ACL).ok()
}
