//! What is remembered on the image itself, so that it outlives the daemon.
//!
//! `trusted.libvirt.security.MODEL` (the original), `.ref_MODEL` (how many hold it) and
//! `.timestamp_MODEL` (when the host was booted) are libvirt's and mean what libvirt means by them.
//! `trusted.svirt.MODEL` is ours: which label was put on, in which boot of which host, and either the one
//! domain of ours that holds the image, or that the reservations list those who share it. It is written
//! before everything else and the label after everything else, so whatever was reached when the daemon
//! or the host died can be told from what the attributes say.

use super::Label;
use crate::reservation::Holder;
use crate::sys::node::Node;
use crate::sys::xattr;
use once_cell::sync::{Lazy, OnceCell};
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

/// A boot of a host.
#[derive(Default)]
pub struct Boot {
    /// Another one after every boot.
    pub id: String,
    /// The same for as long as the host is installed.
    pub host: String,
    time: i64,
}

static BOOT: OnceCell<Boot> = OnceCell::new();

/// Reads what tells this boot of this host from all others; every store does so before it is used, since a
/// wrong answer would make the images of living guests look like those of dead ones.
pub fn learn_boot() -> io::Result<()> {
    BOOT.get_or_try_init(|| {
        let line = |path: &str| Ok::<_, io::Error>(fs::read_to_string(path)?.trim().to_owned());
        let installed = match line("/etc/machine-id") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            installed => installed.unwrap_or_default(),
        };
        let host = if installed.is_empty() { line("/proc/sys/kernel/hostname")? } else { installed };
        let stat = fs::read_to_string("/proc/stat")?;
        let time = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Ok(Boot { id: line("/proc/sys/kernel/random/boot_id")?, host, time: time.unwrap_or(0) })
    })
    .map(drop)
}

/// This boot of this host.
pub fn boot() -> &'static Boot {
    BOOT.get_or_init(Boot::default)
}

/// What our own attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    boot: String,
    host: String,
    /// The only domain of ours that holds it; `None`: the reservations list those who do.
    pub only: Option<Holder>,
    /// How many holders of the count were not ours when we last looked.
    pub foreign: u32,
    /// How many were ours.
    pub ours: u32,
    label: String,
}

impl Own {
    /// What stands on an image labelled here and now.
    pub fn new(only: Option<Holder>, foreign: u32, ours: u32, label: &Label) -> Self {
        let label = match label {
            Label::Grant { .. } => ACL_LABEL.to_owned(),
            label => label.to_string(),
        };
        Self { boot: boot().id.clone(), host: boot().host.clone(), only, foreign, ours, label }
    }

    /// The same with other counts.
    #[must_use]
    pub fn counting(&self, foreign: u32, ours: u32) -> Self {
        Self { foreign, ours, ..self.clone() }
    }

    /// Whether it was written on this host.
    pub fn is_local(&self) -> bool {
        self.host == boot().host
    }

    /// Whether the label that was put on is one that goes with `label`.
    pub fn fits(&self, label: &Label) -> bool {
        match label {
            Label::Grant { .. } => self.label == ACL_LABEL,
            label => self.has(label),
        }
    }

    /// Whether this is a label that was put on.
    fn has(&self, label: &Label) -> bool {
        let label = label.to_string();
        self.label.split(' ').any(|own| own == label)
    }

    /// The same with other labels; two while one is changed to the other.
    #[must_use]
    pub fn labelled(&self, labels: &str) -> Self {
        Self { label: labels.to_owned(), ..self.clone() }
    }

    /// Writes it.
    pub fn write(&self, node: &Node, model: &str) -> io::Result<()> {
        xattr::set(node.xattrs(), &Names::of(model).own, self.encode().as_bytes())
    }

    fn encode(&self) -> String {
        let only =
            self.only.map_or_else(|| "-".to_owned(), |only| format!("{:08x}-{}", only.owner, only.uuid));
        let Self { boot, host, foreign, ours, label, .. } = self;
        format!("1 {boot} {host} {only} {foreign} {ours} {label}")
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("1 ")?.splitn(6, ' ');
        let mut next = || parts.next();
        let (boot, host) = (next()?.to_owned(), next()?.to_owned());
        let only = match next()? {
            "-" => None,
            only => {
                let (owner, uuid) = only.split_once('-')?;
                Some(Holder { owner: u32::from_str_radix(owner, 16).ok()?, uuid: uuid.parse().ok()? })
            }
        };
        let (foreign, ours) = (next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Self { boot, host, only, foreign, ours, label: next()?.to_owned() })
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
    /// An access control list is remembered too.
    pub has_acl: bool,
    /// What we wrote ourselves.
    pub own: Option<Own>,
}

/// What the attributes mean, together with the label that the file has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nobody holds it. `Some`: what to give back is not what it has now.
    Free(Option<Option<Label>>),
    /// Domains that may be alive hold it.
    Held,
}

