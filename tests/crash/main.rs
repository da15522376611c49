//! A daemon is killed at every system call of a guest's life, and every system call fails once; afterwards
//! a new daemon must find everything as it was, and another guest's files untouched.
//!
//! The program runs itself: as the daemon that is traced, and as the one that cleans up. `SVIRT_CRASH=full`
//! tries every error at every call; `SVIRT_CRASH=STACK` one stack only.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod daemon;
mod host;
#[cfg(target_arch = "x86_64")]
mod trace;

#[cfg(target_arch = "x86_64")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["daemon", stack, directory, job] => {
            daemon::run(stack, std::path::Path::new(directory), job);
        }
        _ => all(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("test result: ok. 0 passed; 0 failed; 1 ignored (knows the registers of x86-64 only)");
}

/// How many calls were tried, or what went wrong.
#[cfg(target_arch = "x86_64")]
type Tried = Result<usize, String>;

#[cfg(target_arch = "x86_64")]
fn all() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let only = std::env::var("SVIRT_CRASH").unwrap_or_default();
    let (full, started) = (only == "full", std::time::Instant::now());
    let stacks: Vec<&str> =
        daemon::stacks().into_iter().filter(|s| only.is_empty() || full || *s == only).collect();
    let [next, passed, failed, killed, faults] = [(); 5].map(|()| AtomicUsize::new(0));
    let work = || {
        while let Some(stack) = stacks.get(next.fetch_add(1, Relaxed)) {
            let host = host::Host::new();
            trace::job(stack, &host, "first").expect("the surviving guest starts");
            for (job, before) in [("life", None), ("reconcile", Some("start"))] {
                let tried = kill_everywhere(stack, &host, job, before);
                let broken =
                    tried.clone().and_then(|calls| fail_everywhere(stack, &host, job, before, calls, full));
                for (name, total, tried) in [("killed", &killed, tried), ("failed", &faults, broken)] {
                    match tried {
                        Ok(count) => {
                            println!("{stack}, {job}, {name} at {count} system calls ... ok");
                            total.fetch_add(count, Relaxed);
                            passed.fetch_add(1, Relaxed);
                        }
                        Err(error) => {
                            println!("{stack}, {job}, {name}: {error} ... FAILED");
                            failed.fetch_add(1, Relaxed);
                        }
                    }
                }
                if failed.load(Relaxed) > 0 {
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let [passed, failed, killed, faults] = [passed, failed, killed, faults].map(AtomicUsize::into_inner);
    println!("killed at {killed} points, {faults} faults, {:.1} s", started.elapsed().as_secs_f64());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    std::process::exit(i32::from(failed > 0));
}

/// One life, or one death, of the guest; then everything must be as it was. `false`: it ended by itself.
#[cfg(target_arch = "x86_64")]
fn attempt(
    stack: &str,
    host: &host::Host,
    job: &str,
    before: Option<&str>,
    plan: trace::Plan,
) -> Result<bool, String> {
    let run = || {
        if let Some(before) = before {
            trace::job(stack, host, before)?;
        }
        let reached = trace::traced(stack, host, job, plan)?;
        trace::job(stack, host, "recover").map(|()| reached)
    };
    run().map_err(|error| format!("{plan:?}: {error}"))
}

#[cfg(target_arch = "x86_64")]
fn kill_everywhere(stack: &str, host: &host::Host, job: &str, before: Option<&str>) -> Tried {
    let mut at = 1;
    while attempt(stack, host, job, before, trace::Plan::Kill(at))? {
        at += 1;
    }
    Ok(at - 1)
}

#[cfg(target_arch = "x86_64")]
fn fail_everywhere(
    stack: &str,
    host: &host::Host,
    job: &str,
    before: Option<&str>,
    calls: usize,
    full: bool,
) -> Tried {
    const ERRORS: [i32; 5] = [libc::EIO, libc::ENOSPC, libc::EINTR, libc::EMFILE, libc::ENOMEM];
    let mut count = 0;
    for at in 1..=calls {
        // One error for each call, another one in every stack, unless all are wanted.
        let first = (at + stack.len()) % ERRORS.len();
        for step in 0..if full { ERRORS.len() } else { 1 } {
            let errno = ERRORS[(first + step) % ERRORS.len()];
            count += usize::from(attempt(stack, host, job, before, trace::Plan::Fail(at, errno))?);
        }
    }
    Ok(count)
}
