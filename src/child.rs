//! The child step: what runs between fork and exec.
//!
//! The parent prepares a [`Plan`] of finished byte strings; the child plays it back with bare system
//! calls. Nothing here allocates, locks, formats or reads a table. The steps run in the one order that
//! the kernel accepts for every stack: the label of the next exec first, the user last (measured: once
//! the uid is given up, neither the attribute nor a ruleset can be set any more).

use crate::sys::raw;
use std::ffi::CStr;

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

/// All steps of one guest, in the order in which they must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    steps: Box<[Step]>,
    /// The manager that made the plan; another one must not play it.
    manager: u64,
}

impl Plan {
    /// Puts the drivers' steps into the order that works.
    pub fn new(manager: u64, mut steps: Vec<Step>) -> Self {
        steps.sort_by_key(|step| match step {
            Step::NextExec { .. } => 0,
            Step::Become { .. } => 1,
        });
        Self { steps: steps.into(), manager }
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
                Step::Become { uid, gid, groups } => {
                    raw::set_groups(groups)?;
                    raw::set_gid(*gid)?;
                    raw::set_uid(*uid)?;
                }
            }
        }
        Ok(())
    }
}
