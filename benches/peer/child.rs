//! The step between fork and exec: its system calls, counted by a tracer.

use crate::libvirt::Libvirt;
use crate::ours::Ours;
use crate::place::Place;
use crate::side::{Side, xml};
use crate::table::{Aim, Row};

pub fn step() {
    let enforced = std::path::Path::new("/sys/fs/selinux/enforce").exists();
    // Without SELinux in the kernel no label can go on.
    let stacks: &[&str] = if enforced { &["selinux", "dac", "selinux,dac"] } else { &["dac"] };
    for stack in stacks {
        let place = Place::new();
        let ours = calls(&Ours::open(stack, &place.run, &place.state));
        let libvirt = calls(&Libvirt::open(stack).unwrap());
        let drivers = stack.split(',').count() as f64;
        Row {
            libvirt: Some(libvirt / drivers),
            ratio: Some(ours / libvirt),
            ..Row::ours(
                format!("child step, {stack}"),
                "calls per driver",
                ours / drivers,
                &[Aim::AtMost(4.0)],
            )
        }
        .say();
    }
}

/// System calls from the child's stop to its exit, without the exit.
fn calls<S: Side>(side: &S) -> f64 {
    let guest = side.guest(&xml(1, &[], "", ""));
    side.take(&guest);
    let mut status = 0;
    let mut stops = 0;
    // SAFETY: the child only plays the step; the parent waits for its own child.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 {
                libc::raise(libc::SIGSTOP);
                libc::_exit(-side.enter(&guest));
            }
            libc::_exit(125);
        }
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert!(libc::WIFSTOPPED(status), "the child may be traced");
        while libc::WIFSTOPPED(status) {
            assert_eq!(libc::ptrace(libc::PTRACE_SYSCALL, child, 0, 0), 0);
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            stops += i32::from(libc::WIFSTOPPED(status));
        }
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the step succeeds");
    side.release(&guest);
    // Two stops a call; the exit has one.
    f64::from(stops / 2)
}
