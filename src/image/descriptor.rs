//! Labels for what is open already.

use super::file::{current, put, take_off};
use super::table::Table;
use super::{Label, Settings, Step, apply};
use crate::error::{Error, Result};
use crate::log::{info, warning};
use crate::reservation::Holder;
use crate::sys::fork::PerProcess;
use crate::sys::node::Node;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// What has a label and no name, by domain: remembered in memory, behind descriptors of the library's own.
static NAMELESS: PerProcess<Mutex<HashMap<Holder, Vec<Nameless>>>> = PerProcess::new();

struct Nameless {
    descriptor: OwnedFd,
    label: Label,
    original: Option<Label>,
}

/// Labels an open file for a domain, with every model or not at all. What has a name is held as if it had
/// been labelled by it; nothing gives a descriptor back by itself, so it is no further use of an image that
/// the domain holds already.
pub fn set_descriptor(
    holder: Holder,
    node: &Node,
    name: Option<PathBuf>,
    mut labels: Vec<(&'static str, Label)>,
    settings: &Settings<'_>,
) -> Result<()> {
    let Some(path) = name else { return nameless(holder, node, labels, settings) };
    let identity = node.identity();
    Table::get().with_guest(holder, settings, |guest| {
        labels.retain(|(model, label)| {
            let same = |hold: &super::holds::Hold| *hold.path == *path || hold.is_on(identity);
            !guest.holds.all().any(|hold| hold.model == *model && hold.label == *label && same(hold))
        });
        Ok(())
    })?;
    let step = |(model, label)| Step {
        path: path.clone(),
        model,
        label,
        optional: false,
        directory: true,
        original: None,
    };
    let steps: Vec<Step> = labels.into_iter().map(step).collect();
    if steps.is_empty() { Ok(()) } else { apply::set(holder, steps, settings, || Ok(())) }
}

fn nameless(
    holder: Holder,
    node: &Node,
    labels: Vec<(&'static str, Label)>,
    settings: &Settings<'_>,
) -> Result<()> {
    let mut done = Vec::with_capacity(labels.len());
    let labelled = label(node, labels, settings, &mut done);
    if labelled.is_err() {
        done.iter().rev().for_each(|one| drop(one.give_back()));
    } else if !done.is_empty() {
        NAMELESS.get().lock().entry(holder).or_default().append(&mut done);
    }
    labelled
}

fn label(
    node: &Node,
    labels: Vec<(&'static str, Label)>,
    settings: &Settings<'_>,
    done: &mut Vec<Nameless>,
) -> Result<()> {
    let failed = |what: &str, e: &io::Error| Error::os(format_args!("{what} an open file without a name"), e);
    for (model, label) in labels {
        let original = current(node, &label).map_err(|e| failed("cannot read the label of", &e))?;
        if original.as_ref() == Some(&label) {
            continue;
        }
        let descriptor = node.keep().map_err(|e| failed("cannot keep", &e))?;
        match put(node, &label) {
            Ok(()) => done.push(Nameless { descriptor, label, original }),
            Err(error) if (settings.tolerates)(model, error.raw_os_error().unwrap_or(libc::EIO)) => {
                info!("an open file without a name keeps its {model} label: {error}");
            }
            Err(error) => {
                return Err(failed(&format!("cannot change the {model} label to {label} of"), &error));
            }
        }
    }
    Ok(())
}

/// Gives back what a domain has without a name; what somebody else has changed is left.
pub fn give_back(holder: Holder) -> Result<()> {
    let mut first = Ok(());
    for one in NAMELESS.get().lock().remove(&holder).unwrap_or_default() {
        first = first.and(one.give_back());
    }
    first
}

impl Nameless {
    fn give_back(&self) -> Result<()> {
        let result = Node::of(self.descriptor.as_raw_fd()).and_then(|node| {
            if current(&node, &self.label)?.as_ref() == Some(&self.label) {
                take_off(&node, self.original.as_ref())
            } else {
                Ok(())
            }
        });
        result.map_err(|error| {
            warning!("an open file without a name cannot be given back: {error}");
            Error::os("cannot give an open file without a name back", &error)
        })
    }
}
