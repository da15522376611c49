//! A directory that is found once and stays the same, whatever the mount namespace of the thread that uses it.

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// See the module. Names are looked up in it and never lead out of it by a link.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory that is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        Ok(Self { fd: open(AT_FDCWD, path, flags)?, path: path.to_owned() })
    }

    /// Where it was found; for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what has this name; a file made here is its owner's alone.
    pub fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        open(self.fd.as_fd(), name, flags | OFlag::O_NOFOLLOW).map(File::from)
    }

    /// What has this name; a link is not followed.
    pub fn facts_of(&self, name: &str) -> io::Result<FileStat> {
        Ok(fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?)
    }

    /// Gives a file another name, in the place of whatever had that.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// The names of all that is in it.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut all = Dir::openat(&self.fd, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let name = |name: &[u8]| OsStr::from_bytes(name).to_owned();
        all.iter().map(|entry| Ok(name(entry?.file_name().to_bytes()))).collect()
    }
}

fn open(at: BorrowedFd<'_>, name: &(impl NixPath + ?Sized), flags: OFlag) -> io::Result<OwnedFd> {
    loop {
        match openat(at, name, flags | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR) {
            Err(Errno::EINTR) => {}
            opened => return Ok(opened?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn it_stays_the_same_under_another_name() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("first"), place.path().join("second"));
        fs::create_dir(&first).unwrap();
        let directory = Directory::open(&first).unwrap();
        fs::rename(&first, &second).unwrap();
        let made = directory.open_file("a", OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL);
        made.unwrap().write_all(b"text").unwrap();
        directory.rename("a", "b").unwrap();
        assert_eq!(directory.names().unwrap().iter().filter(|name| *name == "b").count(), 1);
        assert_eq!(fs::read(second.join("b")).unwrap(), b"text");
        std::os::unix::fs::symlink("b", second.join("link")).unwrap();
        let error = directory.open_file("link", OFlag::O_RDONLY).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        assert_eq!(directory.facts_of("link").unwrap().st_mode & libc::S_IFMT, libc::S_IFLNK);
        directory.remove("b").unwrap();
        assert_eq!(directory.facts_of("b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Directory::open(&second.join("link")).is_err());
    }
}
