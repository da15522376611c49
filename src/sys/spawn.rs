//! Running a helper program to its end, within a bounded time, whatever the daemon does with SIGCHLD.

use super::check;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The most output of a program that is kept.
const MOST_OUTPUT: usize = 64 << 10;

/// What a program left behind.
#[derive(Debug, Default)]
pub struct Ended {
    /// How it ended; `None` when the daemon ignores SIGCHLD, or a handler of its own was faster.
    pub status: Option<ExitStatus>,
    /// What it wrote to its standard output.
    pub output: Vec<u8>,
    /// What it wrote to its standard error.
    pub errors: Vec<u8>,
}

/// Runs a command, which should name its program by an absolute path, with an empty environment and no
/// input; `TimedOut` when it was killed because it took too long.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    run_with(command, Stdio::null(), limit)
}

/// As [`run`], with something as its standard input; a lock on it is kept until the program ends too, also
/// when this process is killed before.
pub fn run_with(command: &mut Command, input: Stdio, limit: Duration) -> io::Result<Ended> {
    let deadline = Instant::now() + limit;
    command.env_clear().stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Taken at once: later the pid may be another process's, when somebody else has waited for ours.
    let handle = pidfd(&child);
    let result = drain(&mut child, handle.as_ref(), deadline);
    if result.is_err() {
        match &handle {
            Some(handle) => kill(handle),
            None => drop(child.kill()),
        }
    }
    let status = child.wait();
    let mut ended = result?;
    ended.status = match status {
        Ok(status) => Some(status),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => None,
        Err(error) => return Err(error),
    };
    Ok(ended)
}

/// Reads both pipes until the program has closed them and is gone.
fn drain(child: &mut Child, handle: Option<&OwnedFd>, deadline: Instant) -> io::Result<Ended> {
    let mut ended = Ended::default();
    let mut output = child.stdout.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    let mut errors = child.stderr.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    while output.is_some() || errors.is_some() {
        let ready = wait_for([output.as_ref(), errors.as_ref()], deadline)?;
        for (ready, pipe, into) in
            [(ready[0], &mut output, &mut ended.output), (ready[1], &mut errors, &mut ended.errors)]
        {
            if ready && !read_some(pipe.as_mut(), into)? {
                *pipe = None;
            }
        }
    }
    if let Some(handle) = handle {
        wait_for([Some(handle), None], deadline)?;
    }
    Ok(ended)
}

/// One read; `false` at the end.
fn read_some(pipe: Option<&mut File>, into: &mut Vec<u8>) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(false) };
    let mut buffer = [0; 4096];
    match pipe.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            into.extend(&buffer[..count.min(MOST_OUTPUT.saturating_sub(into.len()))]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(error),
    }
}

/// Waits until one of the descriptors can be read.
fn wait_for<F: AsRawFd>(files: [Option<&F>; 2], deadline: Instant) -> io::Result<[bool; 2]> {
    let entry = |file: Option<&F>| libc::pollfd {
        fd: file.map_or(-1, F::as_raw_fd),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        let mut entries = files.map(entry);
        let left = deadline.saturating_duration_since(Instant::now());
        let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: pointer and length describe `entries`.
        match check(unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, left) }) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(entries.map(|entry| entry.revents != 0)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// `None` on kernels before 5.3, and for a child that is gone already.
fn pidfd(child: &Child) -> Option<OwnedFd> {
    // SAFETY: the call has no conditions.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) }).ok()?;
    // SAFETY: the kernel has just given this descriptor to us alone.
    Some(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn kill(handle: &OwnedFd) {
    // SAFETY: without a siginfo the pointer is null. A process that is gone already is what was wanted.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            libc::SIGKILL,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: u64) -> io::Result<Ended> {
        run(Command::new("/bin/sh").args(["-c", script]), Duration::from_millis(limit))
    }

    #[test]
    fn both_outputs_and_the_status_are_there() {
        let ended = shell("echo out; echo err >&2; test -z \"$HOME\" && exit 3", 10_000).unwrap();
        assert_eq!(ended.status.and_then(|s| s.code()), Some(3));
        assert_eq!((&*ended.output, &*ended.errors), (&b"out\n"[..], &b"err\n"[..]));
    }

    #[test]
    fn more_output_than_is_kept_does_not_block_the_program() {
        let ended = shell("head -c 1000000 /dev/zero", 10_000).unwrap();
        assert_eq!(ended.output.len(), MOST_OUTPUT);
        assert!(ended.status.unwrap().success());
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        for script in ["exec sleep 1000", "exec sleep 1000 >/dev/null 2>&1"] {
            let started = Instant::now();
            assert_eq!(shell(script, 100).unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = run(&mut Command::new("/nonexistent/program"), Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_a_status_when_the_daemon_ignores_its_children() {
        // In a process of its own: the disposition is the whole process's.
        // SAFETY: the child runs only the code below and leaves by _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ignoring a signal has no conditions.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            let fine = shell("echo out; exit 3", 10_000)
                .is_ok_and(|ended| ended.status.is_none() && ended.output == b"out\n");
            // SAFETY: _exit has no conditions.
            unsafe { libc::_exit(i32::from(!fine)) };
        }
        let mut status = -1;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
