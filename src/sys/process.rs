//! What the kernel tells about processes, this one included.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;

/// The effective user and group of this process.
pub fn effective_ids() -> (u32, u32) {
    // SAFETY: neither call has conditions.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Whether this process has a capability in its effective set.
pub fn has_capability(number: u32) -> bool {
    status_field("self", "CapEff:")
        .ok()
        .flatten()
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set >> number & 1 == 1)
}

/// Whether nothing can be written through a descriptor.
pub fn opened_for_reading_only(fd: RawFd) -> bool {
    // SAFETY: the call only answers a question.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_ACCMODE == libc::O_RDONLY }
}

/// `CAP_SYS_ADMIN`: needed for `trusted.*` attributes.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;

/// `CAP_MAC_ADMIN`: needed to load AppArmor profiles.
pub(crate) const CAP_MAC_ADMIN: u32 = 33;

/// A file below a process's `attr`.
pub fn attribute(pid: &str, name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/attr/{name}"))
}

/// Waits for the end of an exec that a process is in the middle of.
///
/// The kernel closes descriptors before it changes the credentials, and holds a lock from before the one until
/// after the other; opening the environment takes that lock, whether it is then allowed or not.
pub fn wait_for_exec(pid: libc::pid_t) {
    drop(fs::File::open(format!("/proc/{pid}/environ")));
}

/// The rest of the line that begins with `field` in a process's status.
pub fn status_field(pid: &str, field: &str) -> io::Result<Option<String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(status.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned))
}

/// When a process was started, in ticks since boot.
pub fn start_ticks(pid: libc::pid_t) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the state after it is field 3, the start field 22.
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    field.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Ticks a second, as the kernel counts them in what it shows.
pub fn ticks_a_second() -> u64 {
    // SAFETY: the call has no conditions.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// The version of Landlock that this kernel has; 0 when it has none, or none that is switched on.
pub fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag and no attributes the call only answers a question.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION)
    };
    u32::try_from(abi).unwrap_or(0)
}

/// The name of the running executable.
pub fn executable_name() -> String {
    fs::read_link("/proc/self/exe")
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// A variable of the environment; none in a process that runs with more rights than whoever started it.
pub fn environment(name: &str) -> Option<OsString> {
    // SAFETY: getauxval has no conditions.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    std::env::var_os(name)
}
