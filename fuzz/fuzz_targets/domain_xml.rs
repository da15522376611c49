//! Any text as domain XML: it is refused, or what is written back reads as the same domain.
#![no_main]
use libfuzzer_sys::fuzz_target;
use svirt::domain::xml::{from_xml, to_xml};

fuzz_target!(|text: &str| {
    let Ok(mut domain) = from_xml(text) else { return };
    let written = to_xml(&domain).expect("what was read can be written");
    let mut again = from_xml(&written).expect("what was written can be read");
    domain.source = None;
    again.source = None;
    assert_eq!(domain, again);
});
