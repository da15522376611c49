//! Random sequences of everything that is done to images, by the domains of two processes that are started
//! anew now and then, against a model: which domain holds which image by which name, and what each image is
//! given back as. Everything else that is to be seen on the files and in the state directory follows from that.
//!
//! `PROPTEST_CASES`: how many sequences, 200 when it is not set.

mod ideal;

use super::*;
use crate::image::table::Table;
use crate::reservation::tests::unshared;
use crate::sys::node::Identity;
use ideal::{Held, Model};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

/// Names of the images; some have two.
const NAMES: [(&str, usize); 6] =
    [("one", 0), ("one-hard", 0), ("two", 1), ("shared", 2), ("shared-link", 2), ("iso", 3)];
const MODELS: [&str; 2] = ["dac", "selinux"];
/// The first two belong to one process, the others to another one.
const DOMAINS: usize = 4;

fn image(name: usize) -> usize {
    NAMES[name].1
}

fn process(domain: usize) -> usize {
    domain / 2
}

/// What a domain uses an image for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Private,
    Shared,
    Content,
    GrantRead,
    GrantWrite,
}

impl Use {
    fn label(self, domain: usize, model: &str) -> Label {
        let own = 4000 + domain as u32;
        let (owner, context) = match self {
            Self::Private => (own, format!("svirt_image_t:s0:c1,c{}", domain + 2)),
            Self::Content => (6000, "virt_content_t:s0".to_owned()),
            _ => (5000, "svirt_image_t:s0".to_owned()),
        };
        match self {
            _ if model == "selinux" => Label::Context(format!("system_u:object_r:{context}").into()),
            Self::GrantRead | Self::GrantWrite => Label::Grant { uid: own, write: self == Self::GrantWrite },
            _ => Label::Owner(owner, owner),
        }
    }
}

/// One thing that is done for one domain.
#[derive(Debug, Clone)]
enum Do {
    Set(usize, Vec<(usize, Use)>),
    Plug(usize, Vec<(usize, Use)>),
    Restore(usize, usize),
    RestoreAll(usize),
    Move(usize, usize, usize),
}

#[derive(Debug, Clone)]
enum Act {
    /// A transaction of one process; `true`: what is to follow the labels fails.
    Together(usize, Vec<Do>, bool),
    /// A process is killed and another one takes its place.
    Restart(usize),
    /// The domain's process is new, and told that the domain lives.
    Adopt(usize),
    /// The domain's process is new, and told that the domain is dead.
    Bury(usize),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Use)>> {
    // Mostly what fits: sequences in which all is refused tell little.
    let usual = prop_oneof![
        Just((0, Use::Private)),
        Just((2, Use::Private)),
        Just((3, Use::Shared)),
        Just((5, Use::Content))
    ];
    let uses = select(vec![Use::Private, Use::Shared, Use::Content, Use::GrantRead, Use::GrantWrite]);
    proptest::collection::vec(prop_oneof![2 => usual, 3 => (0..NAMES.len(), uses)], 1..4)
}

