#![allow(missing_docs)]

use super::*;
use std::collections::HashSet;

struct Numbers(u32);

impl Universe for Numbers {
    fn name(&self) -> String {
        self.0.to_string()
    }
    fn size(&self) -> u32 {
        self.0
    }
    fn key(&self, number: u32) -> Key {
        Key::new(Class::Uid, u64::from(number))
    }
    fn number(&self, key: Key) -> Option<u32> {
        (key.is(Class::Uid) && key.value() < u64::from(self.0)).then(|| key.value() as u32)
    }
}

fn holder(number: u32) -> Holder {
    let mut uuid = [0; 16];
    uuid[..4].copy_from_slice(&number.to_le_bytes());
    Holder { owner: 1, uuid: Uuid(uuid) }
}

/// A registry of its own, as another process has it, on a directory that others use too.
pub fn unshared(directory: &Path) -> Arc<Registry> {
    let directory = directory::private(directory, "runtime_dir").unwrap();
    let mut state =
        State { log: Log::open(&directory).unwrap(), book: Book::default(), random: Random::default() };
    state.catch_up().unwrap();
    Arc::new(Registry { state: Mutex::new(state) })
}

/// The same with something to draw from.
fn separate(directory: &Path, size: u32) -> (Arc<Registry>, Range) {
    let registry = unshared(directory);
    let range = registry.add_range(Arc::new(Numbers(size)));
    (registry, range)
}

#[test]
fn all_keys_once_then_none_then_again() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, range) = separate(dir.path(), 28);
    let keys: HashSet<Key> = (0..28).map(|n| registry.take_any(range, holder(n)).unwrap().unwrap()).collect();
    assert_eq!(keys.len(), 28);
    assert_eq!(registry.take_any(range, holder(28)).unwrap(), None);
    let third = registry.take_any(range, holder(3)).unwrap();
    registry.release(Class::Uid, holder(3)).unwrap();
    registry.release(Class::Uid, holder(3)).unwrap();
    assert_eq!(registry.take_any(range, holder(28)).unwrap(), third, "the only free one");
}

#[test]
fn the_same_domain_gets_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let (a, range_a) = separate(dir.path(), 1000);
    let (b, range_b) = separate(dir.path(), 1000);
    let key = a.take_any(range_a, holder(1)).unwrap();
    assert_eq!(a.take_any(range_a, holder(1)).unwrap(), key);
    assert_eq!(b.take_any(range_b, holder(1)).unwrap(), key, "b had not read a's record yet");
    b.release(Class::Uid, holder(1)).unwrap();
    assert_eq!(a.state.lock().book.alone.len(), 1, "a has not read it yet");
    a.state.lock().catch_up().unwrap();
    assert!(a.state.lock().book.alone.len() == 0);
}

#[test]
fn of_two_processes_that_draw_for_one_domain_at_once_the_first_wins() {
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let ((a, range_a), (b, range_b)) = (separate(dir.path(), 100), separate(dir.path(), 100));
        let key = |value| Key::new(Class::Uid, value);
        // Neither has read what the other has written.
        let mut log = Log::open(dir.path()).unwrap();
        for value in [round, 99 - round] {
            log.append(Record::Take(key(value), holder(1))).unwrap();
        }
        if round % 2 == 0 {
            let state = &mut *a.state.lock();
            state.catch_up().unwrap();
            state.log.append(Record::Close).unwrap();
            state.follow().unwrap();
        }
        for (registry, range) in [(&a, range_a), (&b, range_b)] {
            registry.refresh().unwrap();
            assert_eq!(registry.take_any(range, holder(1)).unwrap(), Some(key(round)));
        }
    }
}

#[test]
fn a_certain_key_belongs_to_one_domain() {
    let dir = tempfile::tempdir().unwrap();
    let (a, _) = separate(dir.path(), 10);
    let (b, _) = separate(dir.path(), 10);
    let key = Key::new(Class::Uid, 4);
    a.take(key, holder(1), "uid 4").unwrap();
    a.take(key, holder(1), "uid 4").unwrap();
    let error = b.take(key, holder(2), "uid 4").unwrap_err();
    assert_eq!(error.errno(), libc::EEXIST);
    assert!(error.to_string().contains("uid 4") && error.to_string().contains(&holder(1).uuid.to_string()));
    a.release(Class::Level, holder(1)).unwrap();
    assert!(b.take(key, holder(2), "uid 4").is_err(), "another class was released");
    a.release(Class::Uid, holder(1)).unwrap();
    b.take(key, holder(2), "uid 4").unwrap();
}

