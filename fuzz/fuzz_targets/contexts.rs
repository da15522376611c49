//! Any text as a context, a range or categories: it is refused, or reads the same once written.
#![no_main]
use libfuzzer_sys::fuzz_target;
use svirt::driver::selinux::context::{Context, Range};
use svirt::driver::selinux::levels::Pairs;

fuzz_target!(|text: &str| {
    if let Ok(context) = text.parse::<Context>() {
        assert_eq!(context.to_string().parse::<Context>().ok(), Some(context));
    }
    if let Ok(range) = text.parse::<Range>() {
        assert_eq!(range.to_string().parse::<Range>().ok(), Some(range.clone()));
        drop(Pairs::new(Some(&range), None));
    }
    drop(Pairs::new(None, Some(text)));
});
