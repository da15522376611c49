//! Ending a domain's hold on an image; the last one gives the image back.

use super::acl::Acl;
use super::durable;
use super::file::take_off;
use super::holds::Hold;
use super::ledger::Line;
use super::standing::{Held, Image, Standing};
use super::table::{Guest, Table};
use super::{Label, Settings};
use crate::error::{Error, Result};
use crate::log::{info, warning};
use crate::reservation::{Class, Holder, Key};
use crate::sys::node::{Identity, Node};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Gives back everything that a domain holds; goes on after an error and reports the first.
pub fn restore_all(holder: Holder, settings: &Settings<'_>, migrated: bool) -> Result<()> {
    Table::get().with_guest(holder, settings, |guest| all(holder, guest, settings, migrated))
}

/// Gives back one image that a domain holds, unless another resource of the domain uses it too.
pub fn restore(holder: Holder, path: &Path, settings: &Settings<'_>) -> Result<()> {
    Table::get().with_guest(holder, settings, |guest| {
        let named: Vec<Hold> = guest.holds.all().filter(|hold| *hold.path == *path).cloned().collect();
        let mut same = Vec::new();
        if let Some(identity) = identity_of(path)? {
            for hold in guest.holds.all() {
                let known = match hold.identity {
                    None => identity_of(&hold.path)?,
                    known => known,
                };
                if known == Some(identity) {
                    same.push(hold.clone());
                }
            }
        }
        // The same image by another name: any of its names will do, but only one of each model.
        let mut picked = named;
        for hold in &same {
            if !picked.iter().any(|other| other.model == hold.model) {
                picked.push(hold.clone());
            }
        }
        let uses = |hold: &Hold| -> u32 {
            let all = same.iter().filter(|other| other.model == hold.model);
            all.map(|other| other.uses).sum::<u32>().max(hold.uses)
        };
        let (mut gone, last): (Vec<Hold>, Vec<Hold>) = picked.into_iter().partition(|hold| uses(hold) > 1);
        let first = let_all_go(holder, last, settings, false, |hold| gone.push(hold.clone()));
        for hold in &gone {
            guest.holds.drop_use(&hold.path, hold.model);
        }
        if gone.is_empty() {
            first
        } else {
            first.and(write_off(holder, guest, settings, &gone.iter().collect::<Vec<_>>()))
        }
    })
}