impl Remembered {
    /// Whether nothing at all is remembered.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the attributes; one listing tells the usual image, which has none.
    pub fn read(node: &Node, model: &str) -> io::Result<Self> {
        let on = node.xattrs();
        let names = xattr::list(on)?;
        let known = Names::of(model);
        let has = |name: &CStr| names.split_inclusive(|b| *b == 0).any(|n| n == name.to_bytes_with_nul());
        let text = |name: &CStr| -> io::Result<Option<String>> {
            if !has(name) {
                return Ok(None);
            }
            match xattr::get(on, name) {
                Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())),
                Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
                Err(error) => Err(error),
            }
        };
        Ok(Self {
            has_acl: model == "dac" && has(ACL),
            original: text(&known.original)?.and_then(|t| t.parse().ok()),
            count: text(&known.count)?.and_then(|t| t.parse().ok()).unwrap_or(0),
            timestamp: text(&known.timestamp)?.and_then(|t| t.parse().ok()).unwrap_or(0),
            own: text(&known.own)?.and_then(|t| Own::decode(&t)),
        })
    }

    /// What the attributes mean for `holder`, when the file's label is `current`.
    pub fn meaning(&self, holder: Holder, current: Option<&Label>, node: &Node) -> io::Result<Meaning> {
        // Our attribute without libvirt's count is a leftover: the image was given back.
        if self.count == 0 {
            return Ok(Meaning::Free(None));
        }
        let unchanged = match &self.own {
            Some(own) => own.label == ACL_LABEL || current.is_some_and(|current| own.has(current)),
            None => true,
        };
        let alive = match &self.own {
            Some(own) if !own.is_local() => node.on_shared_filesystem()?,
            Some(own) => own.boot == boot().id,
            // Libvirt's own rounding wobbles by a second.
            None => (self.timestamp - boot().time).abs() <= 1,
        };
        Ok(match (alive, unchanged) {
            // The only holder's label was to come last, or is off already.
            (true, false)
                if self.count == 1
                    && current == self.original.as_ref()
                    && self.own.as_ref().and_then(|own| own.only).is_some_and(|only| only != holder) =>
            {
                Meaning::Free(None)
            }
            (true, _) => Meaning::Held,
            // The host went down with guests running: the label is theirs, the original still good.
            // A file without an owner is none; one without a context has had none if we say so.
            (false, true) => match &self.original {
                None if self.own.is_none() || matches!(current, Some(Label::Owner(..))) => {
                    Meaning::Free(None)
                }
                original => Meaning::Free(Some(original.clone())),
            },
            (false, false) => Meaning::Free(None),
        })
    }

    /// Whether attributes of ours are left on an image that nobody holds.
    pub fn is_leftover(&self) -> bool {
        self.count > 0 || self.own.is_some()
    }
}

/// Stands for the label of an image whose users have entries in its access control list.
const ACL_LABEL: &str = "acl";

/// Writes everything for a first holder, except the label itself.
pub fn remember(
    node: &Node,
    model: &str,
    holder: Holder,
    original: Option<&Label>,
    acl: Option<&[u8]>,
    label: &Label,
) -> io::Result<()> {
    let (on, names) = (node.xattrs(), Names::of(model));
    Own::new(Some(holder), 0, 1, label).write(node, model)?;
    if let Some(acl) = acl {
        remember_acl(node, acl)?;
    }
    if let Some(original) = original {
        xattr::set(on, &names.original, original.to_string().as_bytes())?;
    }
    xattr::set(on, &names.timestamp, boot().time.to_string().as_bytes())?;
    set_count(node, model, 1)
}

/// Writes how many hold the image.
pub fn set_count(node: &Node, model: &str, count: u32) -> io::Result<()> {
    xattr::set(node.xattrs(), &Names::of(model).count, count.to_string().as_bytes())
}

/// Removes everything about a model, our own attribute last; what is not there is not missed.
pub fn forget(node: &Node, model: &str, with_acl: bool) -> io::Result<()> {
    let names = Names::of(model);
    [&names.count, &names.timestamp, &names.original].into_iter().try_for_each(|name| remove(node, name))?;
    forget_own(node, model, with_acl)
}

/// Removes what is ours alone.
pub fn forget_own(node: &Node, model: &str, with_acl: bool) -> io::Result<()> {
    if with_acl {
        remove(node, ACL)?;
    }
    remove(node, &Names::of(model).own)
}

fn remove(node: &Node, name: &CStr) -> io::Result<()> {
    match xattr::remove(node.xattrs(), name) {
        Err(e)
            if !matches!(
                e.raw_os_error(),
                Some(libc::ENODATA | libc::EOPNOTSUPP | libc::EPERM | libc::EROFS)
            ) =>
        {
            Err(e)
        }
        _ => Ok(()),
    }
}

/// Remembers an access control list.
pub fn remember_acl(node: &Node, acl: &[u8]) -> io::Result<()> {
    xattr::set(node.xattrs(), ACL, acl)
}

/// The remembered access control list.
pub fn remembered_acl(node: &Node) -> io::Result<Vec<u8>> {
    xattr::get(node.xattrs(), ACL)
}

/// Writes what is given back; `None`: it had no label.
pub fn set_original(node: &Node, model: &str, original: Option<&Label>) -> io::Result<()> {
    let (on, name) = (node.xattrs(), &Names::of(model).original);
    match original {
        Some(original) => xattr::set(on, name, original.to_string().as_bytes()),
        None => xattr::remove(on, name).or_else(|e| match e.raw_os_error() {
            Some(libc::ENODATA) => Ok(()),
            _ => Err(e),
        }),
    }
}
