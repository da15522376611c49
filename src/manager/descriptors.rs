//! Labels for descriptors that the daemon hands to a guest.

use super::Manager;
use crate::domain::{Definition, Domain, Flags, Resource, SeclabelType};
use crate::driver::{Decision, Descriptor, Opened};
use crate::error::{Error, Result};
use crate::image;
use crate::sys::node::Node;
use crate::sys::process;
use std::fs;
use std::os::fd::RawFd;
use std::path::Path;

/// The kinds of tap devices that have a node of their own.
const TAPS: [&str; 2] = ["macvtap", "ipvtap"];

/// The node behind every `tun` and `tap` interface: major and minor.
const TUN: (u32, u32) = (10, 200);

impl Manager {
    /// Labels what a descriptor refers to, until the domain gives back all that it holds.
    pub fn set_security_fd_label(&self, domain: &Domain, fd: RawFd, opened: Opened) -> Result<()> {
        self.check_process()?;
        let node = Node::of(fd).map_err(|e| Error::os(format_args!("descriptor {fd}"), &e))?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)?;
        if opened == Opened::Tap && !has_own_node(&node, fd)? {
            return Ok(());
        }
        let name = node.name().ok().and_then(|(name, leads_here)| leads_here.then_some(name));
        let descriptor = Descriptor { opened, name: name.as_deref(), mode: node.mode() };
        let mut labels = Vec::with_capacity(self.drivers.len());
        for driver in &self.drivers {
            let Some(seclabel) = definition.seclabel(driver.model()) else { continue };
            if seclabel.kind == SeclabelType::None {
                continue;
            }
            if let Decision::Set(label) = driver.fd_label(definition, seclabel, &descriptor)? {
                labels.push((driver.model(), label));
            }
        }
        let holder = self.holder(definition.uuid);
        if let (Opened::Image(kind), Some(name), true) = (opened, &name, self.keeps_profiles()) {
            // What was labelled by descriptor is not labelled by its name as well.
            let flags = Flags {
                readonly: process::opened_for_reading_only(fd),
                no_relabel: true,
                ..Flags::default()
            };
            self.name_in_profiles(definition, Resource::new(kind, name, flags)?)?;
        }
        self.with_settings(|settings| image::set_descriptor(holder, &node, name, labels, settings))
    }

    /// Models whose profiles name files look at a descriptor's name when it is handed over.
    fn name_in_profiles(&self, definition: &mut Definition, resource: Resource) -> Result<()> {
        if definition.resources.iter().any(|other| other.path == resource.path) {
            return Ok(());
        }
        for driver in self.drivers.iter().filter(|driver| driver.keeps_profiles()) {
            let seclabel =
                definition.seclabel(driver.model()).filter(|s| s.kind != SeclabelType::None).cloned();
            let Some(seclabel) = seclabel else { continue };
            let new = self.files(definition, std::slice::from_ref(&resource))?;
            let (moment, files) = self.plugged(&definition.resources, new);
            driver.apply(&Self::on_host(definition, files), &seclabel, moment)?;
            definition.resources.push(resource.clone());
        }
        Ok(())
    }
}

/// Whether a tap device is one that has a node in `/dev`; all others share one, which is never labelled.
fn has_own_node(node: &Node, fd: RawFd) -> Result<bool> {
    let Some((major, minor)) = node.character_device() else {
        return Err(Error::invalid(format!(
            "descriptor {fd} is not a tap device: it is no character device"
        )));
    };
    if (major, minor) == TUN {
        return Ok(false);
    }
    let class = fs::read_link(format!("/sys/dev/char/{major}:{minor}/subsystem")).unwrap_or_default();
    if TAPS.iter().any(|tap| class.file_name() == Path::new(tap).file_name()) {
        return Ok(true);
    }
    Err(Error::invalid(format!(
        "descriptor {fd} is not a tap device: it is character device {major}:{minor}, which is no {}",
        TAPS.join(" or ")
    )))
}
