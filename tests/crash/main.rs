//! A daemon is killed at every system call of a guest's life, and every system call fails once; afterwards
//! a new daemon must find everything as it was, and another guest's files untouched.
//!
//! The program runs itself: as the daemon that is traced, and as the one that cleans up. `SVIRT_CRASH=STACK`
//! is about one stack only. What there is time for (`SVIRT_CRASH_SECONDS`) is spread over all calls and begins
//! elsewhere in every run; `SVIRT_CRASH=full` tries everything, with every error.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod daemon;
mod host;
#[cfg(target_arch = "x86_64")]
mod trace;

#[cfg(target_arch = "x86_64")]
use std::time::{Duration, Instant};

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

/// How many of how many calls were tried, or what went wrong.
#[cfg(target_arch = "x86_64")]
type Tried = Result<(usize, usize), String>;

/// What is done to a stack: a job, after another one, is killed or has a call fail.
#[cfg(target_arch = "x86_64")]
const PARTS: [(&str, Option<&str>, bool); 6] = [
    ("life", None, true),
    ("life", None, false),
    ("reconcile", Some("start"), true),
    ("reconcile", Some("start"), false),
    ("reserve", Some("start"), true),
    ("reserve", Some("start"), false),
];

/// Tried for each part at least, however slow the host is.
#[cfg(target_arch = "x86_64")]
const LEAST: usize = 5;

#[cfg(target_arch = "x86_64")]
const ERRORS: [i32; 5] = [libc::EIO, libc::ENOSPC, libc::EINTR, libc::EMFILE, libc::ENOMEM];

#[cfg(target_arch = "x86_64")]
fn all() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let only = std::env::var("SVIRT_CRASH").unwrap_or_default();
    let (full, started) = (only == "full", Instant::now());
    let seconds = std::env::var("SVIRT_CRASH_SECONDS").map_or(60, |text| text.parse().expect("seconds"));
    let end = (!full).then(|| started + Duration::from_secs(seconds));
    let stacks: Vec<&str> =
        daemon::stacks().into_iter().filter(|s| only.is_empty() || full || *s == only).collect();
    assert!(!stacks.is_empty(), "this host has no stack {only}");
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(stacks.len());
    let [next, passed, failed, killed, faults] = [(); 5].map(|()| AtomicUsize::new(0));
    let work = || {
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(stack) = stacks.get(at) else { return };
            // As many rounds are left as the threads need for what is left.
            let end = end.map(|end| share(end, (stacks.len() - at).div_ceil(threads)));
            let host = host::Host::new();
            trace::job(stack, &host, "first").expect("the surviving guest starts");
            // A process with a label of these two cannot be started from here.
            let unlike = |job: &str| job == "reserve" && !daemon::is_plain(stack);
            let parts: Vec<_> = PARTS.into_iter().filter(|(job, ..)| !unlike(job)).collect();
            for (part, (job, before, kill)) in parts.iter().copied().enumerate() {
                let end = end.map(|end| share(end, parts.len() - part));
                let plans = if kill { 1 } else { ERRORS.len() };
                let tried = everywhere(
                    &Run { stack, host: &host, job, before },
                    end,
                    |at, step| match kill {
                        true => trace::Plan::Kill(at),
                        // One error for each call, another one in every stack, unless all are wanted.
                        false => trace::Plan::Fail(at, ERRORS[(at + stack.len() + step) % plans]),
                    },
                    if full { plans } else { 1 },
                );
                let (word, total) = if kill { ("killed", &killed) } else { ("failed", &faults) };
                match tried {
                    Ok((count, of)) => {
                        println!("{stack}, {job}, {word} {count} times, at {of} system calls ... ok");
                        total.fetch_add(count, Relaxed);
                        passed.fetch_add(1, Relaxed);
                    }
                    Err(error) => {
                        println!("{stack}, {job}, {word}: {error} ... FAILED");
                        failed.fetch_add(1, Relaxed);
                        return;
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let [passed, failed, killed, faults] = [passed, failed, killed, faults].map(AtomicUsize::into_inner);
    println!("killed at {killed} points, {faults} faults, {:.1} s", started.elapsed().as_secs_f64());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; 0 ignored");
    std::process::exit(i32::from(failed > 0));
}

/// When the first of so many equal shares of the time until `end` is over.
#[cfg(target_arch = "x86_64")]
fn share(end: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    now + end.saturating_duration_since(now) / parts as u32
}

/// A job on a stack.
#[cfg(target_arch = "x86_64")]
struct Run<'a> {
    stack: &'a str,
    host: &'a host::Host,
    job: &'a str,
    before: Option<&'a str>,
}

#[cfg(target_arch = "x86_64")]
impl Run<'_> {
    /// One life, or one death, of the guest; then everything must be as it was.
    fn attempt(&self, plan: trace::Plan) -> Result<trace::End, String> {
        let run = || {
            if let Some(before) = self.before {
                trace::job(self.stack, self.host, before)?;
            }
            let end = trace::traced(self.stack, self.host, self.job, plan)?;
            trace::job(self.stack, self.host, "recover").map(|()| end)
        };
        run().map_err(|error| format!("{plan:?}: {error}"))
    }
}

/// Tries the plans for every call of a job, or for those that there is time for: they are spread evenly over
/// all calls at any time.
#[cfg(target_arch = "x86_64")]
fn everywhere(
    run: &Run<'_>,
    end: Option<Instant>,
    plan: impl Fn(usize, usize) -> trace::Plan,
    plans: usize,
) -> Tried {
    let calls = match run.attempt(trace::Plan::Kill(usize::MAX))? {
        trace::End::ItsOwn(calls) => calls,
        trace::End::AsPlanned => return Err("the job has no end".to_owned()),
    };
    let common = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // The golden section, as a number that meets every call once.
    let stride = (calls * 618 / 1000..).find(|stride| common(*stride, calls) == 1).unwrap_or(1);
    let first = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_micros() as usize);
    let (mut count, mut tried) = (0, 0);
    for at in (0..calls).map(|n| (first + n * stride) % calls + 1) {
        if tried >= LEAST && end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        for step in 0..plans {
            count += usize::from(matches!(run.attempt(plan(at, step))?, trace::End::AsPlanned));
        }
        tried += 1;
    }
    Ok((count, calls))
}
