//! What the kernel tells about processes, this one included.

use std::ffi::OsString;
use std::fs;
use std::io;

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

/// `CAP_SYS_ADMIN`: needed for `trusted.*` attributes.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;

/// The rest of the line that begins with `field` in a process's status.
pub fn status_field(pid: &str, field: &str) -> io::Result<Option<String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(status.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned))
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
