//! The child step: what runs between fork and exec.
//!
//! The parent prepares a [`Plan`] of finished byte strings; the child plays it back with bare system
//! calls. Nothing here allocates, locks, formats or reads a table. The steps run in the one order that
//! the kernel accepts for every stack: the label of the next exec first, because a ruleset forbids to
//! write it, then the ruleset, and the user last (measured: once the uid is given up, neither can be set
//! any more).

use crate::sys::marks::Marks;
use crate::sys::raw;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// One thing that the child does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes the label of the next exec to a file below `/proc/thread-self/attr`.
    NextExec {
        /// The attribute file.
        file: &'static CStr,
        /// What is written, in one write.
        label: Box<[u8]>,
    },
    /// Restricts itself with a Landlock ruleset.
    Restrict(Restrict),
    /// Becomes a user: groups, then gid, then uid.
    Become {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// All supplementary groups.
        groups: Box<[u32]>,
    },
}

/// What a child needs to restrict itself.
#[derive(Debug, Clone)]
pub struct Restrict {
    /// The ruleset; open as long as somebody may play the plan.
    pub ruleset: Arc<OwnedFd>,
    /// Flags of `landlock_restrict_self`.
    pub flags: u32,
    /// Give up gaining privileges first, as who has no CAP_SYS_ADMIN must.
    pub no_new_privs: bool,
    /// What the child may do beneath its own /proc.
    pub own_proc: u64,
    /// Where the child says that it is restricted.
    pub marks: Arc<Marks>,
}

impl PartialEq for Restrict {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ruleset, &other.ruleset)
    }
}

impl Eq for Restrict {}

impl Restrict {
    fn play(&self) -> Result<(), i32> {
        if self.no_new_privs {
            raw::no_new_privs()?;
        }
        // /proc/self is another directory in every process, so only the child itself can allow its own.
        // Without it, in a child without /proc, the guest just has one thing less.
        let _ = raw::landlock_allow(self.ruleset.as_fd(), c"/proc/self", self.own_proc);
        raw::landlock_restrict_self(self.ruleset.as_fd(), self.flags)?;
        self.marks.leave()
    }
}

/// Whose socket a thread is about to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOf {
    /// The guest's: it has the label of the guest's process.
    Guest,
    /// The daemon's own, which the guest connects to.
    Daemon,
}

/// The labels of sockets made for a guest: byte strings for one attribute of the thread that makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLabels {
    /// The attribute file.
    pub file: &'static CStr,
    /// For sockets of the guest.
    pub guest: Box<[u8]>,
    /// For sockets of the daemon that the guest connects to.
    pub daemon: Box<[u8]>,
}

/// All steps of one guest, in the order in which they must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    steps: Box<[Step]>,
    sockets: Box<[SocketLabels]>,
    /// The manager that made the plan; another one must not play it.
    manager: u64,
}

impl Plan {
    /// Puts the drivers' steps into the order that works.
    pub fn new(manager: u64, mut steps: Vec<Step>, sockets: Vec<SocketLabels>) -> Self {
        steps.sort_by_key(|step| match step {
            Step::NextExec { .. } => 0,
            Step::Restrict(_) => 1,
            Step::Become { .. } => 2,
        });
        Self { steps: steps.into(), sockets: sockets.into(), manager }
    }

    /// The same plan with another ruleset.
    #[must_use]
    pub fn with_ruleset(&self, restrict: Restrict) -> Self {
        let others = self.steps.iter().filter(|step| !matches!(step, Step::Restrict(_))).cloned();
        let steps = others.chain([Step::Restrict(restrict)]).collect();
        Self::new(self.manager, steps, self.sockets.to_vec())
    }

    /// Whether this manager made it.
    pub fn is_of(&self, manager: u64) -> bool {
        self.manager == manager
    }

    /// Plays the plan in the calling thread; a negated errno at the first step that fails.
    ///
    /// After a failure the caller must `_exit`: an exec would run the guest without its confinement.
    pub fn play(&self, manager: u64) -> Result<(), i32> {
        if self.manager != manager {
            return Err(-libc::ENODATA);
        }
        for step in &self.steps {
            match step {
                Step::NextExec { file, label } => raw::write_file(file, label)?,
                Step::Restrict(restrict) => restrict.play()?,
                Step::Become { uid, gid, groups } => {
                    raw::set_groups(groups)?;
                    raw::set_gid(*gid)?;
                    raw::set_uid(*uid)?;
                }
            }
        }
        Ok(())
    }

    /// Labels the sockets that the calling thread makes from now on; a negated errno when one label fails.
    pub fn label_sockets(&self, manager: u64, of: SocketOf) -> Result<(), i32> {
        if self.manager != manager {
            return Err(-libc::ENODATA);
        }
        self.sockets.iter().try_for_each(|labels| match of {
            SocketOf::Guest => raw::write_file(labels.file, &labels.guest),
            SocketOf::Daemon => raw::write_file(labels.file, &labels.daemon),
        })
    }
}
