//! Who waits for whom: many threads, other processes, and one image.

use super::*;

#[test]
fn many_threads_and_one_image() {
    let (dir, [shared]) = files(["shared"]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (dir, shared) = (dir.path(), &shared);
            scope.spawn(move || {
                let own = dir.join(format!("own-{thread}"));
                fs::write(&own, "").unwrap();
                chown(&own, Some(10), Some(20)).unwrap();
                for _ in 0..50 {
                    let a = holder();
                    let steps =
                        vec![step(&own, Label::Owner(thread, 0)), step(shared, Label::Owner(4000, 4000))];
                    set(a, steps, &all()).unwrap();
                    assert_eq!(owner(shared), (4000, 4000));
                    restore_all(a, false).unwrap();
                    assert_untouched(&own);
                }
            });
        }
    });
    assert_untouched(&shared);
    let left = Remembered::read(&Node::find(&shared).unwrap(), "dac").unwrap();
    assert_eq!(left, Remembered::default());
}

#[test]
fn two_models_and_many_threads_on_one_image() {
    let (_dir, [shared]) = files(["shared"]);
    // Whoever waits in a circle gets an error when its patience ends.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            let shared = &shared;
            scope.spawn(move || {
                for _ in 0..100 {
                    let a = holder();
                    let steps =
                        vec![step(shared, Label::Context(CONTEXT.into())), step(shared, Label::Owner(7, 7))];
                    set(a, steps, &all()).unwrap();
                    restore_all(a, false).unwrap();
                }
            });
        }
    });
    assert_untouched(&shared);
}

#[test]
fn a_locked_image_is_waited_for_and_then_named() {
    let (_dir, [disk]) = files(["disk"]);
    let other = Node::find(&disk).unwrap();
    assert!(other.lock_metadata().unwrap());
    let error = give(holder(), &disk, 3).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ETIMEDOUT, Some(&*disk)));
    assert_untouched(&disk);
    let a = holder();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            drop(other);
        });
        give(a, &disk, 3).unwrap();
    });
    restore_all(a, false).unwrap();
    assert_untouched(&disk);
}