fn transaction() -> impl Strategy<Value = Act> {
    let steps = || (0..2_usize, steps());
    let one = prop_oneof![
        4 => steps().prop_map(|(domain, steps)| Do::Set(domain, steps)),
        3 => steps().prop_map(|(domain, steps)| Do::Plug(domain, steps)),
        4 => (0..2_usize, 0..NAMES.len()).prop_map(|(domain, name)| Do::Restore(domain, name)),
        1 => (0..2_usize).prop_map(Do::RestoreAll),
    ];
    let moving = (0..2_usize, 0..NAMES.len(), 0..NAMES.len())
        .prop_map(|(domain, from, to)| vec![Do::Move(domain, from, to)]);
    let several = prop_oneof![3 => proptest::collection::vec(one, 1..4), 1 => moving];
    (0..2_usize, several, proptest::bool::weighted(0.1)).prop_map(|(process, mut all, fails)| {
        for one in &mut all {
            let (Do::Set(domain, _)
            | Do::Plug(domain, _)
            | Do::Restore(domain, _)
            | Do::RestoreAll(domain)
            | Do::Move(domain, ..)) = one;
            *domain += process * 2;
        }
        Act::Together(process, all, fails)
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => transaction(),
        1 => (0..2_usize).prop_map(Act::Restart),
        1 => (0..DOMAINS).prop_map(Act::Adopt),
        1 => (0..DOMAINS).prop_map(Act::Bury),
    ]
}

/// The host.
struct World {
    dir: TempDir,
    durable: bool,
    images: Vec<Identity>,
    stores: [Store; 2],
    /// What each process knows while it is the other one's turn.
    tables: [Table; 2],
}

impl World {
    fn new(durable: bool) -> Self {
        let dir = if Path::new("/dev/shm").is_dir() {
            tempfile::tempdir_in("/dev/shm")
        } else {
            tempfile::tempdir()
        };
        let dir = dir.unwrap();
        let at = |name| dir.path().join(name);
        for (number, name) in ["one", "two", "shared", "iso"].into_iter().enumerate() {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o640)).unwrap();
            chown(at(name), Some(10 + number as u32), Some(20)).unwrap();
            if name != "two" {
                put_attribute(&at(name), "security.selinux", "system_u:object_r:virt_image_t:s0");
            }
        }
        fs::hard_link(at("one"), at("one-hard")).unwrap();
        symlink(at("shared"), at("shared-link")).unwrap();
        let images =
            ["one", "two", "shared", "iso"].map(|name| Node::find(&at(name)).unwrap().identity()).to_vec();
        let stores = [(); 2].map(|()| store(dir.path()));
        Self { dir, durable, images, stores, tables: Default::default() }
    }

    fn path(&self, name: usize) -> PathBuf {
        self.dir.path().join(NAMES[name].0)
    }

    fn holder(domain: usize) -> Holder {
        Holder { owner: 50 + process(domain) as u32, uuid: Uuid([domain as u8 + 1; 16]) }
    }

    /// Works as one of the processes.
    fn in_process<R>(&self, process: usize, work: impl FnOnce(&Settings<'_>) -> R) -> R {
        let store = &self.stores[process];
        let swap = || Table::get().swap(&self.tables[process], store.ledgers.path(), &self.images);
        swap();
        let result = work(&Settings { durable: self.durable, store, tolerates: &|_, _| false });
        swap();
        result
    }

    fn restart(&mut self, process: usize) {
        self.tables[process] = Table::default();
        self.stores[process] = store(self.dir.path());
    }

    fn steps(&self, domain: usize, steps: &[(usize, Use)], models: &[&'static str]) -> Vec<Step> {
        let of_one = |(name, wanted): &(usize, Use)| {
            let path = self.path(*name);
            models.iter().map(|model| step(&path, wanted.label(domain, model))).collect::<Vec<_>>()
        };
        steps.iter().flat_map(of_one).collect()
    }

    fn task(&self, one: &Do, models: &[&'static str]) -> Task {
        match one {
            Do::Set(domain, steps) => Task::Set(Self::holder(*domain), self.steps(*domain, steps, models)),
            Do::Plug(domain, steps) => Task::Plug(Self::holder(*domain), self.steps(*domain, steps, models)),
            Do::Restore(domain, name) => Task::Restore(Self::holder(*domain), vec![self.path(*name)]),
            Do::RestoreAll(domain) => Task::RestoreAll(Self::holder(*domain), false),
            Do::Move(domain, from, to) => Task::Move(Self::holder(*domain), self.path(*from), self.path(*to)),
        }
    }

    fn play(&mut self, act: &Act, model: &mut Model) {
        match act {
            Act::Together(process, all, fails) => {
                let tasks = all.iter().map(|one| self.task(one, &model.models)).collect();
                let then = || if *fails { Err(crate::error::Error::invalid("as agreed")) } else { Ok(()) };
                let result = self.in_process(*process, |settings| run(tasks, settings, then));
                let expected = model.together(all, *fails);
                assert_eq!(result.is_ok(), expected, "{result:?}");
                if let Err(error) = result {
                    assert!(error.errno() == libc::EBUSY || *fails, "{error}");
                }
            }
            Act::Restart(process) => self.restart(*process),
            Act::Adopt(domain) => {
                self.restart(process(*domain));
                let all = model.holds.iter().filter(|((of, ..), _)| of == domain);
                let steps: Vec<Step> =
                    all.map(|((_, name, _), held)| step(&self.path(*name), held.label.clone())).collect();
                self.in_process(process(*domain), |settings| {
                    adopt(Self::holder(*domain), &steps, settings, |_, _| None).unwrap();
                });
            }
            Act::Bury(domain) => {
                self.restart(process(*domain));
                self.in_process(process(*domain), |settings| bury(Self::holder(*domain), settings).unwrap());
                model.restore_all(*domain);
            }
        }
    }

    /// Everything that is to be seen.
    fn assert_is(&self, model: &Model) {
        for (name, (_, at)) in NAMES.into_iter().enumerate() {
            let path = self.path(name);
            let mut remembered = BTreeSet::new();
            for of in MODELS {
                let (holders, original) = (model.holders(at, of), &model.originals[&(at, of)]);
                let labels: Vec<&Label> = model.on(at, of).map(|(.., held)| &held.label).collect();
                let label = match labels.first() {
                    None | Some(Label::Grant { .. }) => original.clone(),
                    Some(label) => Some((*label).clone()),
                };
                assert_eq!(found(&path, of), label, "{} {of}", path.display());
                if of == "dac" {
                    let granted = labels.iter().filter_map(|label| match label {
                        Label::Grant { uid, write } => Some((*uid, if *write { 6 } else { 4 })),
                        _ => None,
                    });
                    assert_eq!(users(&path), granted.collect(), "{}", path.display());
                }
                if self.durable && !holders.is_empty() {
                    let attribute =
                        |name: &str| attribute(&path, &format!("trusted.libvirt.security.{name}{of}"));
                    assert_eq!(attribute("ref_"), Some(holders.len().to_string()), "{} {of}", path.display());
                    assert_eq!(attribute(""), original.as_ref().map(Label::to_string), "{}", path.display());
                    remembered.insert(of);
                }
            }
            let names = xattr::list(Node::find(&path).unwrap().xattrs()).unwrap();
            let names = String::from_utf8(names).unwrap();
            for of in MODELS {
                let told = names.split('\0').any(|name| name.starts_with("trusted.") && name.ends_with(of));
                assert_eq!(told, remembered.contains(of), "{}: {names}", path.display());
            }
            if model.holders(at, "dac").is_empty() {
                assert!(!names.contains("acl"), "{}: {names}", path.display());
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "{}", path.display());
            }
        }
        for process in 0..2 {
            let known = self.in_process(process, |_| list());
            for info in known.iter().filter(|info| info.path.starts_with(self.dir.path())) {
                let at = NAMES.iter().position(|(name, _)| info.path.ends_with(name)).unwrap();
                let at = image(at);
                let original = model.originals[&(at, info.model)].as_ref().map(Label::to_string);
                assert_eq!(info.original, original, "{}", info.path.display());
                let holders = model.holders(at, info.model);
                let is_one = |uuid: &Uuid| holders.iter().any(|domain| Self::holder(*domain).uuid == *uuid);
                assert!(info.holders.iter().all(is_one), "{info:?}");
                let granted = info.label.starts_with("u:");
                let is_it = |held: &Held| granted || held.label.to_string() == info.label;
                assert!(model.on(at, info.model).all(|(.., held)| is_it(held)), "{info:?}");
            }
        }
        let ledgers = fs::read_dir(self.dir.path().join("state")).unwrap().count();
        let domains: BTreeSet<usize> = model.holds.keys().map(|(domain, ..)| *domain).collect();
        assert_eq!(ledgers, domains.len(), "a ledger for each that holds something");
    }
}

fn store(dir: &Path) -> Store {
    Store::open(unshared(&dir.join("run")), &dir.join("state")).unwrap()
}

/// The label that a file has.
fn found(path: &Path, model: &str) -> Option<Label> {
    if model == "selinux" {
        return attribute(path, "security.selinux").map(|context| Label::Context(context.into()));
    }
    let facts = fs::metadata(path).unwrap();
    Some(Label::Owner(facts.uid(), facts.gid()))
}

/// The users in a file's access control list, and what they may.
fn users(path: &Path) -> BTreeSet<(u32, u16)> {
    let list = xattr::get(Node::find(path).unwrap().xattrs(), c"system.posix_acl_access").unwrap_or_default();
    let entries = list.get(4..).unwrap_or_default().as_chunks::<8>().0.iter();
    let named = entries.filter(|e| e[..2] == [2, 0]);
    named.map(|e| (u32::from_le_bytes([e[4], e[5], e[6], e[7]]), u16::from_le_bytes([e[2], e[3]]))).collect()
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(200, |text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn images_are_what_the_model_says(
        durable in any::<bool>(),
        models in select(vec![vec!["dac"], vec!["selinux"], vec!["dac", "selinux"]]),
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let mut world = World::new(durable);
        let originals = (0..NAMES.len())
            .flat_map(|name| MODELS.map(|of| ((image(name), of), found(&world.path(name), of))))
            .collect();
        let mut model = Model { models, holds: BTreeMap::new(), originals };
        for act in &acts {
            world.play(act, &mut model);
            world.assert_is(&model);
        }
        for domain in 0..DOMAINS {
            world.play(&Act::Together(process(domain), vec![Do::RestoreAll(domain)], false), &mut model);
            world.assert_is(&model);
        }
        for store in &world.stores {
            assert_eq!([50, 51].map(|owner| store.registry.domains(owner).unwrap().len()), [0, 0]);
        }
    }
}