#[test]
fn what_was_taken_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let key = separate(dir.path(), 10).0.take_any(Range(0), holder(1)).unwrap();
    let (again, range) = separate(dir.path(), 10);
    assert_eq!(again.take_any(range, holder(1)).unwrap(), key);
    assert_eq!((0..20).filter(|n| again.take_any(range, holder(*n)).unwrap().is_some()).count(), 10);
}

#[test]
fn several_processes_shorten_the_log_and_stay_unique() {
    let dir = tempfile::tempdir().unwrap();
    let taken = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for worker in 0..4_u32 {
            let (taken, dir) = (&taken, dir.path());
            scope.spawn(move || {
                let (registry, range) = separate(dir, 50);
                for round in 0..4000 {
                    let me = holder(worker * 1_000_000 + round);
                    let Some(key) = registry.take_any(range, me).unwrap() else { continue };
                    assert!(taken.lock().insert(key), "{key:?} given twice");
                    assert!(taken.lock().remove(&key));
                    registry.release(Class::Uid, me).unwrap();
                }
            });
        }
    });
    let length = std::fs::metadata(dir.path().join("reservations")).unwrap().len();
    assert!(length < 80 << 10, "{length}");
    let (last, range) = separate(dir.path(), 50);
    assert_eq!(last.state.lock().book.ranges[range.0].1.free(), 50);
}

#[test]
fn a_process_killed_while_shortening_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let (a, range) = separate(dir.path(), 10);
    let key = a.take_any(range, holder(1)).unwrap();
    a.state.lock().log.append(Record::Close).unwrap();
    std::fs::write(dir.path().join("reservations.next"), "half a file").unwrap();
    let (b, range) = separate(dir.path(), 10);
    assert_eq!(b.take_any(range, holder(1)).unwrap(), key);
}

#[test]
fn foreign_and_damaged_files_are_not_trusted_and_not_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("reservations");
    std::fs::write(&file, "something else entirely, longer than one record").unwrap();
    let (a, range) = separate(dir.path(), 10);
    assert!(dir.path().join("reservations.foreign").exists());
    let key = a.take_any(range, holder(1)).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend([0xff; 45]);
    std::fs::write(&file, &bytes).unwrap();
    let (b, range) = separate(dir.path(), 10);
    assert_eq!(b.take_any(range, holder(1)).unwrap(), key);
    assert!(b.take_any(range, holder(2)).unwrap().is_some());
    let (c, range) = separate(dir.path(), 10);
    assert_eq!(c.take_any(range, holder(1)).unwrap(), key);
}

#[test]
fn choices_are_uniform() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, range) = separate(dir.path(), 10);
    let mut counts = [0_u32; 10];
    for n in 0..10_000 {
        let key = registry.take_any(range, holder(n)).unwrap().unwrap();
        counts[key.value() as usize] += 1;
        registry.release(Class::Uid, holder(n)).unwrap();
    }
    // Nine degrees of freedom: 33.7 is exceeded once in 10,000 runs.
    let chi: f64 = counts.iter().map(|c| (f64::from(*c) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 45.0, "{counts:?}");
}

#[test]
fn many_share_a_key_and_all_processes_know_who() {
    let dir = tempfile::tempdir().unwrap();
    let (here, range) = separate(dir.path(), 8);
    let (there, _) = separate(dir.path(), 8);
    let image = Key::new(Class::Counted, 77);
    for (registry, number) in [(&here, 1), (&there, 2), (&here, 3), (&there, 3)] {
        registry.join(image, holder(number)).unwrap();
    }
    there.leave(image, holder(1)).unwrap();
    assert_eq!(here.membership(image, holder(3)).unwrap(), (2, true));
    assert_eq!(here.membership(image, holder(1)).unwrap(), (2, false));
    // The log is started anew several times while others come and go.
    for _ in 0..3000 {
        here.join(image, holder(4)).unwrap();
        here.leave(image, holder(4)).unwrap();
    }
    assert!(fs_length(dir.path()) < 100 << 10);
    here.take_any(range, holder(5)).unwrap();
    let (third, _) = separate(dir.path(), 8);
    let mut all: Vec<_> = third.members(image).unwrap();
    all.sort_by_key(|holder| holder.uuid);
    assert_eq!(all, [holder(2), holder(3)]);
    assert_eq!(there.members(image).unwrap().len(), 2);
    let mut domains = third.domains(1).unwrap();
    domains.sort_by_key(|holder| holder.uuid);
    assert_eq!(domains, [holder(2), holder(3), holder(5)]);
    assert!(third.domains(2).unwrap().is_empty());
    third.leave_all(holder(2)).unwrap();
    assert_eq!(there.membership(image, holder(3)).unwrap(), (1, true));
}

