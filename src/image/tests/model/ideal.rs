//! What is so when everything is done as it should be.

use super::{Do, Label, image};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub label: Label,
    pub uses: u32,
}

/// What is so.
#[derive(Debug, Clone)]
pub struct Model {
    pub models: Vec<&'static str>,
    /// By domain, name and model.
    pub holds: BTreeMap<(usize, usize, &'static str), Held>,
    /// What each image is given back as, in the eyes of a model.
    pub originals: BTreeMap<(usize, &'static str), Option<Label>>,
}

impl Model {
    pub fn on(&self, at: usize, model: &str) -> impl Iterator<Item = (usize, usize, &Held)> {
        let is_it = move |name: usize, of: &str| image(name) == at && of == model;
        let all = self.holds.iter().filter(move |((_, name, of), _)| is_it(*name, of));
        all.map(|((domain, name, _), held)| (*domain, *name, held))
    }

    pub fn holders(&self, at: usize, model: &str) -> BTreeSet<usize> {
        self.on(at, model).map(|(domain, ..)| domain).collect()
    }

    /// One use more; `false` when the label cannot stand beside those there are.
    pub fn add(&mut self, domain: usize, name: usize, model: &'static str, label: &Label) -> bool {
        let grant = |label: &Label| matches!(label, Label::Grant { .. });
        let fits = |(other, _, held): (usize, usize, &Held)| {
            held.label == *label || other != domain && grant(&held.label) && grant(label)
        };
        let fit = self.on(image(name), model).all(fits);
        if fit {
            let held = self.holds.entry((domain, name, model));
            held.or_insert_with(|| Held { label: label.clone(), uses: 0 }).uses += 1;
        }
        fit
    }

    /// Another label for what the domain alone holds; `false` when it is to be one use more.
    pub fn change(&mut self, domain: usize, name: usize, model: &'static str, label: &Label) -> bool {
        let grant = |label: &Label| matches!(label, Label::Grant { .. });
        let at = image(name);
        let Some(held) = self.holds.get(&(domain, name, model)) else { return false };
        if held.label == *label || grant(&held.label) || grant(label) || self.holders(at, model).len() > 1 {
            return false;
        }
        for ((_, other, of), held) in &mut self.holds {
            if image(*other) == at && *of == model {
                held.label = label.clone();
            }
        }
        true
    }

    /// One use fewer, of the name itself or of another one of the image.
    pub fn restore(&mut self, domain: usize, name: usize) {
        for model in self.models.clone() {
            let other = self.on(image(name), model).find(|(of, ..)| *of == domain).map(|(_, name, _)| name);
            let own = self.holds.contains_key(&(domain, name, model)).then_some(name);
            let Some(key) = own.or(other).map(|name| (domain, name, model)) else { continue };
            let held = self.holds.get_mut(&key).unwrap();
            held.uses -= 1;
            if held.uses == 0 {
                self.holds.remove(&key);
            }
        }
    }

    pub fn restore_all(&mut self, domain: usize) {
        self.holds.retain(|(other, ..), _| *other != domain);
    }

    pub fn give_back(&mut self, task: &Do) {
        match task {
            Do::Restore(domain, name) => self.restore(*domain, *name),
            Do::RestoreAll(domain) => self.restore_all(*domain),
            _ => {}
        }
    }

    /// Makes `to` what `from` is; `false` when it cannot be had.
    pub fn take_place(&mut self, domain: usize, from: usize, to: usize) -> bool {
        if image(from) == image(to) {
            return true;
        }
        let mut moved = false;
        for model in self.models.clone() {
            let label_on = |all: &Self, at| {
                all.on(at, model).find(|(of, ..)| *of == domain).map(|(.., h)| h.label.clone())
            };
            let Some(label) = label_on(self, image(from)) else { continue };
            if label_on(self, image(to)).is_none() && !self.add(domain, to, model, &label) {
                return false;
            }
            moved = true;
            // Where there are entries in access control lists, nothing else of the image has changed.
            let owned = |at| !matches!(label_on(self, at), None | Some(Label::Grant { .. }));
            if owned(image(from)) && owned(image(to)) && self.holders(image(to), model).len() == 1 {
                let original = self.originals[&(image(from), model)].clone();
                self.originals.insert((image(to), model), original);
            }
        }
        if moved {
            self.restore(domain, from);
        }
        true
    }

    /// A transaction, or nothing but what is given back before its first label.
    pub fn together(&mut self, all: &[Do], fails: bool) -> bool {
        let labels = |task: &Do| matches!(task, Do::Set(..) | Do::Plug(..) | Do::Move(..));
        let (before, later) = all.split_at(all.iter().position(labels).unwrap_or(all.len()));
        before.iter().for_each(|task| self.give_back(task));
        let saved = self.clone();
        let mut rest = Vec::new();
        for task in later {
            let (domain, steps, plug) = match task {
                Do::Set(domain, steps) => (*domain, steps, false),
                Do::Plug(domain, steps) => (*domain, steps, true),
                _ => continue,
            };
            for (name, wanted) in steps {
                for model in self.models.clone() {
                    let label = wanted.label(domain, model);
                    if !(plug && self.change(domain, *name, model, &label)) {
                        rest.push((domain, *name, model, label));
                    }
                }
            }
        }
        let labelled = rest.iter().all(|(domain, name, model, label)| self.add(*domain, *name, model, label))
            && later.iter().all(|task| match task {
                Do::Move(domain, from, to) => self.take_place(*domain, *from, *to),
                _ => true,
            });
        if !labelled || fails {
            *self = saved;
            return false;
        }
        later.iter().for_each(|task| self.give_back(task));
        true
    }
}
