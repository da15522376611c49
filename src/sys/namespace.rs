//! Work in the mount namespace of another process, without a child process.
//!
//! The kernel keeps root, working directory and mount namespace for every thread on its own. So a
//! short-lived thread goes into the namespace, does the work with all the memory and descriptors of its
//! process, and ends there. Nothing else of the process notices.

use super::check;
use std::cell::Cell;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::ptr;
use std::thread;

/// The name of the threads made here.
pub const THREAD: &str = "svirt-namespace";

thread_local! {
    /// The working directory of this thread is `/proc/self/fd` of the process, as seen from outside.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` in the mount namespace of process `pid`; at once and here when it is this thread's own.
pub fn inside<R: Send>(pid: libc::pid_t, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    let theirs = File::open(format!("/proc/{pid}/ns/mnt"))?;
    let (there, here) = (theirs.metadata()?, fs::metadata("/proc/thread-self/ns/mnt")?);
    if (there.dev(), there.ino()) == (here.dev(), here.ino()) {
        return Ok(work());
    }
    // A namespace may have no /proc, or one in which this process has no number.
    let descriptors = File::open("/proc/self/fd")?;
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(THREAD.into()).spawn_scoped(scope, || {
            enter(&theirs, &descriptors)?;
            INSIDE.set(true);
            Ok(work())
        })?;
        // A panic goes on where the caller can catch it.
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// The name under which the kernel finds what `fd` refers to, whatever the mount namespace.
pub fn descriptor_name(fd: RawFd) -> io::Result<CString> {
    let name = if INSIDE.get() { fd.to_string() } else { format!("/proc/self/fd/{fd}") };
    Ok(CString::new(name)?)
}

fn enter(namespace: &File, descriptors: &File) -> io::Result<()> {
    let mut all = MaybeUninit::uninit();
    // No handler of the program may run in here, where paths mean something else.
    // SAFETY: sigfillset fills the set that pthread_sigmask then reads.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
    // SAFETY: the call concerns this thread alone and has no conditions.
    check(unsafe { libc::unshare(libc::CLONE_FS) })?;
    // SAFETY: as above.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) })?;
    // SAFETY: as above.
    check(unsafe { libc::fchdir(descriptors.as_raw_fd()) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::node::Node;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};

    /// A process in a mount namespace of its own, in which `script` was run first.
    fn elsewhere(script: &str) -> Child {
        let text = format!("set -e; mount --make-rprivate /; {script}; echo ready; exec sleep 60");
        let mut child =
            Command::new("unshare").args(["-m", "sh", "-c", &text]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[test]
    fn a_thread_goes_in_and_the_process_stays_outside() {
        // Where an enforcing policy lets file systems be mounted too. No /proc at all in there.
        let file = Path::new("/mnt/private");
        let mut child = elsewhere("mount -t tmpfs none /mnt; echo x >/mnt/private; umount -l /proc");
        let owner = inside(child.id() as i32, || {
            let node = Node::find(file)?;
            node.set_owner(77, 78)?;
            super::super::xattr::set(node.xattrs(), c"trusted.test", b"1")?;
            assert!(!Path::new("/proc/self/fd").exists());
            node.current_owner()
        });
        assert_eq!(owner.unwrap().unwrap(), (77, 78));
        assert!(!file.exists() && Path::new("/proc/self/fd").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(inside(child.id() as i32, || ()).is_err(), "a process that is gone has no namespace");
    }

    #[test]
    fn the_own_namespace_needs_no_thread() {
        let id = thread::current().id();
        assert_eq!(inside(std::process::id() as i32, || thread::current().id()).unwrap(), id);
    }

    #[test]
    fn a_panic_inside_reaches_the_caller() {
        let mut child = elsewhere("true");
        let pid = child.id() as i32;
        let caught = std::panic::catch_unwind(|| inside(pid, || assert_eq!(1, 2, "on purpose")));
        assert!(caught.is_err());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