/// What a path names now; `None` when it names nothing.
fn identity_of(path: &Path) -> Result<Option<Identity>> {
    match Node::find(path) {
        Ok(node) => Ok(Some(node.identity())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Error::at(path, "cannot find the image to give it back", &error)),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// As [`restore_all`], for a domain that is locked.
pub fn all(holder: Holder, guest: &mut Guest, settings: &Settings<'_>, migrated: bool) -> Result<()> {
    let holds: Vec<Hold> = guest.holds.all().cloned().collect();
    let mut first = let_all_go(holder, holds, settings, migrated, |hold| guest.holds.remove(hold));
    // What could not be given back stays in the ledger with everything else; who is no holder any more
    // is not one by the ledger alone.
    if guest.holds.is_empty() && guest.lines.take().is_some() {
        first = first.and(settings.store.ledgers.remove(holder));
    }
    first
}

/// Strikes lines out of a domain's ledger; the last one takes the file away.
pub fn write_off(holder: Holder, guest: &mut Guest, settings: &Settings<'_>, gone: &[&Hold]) -> Result<()> {
    let Some(lines) = guest.lines else { return Ok(()) };
    let ledgers = &settings.store.ledgers;
    if guest.holds.is_empty() {
        guest.lines = None;
        return ledgers.remove(holder);
    }
    if lines + gone.len() > 64 + 4 * guest.holds.len() {
        guest.lines = Some(guest.holds.len());
        return ledgers.rewrite(holder, &guest.holds);
    }
    guest.lines = Some(lines + gone.len());
    let lines: Vec<Line<'_>> = gone.iter().map(|hold| Line::Drop(hold)).collect();
    ledgers.append(holder, &lines, false)
}

/// Ends a domain's holds, those on one image together, and calls `gone` for each that has ended; goes on after an
/// error and gives the first.
fn let_all_go(
    holder: Holder,
    mut holds: Vec<Hold>,
    settings: &Settings<'_>,
    migrated: bool,
    mut gone: impl FnMut(&Hold),
) -> Result<()> {
    let mut first = Ok(());
    let mut ended = |hold: &Hold, result: Result<()>| match result {
        Ok(()) => gone(hold),
        Err(error) => {
            warning!("{error}");
            if first.is_ok() {
                first = Err(error);
            }
        }
    };
    holds.sort_unstable_by(|a, b| (&a.path, a.identity).cmp(&(&b.path, b.identity)));
    for same in holds.chunk_by(|a, b| (&a.path, a.identity) == (&b.path, b.identity)) {
        let_go_of(holder, same, settings, migrated, &mut ended);
    }
    first
}

/// Ends a domain's hold; the last one gives the image back. Who is no holder changes nothing.
pub fn let_go(holder: Holder, hold: &Hold, settings: &Settings<'_>, migrated: bool) -> Result<()> {
    let mut result = Ok(());
    let_go_of(holder, std::slice::from_ref(hold), settings, migrated, &mut |_, ended| result = ended);
    result
}

/// Ends the holds that different models have on one image by one name, and tells how each ended.
fn let_go_of(
    holder: Holder,
    holds: &[Hold],
    settings: &Settings<'_>,
    migrated: bool,
    ended: &mut impl FnMut(&Hold, Result<()>),
) {
    let mut rest = holds.iter();
    while let Some(hold) = rest.next() {
        let (node, path) = match find_again(hold) {
            Ok(Some(found)) => found,
            Ok(None) => {
                ended(hold, lost(holder, hold, settings));
                continue;
            }
            Err(error) => {
                ended(hold, Err(error));
                continue;
            }
        };
        let locked = Cell::new(false);
        Table::get().with_image(node.identity(), |models| {
            for hold in std::iter::once(hold).chain(rest.by_ref()) {
                let image = Image::new(&node, &path, hold.model, holder, settings, &locked);
                let result = image.lock().and_then(|()| unhold(&image, hold, migrated));
                ended(hold, result.map(|()| models.drop_holder(hold.model, holder)));
            }
        });
    }
}

/// Finds an image by the name under which the domain knows it, or the first holder in this process.
fn find_again(hold: &Hold) -> Result<Option<(Node, Arc<Path>)>> {
    let first = hold.identity.and_then(|identity| {
        Table::get()
            .with_image(identity, |models| models.of(hold.model).as_ref().map(|held| held.path.clone()))
    });
    for path in std::iter::once(hold.path.clone()).chain(first.filter(|first| *first != hold.path)) {
        match Node::find(&path) {
            Ok(node) if hold.identity.is_none_or(|known| known == node.identity()) => {
                return Ok(Some((node, path)));
            }
            Ok(_) => warning!("{}: names another file now, which is left alone", path.display()),
            Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::ELOOP) => {
                info!("{}: is gone, nothing to give back", path.display());
            }
            Err(error) => return Err(Error::at(&path, "cannot find the image to give it back", &error)),
        }
    }
    Ok(None)
}

/// The file is not there any more; nothing but the lists can be put in order.
fn lost(holder: Holder, hold: &Hold, settings: &Settings<'_>) -> Result<()> {
    let Some(identity) = hold.identity else { return Ok(()) };
    Table::get().with_image(identity, |models| models.drop_holder(hold.model, holder));
    let digest = identity.digest(hold.model);
    let leave = |class| settings.store.registry.leave(Key::new(class, digest), holder);
    leave(Class::Counted).and_then(|()| leave(Class::Listed))
}

/// Ends the hold on an image that is locked.
pub fn unhold(image: &Image<'_>, hold: &Hold, migrated: bool) -> Result<()> {
    let standing = image.standing(&hold.label)?;
    let earlier = hold.earlier && hold.origin.is_some();
    match &standing.held {
        Held::Free(_) if earlier => give_back(image, &standing, hold),
        Held::Free(original) => {
            let leftover = standing.memory.as_ref().is_some_and(durable::Remembered::is_leftover);
            if original.is_some() {
                give_back(image, &standing, hold)?;
            } else if leftover && owns_leftover(image, &standing)? {
                forget(image, &standing)?;
            }
            image.settings.store.registry.leave(image.shared_key(Class::Counted), image.holder)
        }
        _ if !standing.mine => Ok(()),
        _ if standing.others > 0 => {
            if let Label::Grant { .. } = hold.label {
                take_grant(image, &standing, hold)?;
                settle(image, hold)?;
            }
            one_less(image, &standing, hold)
        }
        _ => {
            let elsewhere = || {
                image
                    .node
                    .on_shared_filesystem()
                    .map_err(|e| image.failed("cannot tell whether other hosts use it", &e))
            };
            if !(migrated && elsewhere()?) {
                give_back(image, &standing, hold)?;
            } else if standing.held == Held::Counted {
                forget(image, &standing)?;
            }
            let class = if standing.held == Held::Listed { Class::Listed } else { Class::Counted };
            image.settings.store.registry.leave(image.shared_key(class), image.holder)
        }
    }
}

/// Whether attributes that count nobody are what this domain left.
fn owns_leftover(image: &Image<'_>, standing: &Standing) -> Result<bool> {
    let Some(own) = standing.memory.as_ref().and_then(|memory| memory.own.as_ref()) else { return Ok(false) };
    if let Some(only) = own.only {
        return Ok(only == image.holder);
    }
    let key = image.shared_key(Class::Counted);
    let (members, mine) = image.settings.store.registry.membership(key, image.holder)?;
    Ok(members == u32::from(mine))
}

fn one_less(image: &Image<'_>, standing: &Standing, hold: &Hold) -> Result<()> {
    let registry = &image.settings.store.registry;
    let (Held::Counted, Some(memory)) = (&standing.held, &standing.memory) else {
        return registry.leave(image.shared_key(Class::Listed), image.holder);
    };
    let own = image.share(memory, &hold.label)?;
    registry.leave(image.shared_key(Class::Counted), image.holder)?;
    image.count(standing.others)?;
    if own.is_local() {
        image.note_or_forget(&own.counting(own.foreign, own.ours.saturating_sub(1)), memory)?;
    }
    Ok(())
}

/// Gives the original back and forgets.
fn give_back(image: &Image<'_>, standing: &Standing, hold: &Hold) -> Result<()> {
    let model = image.model();
    if let Label::Grant { .. } = hold.label {
        let left = take_grant(image, standing, hold)?;
        // After a boot the entries of other guests may still be there; the last one's ledger forgets.
        if left && matches!(standing.held, Held::Free(_)) {
            return settle(image, hold);
        }
    } else {
        let original = match (&standing.memory, &hold.origin) {
            (Some(memory), _) if memory.count > 0 => memory.original.as_ref(),
            (_, Some(origin)) => origin.original.as_ref(),
            _ => return Ok(()),
        };
        let now = &standing.current;
        if hold.has_put(now.as_ref()) {
            if now.as_ref() != original {
                take_off(image.node, original).map_err(|e| {
                    let original = original.map_or_else(|| "none".to_owned(), Label::to_string);
                    let label = now.as_ref().unwrap_or(&hold.label);
                    image.failed(
                        format_args!("cannot change its {model} label from {label} back to {original}"),
                        &e,
                    )
                })?;
            }
        } else if now.as_ref() != original {
            let has = now.as_ref().map_or_else(|| "none".to_owned(), Label::to_string);
            warning!(
                "{}: its {model} label was changed to {has} while in use; it is left",
                image.path.display()
            );
        }
    }
    settle(image, hold)?;
    forget(image, standing)
}

/// Where only the ledger remembers, it is not to be gone before the label is, or nothing would tell the original
/// after a power loss. One file system keeps the order by itself.
fn settle(image: &Image<'_>, hold: &Hold) -> Result<()> {
    if hold.origin.is_none() || image.settings.store.ledgers.are_beside(image.key.0) {
        return Ok(());
    }
    image.node.sync().map_err(|e| image.failed("cannot write its label to the disk", &e))
}

fn forget(image: &Image<'_>, standing: &Standing) -> Result<()> {
    // A policy may let a daemon relabel a device node and yet not even try to remove what is not there.
    let Some(memory) = standing.memory.as_ref().filter(|memory| !memory.is_empty()) else { return Ok(()) };
    durable::forget(image.node, image.model(), memory.has_acl)
        .map_err(|e| image.failed("cannot update what is remembered", &e))
}

/// Takes a domain's entry out; when no entry of ours is left, the list is as it was, unless somebody
/// changed it. Gives whether others are left.
fn take_grant(image: &Image<'_>, standing: &Standing, hold: &Hold) -> Result<bool> {
    let failed =
        |e: &io::Error| image.failed("cannot take the guest's entry out of its access control list", e);
    let Label::Grant { uid, write } = hold.label else { return Ok(false) };
    let counted = standing.memory.as_ref().is_some_and(|memory| memory.count > 0);
    let before = match hold.origin.as_ref().and_then(|origin| origin.acl.clone()) {
        None if counted => image.remembered_acl(standing)?,
        listed => listed,
    };
    let now = Acl::read(image.node).map_err(|e| failed(&e))?;
    let without = now.without_user(uid);
    let untouched =
        before.filter(|before| before.with_user(uid, write, image.node).without_user(uid) == without);
    let wanted = untouched.as_ref().unwrap_or(&without);
    if *wanted != now {
        wanted.write(image.node).map_err(|e| failed(&e))?;
    }
    Ok(untouched.is_none())
}
