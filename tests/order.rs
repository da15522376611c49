//! What is on the disk before a ledger goes: this program traces itself and looks at the order of system calls
//! with which a guest's images are given back. A power loss shows no more than that order.
#![allow(unsafe_code, clippy::unwrap_used, missing_docs)]

mod support;

#[cfg(target_arch = "x86_64")]
fn main() {
    traced::main();
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("test result: ok. 0 passed; 0 failed; 1 ignored (knows the registers of x86-64 only)");
}

#[cfg(target_arch = "x86_64")]
mod traced {
    use super::support::*;
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::Command;
    use std::ptr;
    use svirt::manager::Manager;
    use svirt::options::Options;

    const DISKS: usize = 3;

    pub fn main() {
        let arguments: Vec<String> = std::env::args().collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
            ["daemon", remember, images, state] => daemon(remember, Path::new(images), Path::new(state)),
            _ => all(),
        }
    }

    fn all() {
        let (images, beside) = (folder(), folder());
        let elsewhere = Mounted::new(&["-t", "tmpfs", "none"], &images.path().join("other"));
        for number in 0..DISKS {
            file(&images, &format!("disk-{number}"));
        }
        let [owned, synced, removed] = [libc::SYS_fchownat, libc::SYS_fsync, libc::SYS_unlinkat];
        for (remember, state, syncs) in [
            ("ledger", elsewhere.0.as_path(), true),
            ("ledger", beside.path(), false),
            ("xattr", &elsewhere.0, false),
        ] {
            let calls = calls(remember, images.path(), state);
            let seen: Vec<i64> = calls.into_iter().filter(|c| [owned, synced, removed].contains(c)).collect();
            let of_one: &[i64] = if syncs { &[owned, synced] } else { &[owned] };
            assert_eq!(
                seen,
                [of_one.repeat(DISKS), vec![removed]].concat(),
                "{remember}, {}",
                state.display()
            );
        }
        println!("test result: ok. 1 passed; 0 failed; 0 ignored");
    }

    fn daemon(remember: &str, images: &Path, state: &Path) {
        let mut options = Options::default();
        options.set("runtime_dir", images.join("run").to_str().unwrap()).unwrap();
        options.set("state_dir", state.join("state").to_str().unwrap()).unwrap();
        options.set("remember", remember).unwrap();
        options.set("dac.user", "+4000").unwrap();
        let manager = Manager::open(Some("dac"), &options).unwrap();
        let disks: Vec<_> = (0..DISKS).map(|number| images.join(format!("disk-{number}"))).collect();
        let a = started(&manager, &disks.iter().map(|disk| (disk.as_path(), 0)).collect::<Vec<_>>());
        // SAFETY: raise has no conditions.
        let mark = || unsafe { libc::raise(libc::SIGSTOP) };
        mark();
        manager.restore_security_all_label(&a, false).unwrap();
        mark();
        manager.release_security_label(&a).unwrap();
    }

    fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: usize) {
        // SAFETY: the requests used here read or write `data` as a number or a structure of the caller's.
        let result = unsafe { libc::ptrace(request, pid, ptr::null_mut::<libc::c_void>(), data) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    fn wait(pid: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is writable.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        status
    }

    /// The system calls between the daemon's two marks.
    fn calls(remember: &str, images: &Path, state: &Path) -> Vec<i64> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["daemon", remember, images.to_str().unwrap(), state.to_str().unwrap()]);
        // SAFETY: the closure makes one system call.
        unsafe {
            command.pre_exec(|| {
                ptrace(libc::PTRACE_TRACEME, 0, 0);
                Ok(())
            })
        };
        #[allow(clippy::zombie_processes, reason = "waited for below, as a tracer does")]
        let pid = command.spawn().unwrap().id() as libc::pid_t;
        wait(pid);
        ptrace(
            libc::PTRACE_SETOPTIONS,
            pid,
            (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize,
        );
        ptrace(libc::PTRACE_CONT, pid, 0);
        let at_mark = |status| libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP;
        assert!(at_mark(wait(pid)), "the daemon did not come to its mark");
        let (mut all, mut entry) = (Vec::new(), false);
        loop {
            ptrace(libc::PTRACE_SYSCALL, pid, 0);
            let status = wait(pid);
            if at_mark(status) {
                break;
            }
            assert!(
                libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80,
                "{status:#x}"
            );
            entry = !entry;
            if entry {
                // SAFETY: all-zero bytes are a valid value of this plain structure, and it is large enough.
                let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
                ptrace(libc::PTRACE_GETREGS, pid, &raw mut registers as usize);
                all.push(registers.orig_rax as i64);
            }
        }
        ptrace(libc::PTRACE_CONT, pid, 0);
        let status = wait(pid);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
        all
    }
}
