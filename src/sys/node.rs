//! One file-system object, found once through an `O_PATH` descriptor and never looked up again.

use super::xattr::Access;
use super::{check, lock, namespace};
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// What makes a file the same file whatever its name: device, inode, and a digest of the file handle
/// where the file system has one (it tells a new file that was given an old inode number).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    device: u64,
    inode: u64,
    handle: u64,
}

impl Identity {
    /// Whether it is on the file system with this number.
    pub fn is_on(&self, device: u64) -> bool {
        self.device == device
    }

    /// One number for the object and a name.
    pub fn digest(&self, name: &str) -> u64 {
        let parts = [self.device, self.inode, self.handle].map(u64::to_ne_bytes);
        fnv(parts.iter().flatten().chain(name.as_bytes()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.device, self.inode, self.handle)
    }
}

/// Why an identity could not be read.
#[derive(Debug)]
pub struct NotAnIdentity;

impl FromStr for Identity {
    type Err = NotAnIdentity;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let mut parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(device)), Some(Ok(inode)), Some(Ok(handle)), None) => Ok(Self { device, inode, handle }),
            _ => Err(NotAnIdentity),
        }
    }
}

/// FNV-1a: tells things apart that nobody made to collide.
pub fn fnv<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// An object of the file system, held by a descriptor.
#[derive(Debug)]
pub struct Node {
    path: File,
    /// The same object opened for real; only regular files, and only when that is allowed.
    open: Option<File>,
    writable: bool,
    stat: libc::stat64,
    identity: Identity,
    access: Access,
    locked: AtomicBool,
}