fn fs_length(directory: &Path) -> u64 {
    std::fs::metadata(directory.join("reservations")).unwrap().len()
}

/// One thing that is done to the registry of one of two processes.
#[derive(Debug, Clone)]
enum Act {
    TakeAny(u32),
    Take(u32, u64),
    Release(u32),
    Join(u32, u64),
    Leave(u32, u64),
    LeaveAll(u32),
    /// The process ends and another one takes its place.
    Restart,
    /// A process begins the log anew.
    Close,
}

fn act() -> impl proptest::strategy::Strategy<Value = (usize, Act)> {
    use proptest::prelude::*;
    let what = prop_oneof![
        4 => (0..5_u32).prop_map(Act::TakeAny),
        4 => (0..5_u32, 0..4_u64).prop_map(|(holder, value)| Act::Take(holder, value)),
        4 => (0..5_u32).prop_map(Act::Release),
        4 => (0..5_u32, 0..3_u64).prop_map(|(holder, image)| Act::Join(holder, image)),
        2 => (0..5_u32, 0..3_u64).prop_map(|(holder, image)| Act::Leave(holder, image)),
        1 => (0..5_u32).prop_map(Act::LeaveAll),
        1 => Just(Act::Restart),
        1 => Just(Act::Close),
    ];
    (0..2_usize, what)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Five domains, four keys and three images, two processes, against a map from domain to key and a set of
    /// who shares what.
    #[test]
    fn two_registries_are_one_map(acts in proptest::collection::vec(act(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut both = [separate(dir.path(), 4), separate(dir.path(), 4)];
        let mut model = std::collections::HashMap::<u32, u64>::new();
        let mut shared = HashSet::<(u32, u64)>::new();
        let image = |value| Key::new(Class::Counted, value);
        for (process, act) in acts {
            let (registry, range) = &both[process];
            let taken = |value: u64, model: &std::collections::HashMap<u32, u64>| model.values().any(|v| *v == value);
            match act {
                Act::TakeAny(number) => match registry.take_any(*range, holder(number)).unwrap() {
                    None => assert!(model.len() == 4 && !model.contains_key(&number)),
                    Some(key) => match model.get(&number) {
                        Some(value) => assert_eq!(key.value(), *value),
                        None => {
                            assert!(!taken(key.value(), &model));
                            model.insert(number, key.value());
                        }
                    },
                },
                Act::Take(number, value) if !model.contains_key(&number) => {
                    let result = registry.take(Key::new(Class::Uid, value), holder(number), "uid");
                    assert_eq!(result.is_ok(), !taken(value, &model));
                    if result.is_ok() {
                        model.insert(number, value);
                    }
                }
                Act::Take(..) => {}
                Act::Release(number) => {
                    registry.release(Class::Uid, holder(number)).unwrap();
                    model.remove(&number);
                }
                // Whoever comes and goes has looked up who is there.
                Act::Join(number, value) => {
                    registry.refresh().unwrap();
                    registry.join(image(value), holder(number)).unwrap();
                    shared.insert((number, value));
                }
                Act::Leave(number, value) => {
                    registry.refresh().unwrap();
                    registry.leave(image(value), holder(number)).unwrap();
                    shared.remove(&(number, value));
                }
                Act::LeaveAll(number) => {
                    registry.refresh().unwrap();
                    registry.leave_all(holder(number)).unwrap();
                    shared.retain(|(other, _)| *other != number);
                }
                Act::Restart => both[process] = separate(dir.path(), 4),
                Act::Close => {
                    let state = &mut *registry.state.lock();
                    let alone = state.log.append(Record::Close).unwrap();
                    if alone { state.follow() } else { state.catch_up() }.unwrap();
                }
            }
            let (registry, range) = &both[process];
            registry.refresh().unwrap();
            for number in 0..5 {
                assert_eq!(registry.holds(Class::Uid, holder(number)), model.contains_key(&number));
            }
            assert_eq!(registry.state.lock().book.ranges[range.0].1.free() as usize, 4 - model.len());
            for value in 0..3 {
                let members: HashSet<Holder> = registry.members(image(value)).unwrap().into_iter().collect();
                let all = shared.iter().filter(|(_, of)| *of == value).map(|(number, _)| holder(*number));
                assert_eq!(members, all.collect());
            }
            let known: HashSet<Holder> = registry.domains(1).unwrap().into_iter().collect();
            let all = model.keys().chain(shared.iter().map(|(number, _)| number)).map(|number| holder(*number));
            assert_eq!(known, all.collect());
        }
    }
}
