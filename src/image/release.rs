//! Ending a domain's hold on an image; the last one gives the image back.

use super::Label;
use super::acl::Acl;
use super::durable::{self, Remembered};
use super::file::{current, take_off};
use super::table::{Held, Hold, Table};
use crate::error::{Error, Result};
use crate::log::{info, warning};
use crate::reservation::Holder;
use crate::sys::node::Node;
use std::io;

/// Ends a domain's hold; the last one gives the image back.
pub fn let_go(holder: Holder, hold: &Hold, migrated: bool) -> Result<()> {
    let path = &*hold.path;
    Table::get().with_entry(hold.key, |entry| {
        let Some(held) = entry else { return Ok(()) };
        let Some(at) = held.holders.iter().position(|(other, _)| *other == holder) else { return Ok(()) };
        let node = match Node::find(path) {
            Ok(node) if node.identity() == hold.key.0 => Some(node),
            Ok(_) => {
                warning!("{}: names another file now, which is left alone", path.display());
                None
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
                info!("{}: is gone, nothing to give back", path.display());
                None
            }
            Err(error) => return Err(Error::at(path, "cannot find the image to give it back", &error)),
        };
        if let Some(node) = node {
            give_back_one(&node, held, at, hold, migrated)?;
        }
        held.holders.remove(at);
        if held.holders.is_empty() {
            *entry = None;
        }
        Ok(())
    })
}

fn give_back_one(node: &Node, held: &Held, at: usize, hold: &Hold, migrated: bool) -> Result<()> {
    let failed = |what: &str, e: &io::Error| Error::at(&hold.path, what, e);
    let model = hold.key.1;
    node.lock_metadata().map_err(|e| failed("another process keeps its metadata locked", &e))?;
    let here = held.holders.len() as u32 - 1;
    let mut others = here;
    if held.durable {
        let memory = Remembered::read(node, model).map_err(|e| failed("cannot read its count", &e))?;
        others = memory.count.saturating_sub(1).max(here);
    }
    let own = &held.holders[at].1;
    let elsewhere = migrated && node.on_shared_filesystem();
    if let (Label::Grant { uid, .. }, Some(before)) = (own, &held.acl) {
        take_grant(node, before, *uid, own, others == 0)
            .map_err(|e| failed("cannot take the guest's entry out of its access control list", &e))?;
    } else if others == 0 && !elsewhere {
        let current = current(node, own).map_err(|e| failed("cannot read its label", &e))?;
        if current.as_ref() != Some(own) {
            let has = current.map_or_else(|| "none".to_owned(), |l| l.to_string());
            warning!(
                "{}: its {model} label was changed to {has} while in use; it is left",
                hold.path.display()
            );
        } else if held.original != current {
            take_off(node, held.original.as_ref()).map_err(|e| {
                let original = held.original.as_ref().map_or_else(|| "none".to_owned(), Label::to_string);
                failed(&format!("cannot change its {model} label from {own} back to {original}"), &e)
            })?;
        }
    }
    if !held.durable {
        return Ok(());
    }
    match others {
        0 => durable::forget(node, model),
        others => durable::set_count(node, model, others),
    }
    .map_err(|e| failed("cannot update what is remembered", &e))
}

/// Takes a user's entry out. The last one brings back the list as it was, unless somebody changed it.
fn take_grant(node: &Node, before: &Acl, uid: u32, own: &Label, last: bool) -> io::Result<()> {
    let now = Acl::read(node)?;
    let without = now.without_user(uid);
    let write = matches!(own, Label::Grant { write: true, .. });
    let untouched = last && before.with_user(uid, write).without_user(uid) == without;
    if untouched { before.write(node) } else { without.write(node) }
}
