//! What a caller wants done with images: at once, or together with more when a transaction ends.

use super::change::change;
use super::moving::{self, Exchange};
use super::{Settings, Step, apply, descriptor, release};
use crate::error::Result;
use crate::log::warning;
use crate::reservation::Holder;
use std::path::PathBuf;
use std::vec::IntoIter;

/// One thing to do for one domain.
#[derive(Debug)]
pub enum Task {
    /// Put labels on.
    Set(Holder, Vec<Step>),
    /// The same; an image that the domain alone holds with another label gets the new one.
    Plug(Holder, Vec<Step>),
    /// Give these images back.
    Restore(Holder, Vec<PathBuf>),
    /// Give everything back; `true`: another host runs the domain now.
    RestoreAll(Holder, bool),
    /// Make the second image what the first one was to the domain.
    Move(Holder, PathBuf, PathBuf),
}

/// What was changed before the first label was put on, and how it was.
enum Changed {
    Label(Holder, Step),
    Original(Exchange),
}

impl Changed {
    fn undo(&self, settings: &Settings<'_>) -> Result<()> {
        match self {
            Self::Label(holder, step) => change(*holder, step, settings).map(drop),
            Self::Original(exchange) => exchange.undo(settings),
        }
    }
}

/// Does all tasks and calls `then`. When something cannot be labelled or moved, or `then` fails, what was done
/// is undone. What comes before the first label is given back before, everything else afterwards; an image
/// that cannot be given back stops nothing, and the first such error is the result.
pub fn run(mut tasks: Vec<Task>, settings: &Settings<'_>, then: impl FnOnce() -> Result<()>) -> Result<()> {
    let labels = |task: &Task| matches!(task, Task::Set(..) | Task::Plug(..) | Task::Move(..));
    let later = tasks.split_off(tasks.iter().position(labels).unwrap_or(tasks.len()));
    let before = finish(tasks, settings);
    let (mut after, mut changed) = (Vec::with_capacity(later.len()), Vec::new());
    let labelled = gather(later, settings, &mut after, &mut changed)
        .and_then(|sets| set(sets.into_iter(), settings, Box::new(then)));
    if labelled.is_err() {
        for one in changed.iter().rev() {
            if let Err(error) = one.undo(settings) {
                warning!("while undoing: {error}");
            }
        }
    }
    labelled?;
    before.and(finish(after, settings))
}

/// What is to be labelled, by domain. `after`: what comes when all is labelled.
fn gather(
    tasks: Vec<Task>,
    settings: &Settings<'_>,
    after: &mut Vec<Task>,
    changed: &mut Vec<Changed>,
) -> Result<Vec<(Holder, Vec<Step>)>> {
    let mut sets: Vec<(Holder, Vec<Step>)> = Vec::new();
    for task in tasks {
        let (holder, steps) = match task {
            Task::Set(holder, steps) => (holder, steps),
            Task::Plug(holder, steps) => {
                let mut rest = Vec::with_capacity(steps.len());
                for step in steps {
                    match change(holder, &step, settings)? {
                        Some(label) => changed.push(Changed::Label(holder, Step { label, ..step })),
                        None => rest.push(step),
                    }
                }
                (holder, rest)
            }
            Task::Move(holder, from, to) => {
                let mut exchanged = Vec::new();
                let steps = moving::take_over(holder, (&from, &to), settings, &mut exchanged);
                changed.extend(exchanged.into_iter().map(Changed::Original));
                let Some(steps) = steps? else { continue };
                after.push(Task::Restore(holder, vec![from]));
                (holder, steps)
            }
            task => {
                after.push(task);
                continue;
            }
        };
        match sets.iter_mut().find(|(other, _)| *other == holder) {
            Some((_, all)) => add(all, steps),
            None => sets.push((holder, steps)),
        }
    }
    // One order for all threads, so that two transactions cannot wait for each other's domains.
    sets.sort_unstable_by_key(|(holder, _)| (holder.owner, holder.uuid));
    Ok(sets)
}

/// An image that is labelled anyway, and then takes another's place, is labelled once.
fn add(all: &mut Vec<Step>, steps: Vec<Step>) {
    for step in steps {
        let same = |other: &&mut Step| other.path == step.path && other.model == step.model;
        match step.original.is_some().then(|| all.iter_mut().find(same)).flatten() {
            Some(other) => other.original = step.original,
            None => all.push(step),
        }
    }
}

/// Labels for one domain inside labelling for the one before, so that a failure undoes them all.
fn set<'a>(
    mut sets: IntoIter<(Holder, Vec<Step>)>,
    settings: &'a Settings<'_>,
    then: Box<dyn FnOnce() -> Result<()> + 'a>,
) -> Result<()> {
    match sets.next() {
        Some((holder, steps)) => apply::set(holder, steps, settings, move || set(sets, settings, then)),
        None => then(),
    }
}

fn finish(tasks: Vec<Task>, settings: &Settings<'_>) -> Result<()> {
    let mut first = Ok(());
    let mut next = |result: Result<()>| first = std::mem::replace(&mut first, Ok(())).and(result);
    for task in tasks {
        match task {
            // These came before.
            Task::Set(..) | Task::Plug(..) | Task::Move(..) => {}
            Task::Restore(holder, paths) => {
                paths.iter().for_each(|path| next(release::restore(holder, path, settings)));
            }
            Task::RestoreAll(holder, migrated) => {
                next(release::restore_all(holder, settings, migrated));
                next(descriptor::give_back(holder));
            }
        }
    }
    first
}
