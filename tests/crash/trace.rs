//! Runs a job and stops it at every system call.

use crate::host::Host;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::ptr;

/// What is done to the traced daemon.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// It is killed before its n-th system call.
    Kill(usize),
    /// Its n-th system call fails with an errno.
    Fail(usize, i32),
}

/// How a traced job ended.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// What was planned was done to it.
    AsPlanned,
    /// By itself, after so many system calls.
    ItsOwn(usize),
}

fn command(stack: &str, host: &Host, job: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["daemon", stack, host.path().to_str().unwrap(), job]).stdin(Stdio::null());
    command
}

/// Runs a job to its end.
pub fn job(stack: &str, host: &Host, job: &str) -> Result<(), String> {
    let status = command(stack, host, job).status().map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("job {job} ended with {status}")) }
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t, data: usize) -> io::Result<()> {
    // SAFETY: the requests used here read or write `data` as a number or a structure of the caller's.
    match unsafe { libc::ptrace(request, pid, ptr::null_mut::<libc::c_void>(), data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn wait(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status
}

fn registers(pid: libc::pid_t) -> libc::user_regs_struct {
    // SAFETY: all-zero bytes are a valid value of this plain structure, and it is large enough.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    ptrace(libc::PTRACE_GETREGS, pid, &raw mut registers as usize).unwrap();
    registers
}

/// What may not be made to fail: memory (the allocator ends the process then, which is what killing does),
/// the hash tables' seed (the standard library wants one), and calls that always do their work (the clock is
/// one: a machine whose clock the kernel does not map has a call for it).
fn never_fails(registers: &libc::user_regs_struct) -> bool {
    let call = registers.orig_rax as i64;
    let seed = call == libc::SYS_getrandom && registers.rdx as u32 & libc::GRND_INSECURE != 0;
    seed || [
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_close,
        libc::SYS_exit_group,
        libc::SYS_clock_gettime,
        libc::SYS_futex,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_geteuid,
        libc::SYS_getegid,
        libc::SYS_tgkill,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
    ]
    .contains(&call)
}

/// Runs a job as planned. Programs that it starts are not traced: they outlive it.
pub fn traced(stack: &str, host: &Host, job: &str, plan: Plan) -> Result<End, String> {
    let mut command = command(stack, host, job);
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(|| ptrace(libc::PTRACE_TRACEME, 0, 0)) };
    #[allow(clippy::zombie_processes, reason = "waited for below, as a tracer does")]
    let child = command.spawn().map_err(|e| e.to_string())?;
    let pid = child.id() as libc::pid_t;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    // The first stop is the exec, the second the job's mark.
    wait(pid);
    ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize).unwrap();
    ptrace(libc::PTRACE_CONT, pid, 0).unwrap();
    let stopped = wait(pid);
    if !libc::WIFSTOPPED(stopped) || libc::WSTOPSIG(stopped) != libc::SIGSTOP {
        return Err(format!("the job did not come to its mark: {stopped:#x}"));
    }
    let (mut count, mut entry, mut reached, mut call) = (0, false, false, String::new());
    // A signal that the job gets is passed on.
    let mut signal = 0;
    let (Plan::Kill(at) | Plan::Fail(at, _)) = plan;
    loop {
        ptrace(libc::PTRACE_SYSCALL, pid, std::mem::take(&mut signal)).unwrap();
        let status = wait(pid);
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            return Err(format!("the job ended with {status:#x}"));
        }
        if libc::WSTOPSIG(status) == libc::SIGSTOP {
            break;
        }
        if libc::WSTOPSIG(status) == libc::SIGCHLD {
            signal = libc::SIGCHLD as usize;
            continue;
        }
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            return Err(format!("the job got signal {}", libc::WSTOPSIG(status)));
        }
        entry = !entry;
        count += usize::from(entry);
        if count != at || reached {
            continue;
        }
        let mut now = registers(pid);
        match plan {
            // What comes after a job's own end is not the library's.
            Plan::Kill(_) if now.orig_rax as i64 == libc::SYS_tgkill => continue,
            Plan::Kill(_) => {
                // SAFETY: the process is our child and not waited for yet.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                wait(pid);
                return Ok(End::AsPlanned);
            }
            Plan::Fail(..) if entry && never_fails(&now) => break,
            Plan::Fail(..) if entry => {
                call =
                    format!("system call {}({:#x}, {:#x}, {:#x})", now.orig_rax, now.rdi, now.rsi, now.rdx);
                now.orig_rax = u64::MAX;
                ptrace(libc::PTRACE_SETREGS, pid, &raw mut now as usize).unwrap();
            }
            Plan::Fail(_, errno) => {
                now.rax = -i64::from(errno) as u64;
                ptrace(libc::PTRACE_SETREGS, pid, &raw mut now as usize).unwrap();
                reached = true;
            }
        }
    }
    loop {
        ptrace(libc::PTRACE_CONT, pid, std::mem::take(&mut signal)).unwrap();
        let status = wait(pid);
        if libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGSTOP {
            continue;
        }
        if libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGCHLD {
            signal = libc::SIGCHLD as usize;
            continue;
        }
        return match libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            true if reached => Ok(End::AsPlanned),
            true => Ok(End::ItsOwn(count)),
            false => Err(format!("after {}: the job ended with {status:#x}", call)),
        };
    }
}
