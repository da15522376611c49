//! sVirt confinement for any hypervisor daemon.
//!
//! A daemon gives every guest a unique security label, labels the guest's files, starts the guest's
//! process confined, and gives every file back as it was. [`manager::Manager`] has the methods,
//! [`domain::Domain`] is a guest; `capi` is the C interface (`include/svirt.h`) over both.
//!
//! Data flows one way: a manager asks its drivers what each resource should get, and hands the answers
//! to [`image`], the one place that changes a label on a file.

pub mod capi;
pub mod child;
mod directory;
pub mod domain;
pub mod driver;
pub mod error;
pub mod image;
mod log;
pub mod manager;
pub mod options;
pub mod reservation;
mod sys;
