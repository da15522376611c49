//! Opening a stack of drivers.

use super::Manager;
use crate::domain::Host;
use crate::driver::Driver;
use crate::driver::apparmor::{self, Apparmor};
use crate::driver::dac::{self, Dac};
use crate::driver::landlock::Landlock;
use crate::driver::none::NoneDriver;
use crate::driver::selinux::{self, Selinux};
use crate::error::{Error, Result};
use crate::image::Store;
use crate::log::{info, warning};
use crate::options::Options;
use crate::reservation::Registry;
use crate::sys::{fork, process};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn open(drivers: Option<&str>, options: &Options) -> Result<Manager> {
    let (uid, _) = process::effective_ids();
    let names = match drivers {
        Some(list) => list.split(',').map(str::trim).map(str::to_owned).collect(),
        None => enforced(options)?,
    };
    for (at, name) in names.iter().enumerate() {
        match name.as_str() {
            "selinux" | "apparmor" | "landlock" | "dac" | "none" => {}
            _ => {
                return Err(Error::invalid(format!(
                    "driver {name:?} is unknown; known are selinux, apparmor, landlock, dac, none"
                )));
            }
        }
        if names[..at].contains(name) {
            return Err(Error::invalid(format!("driver {name} stands in the list twice")));
        }
    }
    let has = |name: &str| names.iter().any(|n| n == name);
    if uid == 0 && has("landlock") && !["selinux", "apparmor", "dac"].into_iter().any(has) {
        warning!(
            "driver landlock alone: guests keep root's capabilities, which reach beyond files; use landlock,dac with dac.user or dac.uid_range"
        );
    }
    let owner = options.get("owner").map_or_else(process::executable_name, str::to_owned);
    let owner = owner.bytes().fold(0x811c_9dc5_u32, |d, b| (d ^ u32::from(b)).wrapping_mul(0x0100_0193));
    let privileged = process::has_capability(process::CAP_SYS_ADMIN);
    let durable = match options.get("remember") {
        Some("xattr") if !privileged => {
            return Err(Error::new(
                libc::EPERM,
                "option remember=xattr needs CAP_SYS_ADMIN; use remember=ledger",
            ));
        }
        Some(how) => how == "xattr",
        None => privileged,
    };
    let mut opened: Vec<Box<dyn Driver>> = Vec::with_capacity(names.len());
    for name in &names {
        opened.push(match name.as_str() {
            "selinux" => {
                let config = selinux::Config {
                    range: options.get("mcs.range"),
                    root: options.get("selinux.root").map(Path::new),
                    owner,
                };
                // Asked first, so that a host without SELinux gets that answer and no other.
                Selinux::available()?;
                Box::new(Selinux::open(&config, Registry::open(&options.runtime_dir(uid)?)?)?)
            }
            "landlock" => Box::new(Landlock::open(options.flag("landlock.deny_network", false))?),
            "apparmor" => Box::new(Apparmor::open(&apparmor_config(options))?),
            "dac" => {
                let config = dac::Config {
                    user: options.get("dac.user"),
                    group: options.get("dac.group"),
                    range: options.get("dac.uid_range").map(str::parse).transpose()?,
                    dynamic_ownership: options.flag("dac.dynamic_ownership", true),
                    owner,
                };
                Box::new(Dac::open(&config, Registry::open(&options.runtime_dir(uid)?)?)?)
            }
            _ => Box::new(NoneDriver),
        });
    }
    // Nothing outlives the daemon with these.
    let remembers = opened.iter().any(|driver| !matches!(driver.model(), "none" | "landlock"));
    let store = if remembers {
        let registry = Registry::open(&options.runtime_dir(uid)?)?;
        Some(Store::open(registry, &options.state_dir(uid)?)?)
    } else {
        None
    };
    Ok(Manager {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        generation: fork::generation(),
        drivers: opened,
        owner,
        default_confined: options.flag("default_confined", true),
        require_confined: options.flag("require_confined", false),
        durable,
        store,
        host: Host::default(),
        transactions: Default::default(),
    })
}

fn apparmor_config(options: &Options) -> apparmor::Config<'_> {
    apparmor::Config {
        template: options.get("apparmor.template"),
        profile_dir: options.get("apparmor.profile_dir"),
        parser: options.get("apparmor.parser"),
        load_at_gen: options.flag("apparmor.load_at_gen", false),
    }
}

/// What this host really enforces: the first of the confining drivers that it can run, and dac when guests
/// are to have a user.
fn enforced(options: &Options) -> Result<Vec<String>> {
    type Available = fn(&Options) -> Result<()>;
    const CONFINING: &[(&str, Available)] = &[
        ("selinux", |_| Selinux::available()),
        ("apparmor", |options| Apparmor::open(&apparmor_config(options)).map(drop)),
        ("landlock", |_| Landlock::available()),
    ];
    let (mut names, mut why_not) = (Vec::new(), String::new());
    for (name, available) in CONFINING {
        if let Some(first) = names.first() {
            why_not.push_str(&format!("; not driver {name}: {first} comes before it"));
        } else if let Err(error) = available(options) {
            why_not.push_str(&format!("; not {error}"));
        } else {
            names.push((*name).to_owned());
        }
    }
    if options.get("dac.user").or(options.get("dac.uid_range")).is_some() {
        names.push("dac".to_owned());
    } else {
        why_not.push_str("; not driver dac: neither dac.user nor dac.uid_range is set");
    }
    if names.is_empty() {
        return Err(Error::unsupported(format!("no driver for this host{why_not}")));
    }
    info!("drivers of this host: {}{why_not}", names.join(","));
    Ok(names)
}