impl Node {
    /// Finds `path`, following symbolic links, as whoever opens it later does.
    pub fn find(path: &Path) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        Self::new(open(&name, libc::O_PATH)?)
    }

    /// What an open descriptor refers to; `EBADF` when it is none.
    pub fn of(fd: RawFd) -> io::Result<Self> {
        // SAFETY: any number may be asked about.
        check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
        Self::new(open(&namespace::descriptor_name(fd)?, libc::O_PATH)?)
    }

    fn new(path: File) -> io::Result<Self> {
        let stat = stat(path.as_raw_fd())?;
        let proc = namespace::descriptor_name(path.as_raw_fd())?;
        // Devices, FIFOs and sockets must not be opened: that can block or wake the other side.
        let regular = stat.st_mode & libc::S_IFMT == libc::S_IFREG;
        let mut writable = false;
        let mut reopened = None;
        if regular {
            reopened = allowed(open(&proc, libc::O_RDWR | libc::O_NONBLOCK))?;
            writable = reopened.is_some();
            if !writable {
                reopened = allowed(open(&proc, libc::O_RDONLY | libc::O_NONBLOCK))?;
            }
        }
        let access = match &reopened {
            Some(file) => Access::Descriptor(file.as_raw_fd()),
            None => Access::Name(proc),
        };
        let handle = handle_digest(path.as_raw_fd())?;
        let identity = Identity { device: stat.st_dev, inode: stat.st_ino, handle };
        Ok(Self { path, open: reopened, writable, stat, identity, access, locked: AtomicBool::new(false) })
    }

    /// What tells this object from every other one.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How its extended attributes are reached.
    pub fn xattrs(&self) -> &Access {
        &self.access
    }

    /// Owner and group now.
    pub fn current_owner(&self) -> io::Result<(u32, u32)> {
        stat(self.path.as_raw_fd()).map(|stat| (stat.st_uid, stat.st_gid))
    }

    /// The mode now; while others change access control lists, the one that was found first is no answer.
    pub fn current_mode(&self) -> io::Result<u32> {
        stat(self.path.as_raw_fd()).map(|stat| stat.st_mode)
    }

    /// The mode when it was found, type bits included.
    pub fn mode(&self) -> u32 {
        self.stat.st_mode
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.stat.st_mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// The number of a character device.
    pub fn character_device(&self) -> Option<(u32, u32)> {
        let device = self.stat.st_rdev;
        (self.stat.st_mode & libc::S_IFMT == libc::S_IFCHR)
            .then(|| (libc::major(device), libc::minor(device)))
    }

    /// A name that leads here now, as the kernel remembers it.
    pub fn name(&self) -> io::Result<(PathBuf, bool)> {
        let name = std::fs::read_link(OsStr::from_bytes(
            namespace::descriptor_name(self.path.as_raw_fd())?.as_bytes(),
        ))?;
        let leads_here =
            name.is_absolute() && Self::find(&name).is_ok_and(|node| node.identity() == self.identity());
        Ok((name, leads_here))
    }

    /// Keeps the object, as nothing more than a descriptor that can neither read nor write.
    pub fn keep(&self) -> io::Result<OwnedFd> {
        self.path.try_clone().map(OwnedFd::from)
    }

    /// Changes owner and group. The kernel clears set-id bits of executables; images have none.
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        // SAFETY: the empty name with AT_EMPTY_PATH means the descriptor itself.
        check(unsafe { libc::fchownat(self.path.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) })
            .map(drop)
    }

    /// Takes the lock under which libvirt and this library change an image's labels; `false` when the
    /// object cannot be locked (a device, or a file that this process may not write).
    pub fn lock_metadata(&self) -> io::Result<bool> {
        match &self.open {
            Some(file) if self.writable => {
                lock::lock(file, 1)?;
                self.locked.store(true, Ordering::Relaxed);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Waits until what was changed is on the disk. What is no file, or on no disk, keeps nothing beyond a boot.
    pub fn sync(&self) -> io::Result<()> {
        let synced = match &self.open {
            Some(file) => file.sync_all(),
            None if self.is_directory() => {
                let name = namespace::descriptor_name(self.path.as_raw_fd())?;
                open(&name, libc::O_RDONLY | libc::O_DIRECTORY)?.sync_all()
            }
            None => Ok(()),
        };
        match synced {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether other hosts may use the same file system.
    pub fn on_shared_filesystem(&self) -> io::Result<bool> {
        // NFS, GFS2, OCFS2, AFS, CIFS, SMB, SMB2, Ceph, FUSE (GlusterFS), GPFS, Lustre.
        const SHARED: [i64; 11] = [
            0x6969,
            0x0116_1970,
            0x7461_636f,
            0x5346_414f,
            0xff53_4d42,
            0x517b,
            0xfe53_4d42,
            0x00c3_6400,
            0x6573_5546,
            0x4750_4653,
            0x0bd0_0bd0,
        ];
        let mut facts = MaybeUninit::<libc::statfs64>::uninit();
        // SAFETY: `facts` is large enough for what the kernel writes, and is read only after success.
        let kind = unsafe {
            check(libc::fstatfs64(self.path.as_raw_fd(), facts.as_mut_ptr()))?;
            facts.assume_init().f_type
        };
        Ok(SHARED.contains(&kind))
    }
}

fn stat(fd: RawFd) -> io::Result<libc::stat64> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: `stat` is large enough for what the kernel writes.
    check(unsafe { libc::fstat64(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat succeeded, so the structure is filled.
    Ok(unsafe { stat.assume_init() })
}

impl Drop for Node {
    fn drop(&mut self) {
        // A child that some thread has forked meanwhile would keep the lock as long as it lives.
        if let Some(file) = self.open.as_ref().filter(|_| self.locked.load(Ordering::Relaxed)) {
            let _ = lock::unlock(file, 1);
        }
    }
}

fn open(name: &CString, flags: i32) -> io::Result<File> {
    loop {
        // SAFETY: the name ends in NUL.
        match check(unsafe { libc::open64(name.as_ptr(), flags | libc::O_CLOEXEC) }) {
            // SAFETY: the kernel has just given this descriptor to us alone.
            Ok(fd) => return Ok(unsafe { File::from_raw_fd(fd) }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A file that may not be opened is none; everything else that goes wrong is an error, or the file would
/// go without its lock.
fn allowed(opened: io::Result<File>) -> io::Result<Option<File>> {
    const REFUSALS: [i32; 5] = [libc::EACCES, libc::EPERM, libc::EROFS, libc::ETXTBSY, libc::ENXIO];
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error().is_some_and(|errno| REFUSALS.contains(&errno)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// FNV-1a over type and bytes of the kernel's file handle; 0 where the file system, or a sandbox, has none.
fn handle_digest(fd: RawFd) -> io::Result<u64> {
    const BYTES: usize = 128;
    #[repr(C)]
    struct Handle {
        head: libc::file_handle,
        bytes: [u8; BYTES],
    }
    // SAFETY: all-zero bytes are a valid value of this plain structure.
    let mut handle: Handle = unsafe { std::mem::zeroed() };
    handle.head.handle_bytes = BYTES as u32;
    let mut mount = 0;
    // SAFETY: the structure has room for the `handle_bytes` that it announces.
    let result = unsafe {
        libc::name_to_handle_at(fd, c"".as_ptr(), (&raw mut handle).cast(), &mut mount, libc::AT_EMPTY_PATH)
    };
    if result != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EOVERFLOW | libc::EINVAL) => Ok(0),
            _ => Err(error),
        };
    }
    let used = &handle.bytes[..(handle.head.handle_bytes as usize).min(BYTES)];
    let kind = handle.head.handle_type.to_ne_bytes();
    Ok(fnv(kind.iter().chain(used)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;
    use std::time::{Duration, Instant};

    #[test]
    fn a_child_forked_meanwhile_does_not_keep_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let node = Node::find(file.path()).unwrap();
        assert!(node.lock_metadata().unwrap());
        // SAFETY: the child sleeps and leaves.
        let child = match unsafe { libc::fork() } {
            // SAFETY: neither call has conditions.
            0 => unsafe {
                libc::usleep(2_000_000);
                libc::_exit(0)
            },
            child => child,
        };
        drop(node);
        let before = Instant::now();
        assert!(Node::find(file.path()).unwrap().lock_metadata().unwrap());
        assert!(before.elapsed() < Duration::from_secs(1));
        // SAFETY: the child is this test's own; the status is not asked for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, ptr::null_mut(), 0);
        }
    }
}
