//! What a guest may do with which file, and the kernel's ruleset made of it.

use crate::error::{Error, Result};
use ::landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope, make_bitflags,
};
use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Rights on files.
pub type Access = BitFlags<AccessFs>;

/// No right.
pub const NOTHING: Access = Access::EMPTY;
/// Reading a file, or a device with its commands.
pub const READ: Access = make_bitflags!(AccessFs::{ReadFile | IoctlDev});
/// Reading and writing a file, or a device with its commands.
pub const WRITE: Access = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate | IoctlDev});
/// Executing a program.
pub const EXECUTE: Access = make_bitflags!(AccessFs::{ReadFile | Execute});
/// Connecting to a socket.
pub const CONNECT: Access = make_bitflags!(AccessFs::{ReadFile | WriteFile | ResolveUnix});
/// Making sockets in a directory.
pub const MAKE_SOCKETS: Access = make_bitflags!(AccessFs::{MakeSock});
/// Reading files beneath a directory whose names are known.
pub const READ_BENEATH: Access = make_bitflags!(AccessFs::{ReadFile});
/// Reading and listing everything beneath a directory.
pub const LIST_BENEATH: Access = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// Everything beneath a directory, but no devices and no programs.
pub const WRITE_BENEATH: Access = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | MakeSym | MakeSock | MakeFifo
        | RemoveFile | RemoveDir | Refer
});

/// The latest version of Landlock whose rights are all thought through here.
const LATEST: ABI = ABI::V9;
/// The latest version for the network, where nothing at all is to be allowed.
const LATEST_NETWORK: ABI = ABI::V10;

/// What a guest is to be allowed at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Where; symbolic links are followed.
    pub path: PathBuf,
    /// When it is no directory.
    pub file: Access,
    /// When it is a directory: on everything beneath it.
    pub beneath: Access,
}

impl Want {
    /// A wish for a file, which a directory does not get.
    pub fn file(path: impl Into<PathBuf>, file: Access) -> Self {
        Self { path: path.into(), file, beneath: NOTHING }
    }

    /// A wish for a directory, or for a file with those of the rights that fit one.
    pub fn beneath(path: impl Into<PathBuf>, beneath: Access) -> Self {
        Self { path: path.into(), file: beneath & AccessFs::from_file(LATEST), beneath }
    }

    fn access(&self, of: &Metadata) -> Access {
        let kind = of.file_type();
        if kind.is_dir() {
            self.beneath
        } else if kind.is_char_device() || kind.is_block_device() {
            self.file
        } else {
            self.file & !make_bitflags!(AccessFs::{IoctlDev})
        }
    }
}

/// A ruleset that is being made.
pub struct Builder {
    created: RulesetCreated,
    granted: HashMap<(u64, u64), Access>,
}

impl Builder {
    /// A ruleset that allows nothing of all that this kernel can refuse.
    pub fn new(deny_network: bool) -> Result<Self> {
        let create = || {
            let mut ruleset = Ruleset::default()
                .set_compatibility(CompatLevel::BestEffort)
                .handle_access(AccessFs::from_all(LATEST))?
                .scope(Scope::from_all(LATEST))?;
            if deny_network {
                ruleset = ruleset.handle_access(AccessNet::from_all(LATEST_NETWORK))?;
            }
            ruleset.create()
        };
        let created = create().map_err(|e| Error::os("cannot make a Landlock ruleset", &cause(&e)))?;
        Ok(Self { created, granted: HashMap::new() })
    }

    /// Allows what is wanted; false when the file is of a type for which nothing is.
    pub fn allow(&mut self, want: &Want) -> io::Result<bool> {
        let file: File = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&want.path)?;
        let metadata = file.metadata()?;
        let access = want.access(&metadata);
        if access.is_empty() {
            return Ok(false);
        }
        // Rules for one file add up in the kernel as they do here.
        (&mut self.created).add_rule(PathBeneath::new(file, access)).map_err(|e| cause(&e))?;
        *self.granted.entry(identity(&metadata)).or_default() |= access;
        Ok(true)
    }

    /// The finished ruleset.
    pub fn finish(self) -> Result<Rules> {
        let fd: Option<OwnedFd> = self.created.into();
        let fd = fd.ok_or_else(|| Error::unsupported("this kernel does not run Landlock"))?;
        Ok(Rules { fd: Arc::new(fd), granted: self.granted })
    }
}

/// A finished ruleset; the kernel's part is closed with its last user.
pub struct Rules {
    /// The kernel's ruleset.
    pub fd: Arc<OwnedFd>,
    granted: HashMap<(u64, u64), Access>,
}

impl Rules {
    /// Whether a process under this ruleset has what is wanted: by a rule for the file itself, or for a
    /// directory above it.
    pub fn cover(&self, want: &Want) -> io::Result<bool> {
        let path = fs::canonicalize(&want.path)?;
        let wanted = want.access(&fs::metadata(&path)?);
        let mut has = NOTHING;
        for at in path.ancestors() {
            has |= self.granted.get(&identity(&fs::metadata(at)?)).copied().unwrap_or_default();
        }
        Ok(has.contains(wanted))
    }

    /// How many files and directories have a rule.
    pub fn len(&self) -> usize {
        self.granted.len()
    }
}

fn identity(of: &Metadata) -> (u64, u64) {
    (of.dev(), of.ino())
}

/// What the system answered, out of the crate's nested errors.
fn cause(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        at = error.source();
    }
    io::Error::other(error.to_string())
}
