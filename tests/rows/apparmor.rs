//! AppArmor's column: what the text of a guest's profile allows on every file of the host. Whether the kernel
//! does what the text says is tested in the booted one, by `tests/kernel/apparmor.sh`.

use crate::host::{Fixture, present};
use crate::table::{Make, ROWS, Row};
use std::collections::BTreeMap;
use svirt::domain::xml;
use svirt::driver::apparmor::rules;

#[test]
fn apparmor() {
    let host = Fixture::new();
    let all: Vec<&Row> = ROWS.iter().collect();
    let mut definition = xml::from_xml(&host.xml(crate::uuid(), &all)).unwrap();
    definition.resources =
        definition.resources.iter().flat_map(|resource| host.host().files(resource).unwrap()).collect();
    let text = rules::text(&definition, |_| true).unwrap();
    let rule = |line| -> Option<(&str, &str)> {
        str::trim(line).strip_prefix('"')?.strip_suffix(',')?.split_once("\" ")
    };
    let rules: BTreeMap<&str, &str> = text.lines().filter_map(rule).collect();
    let mut allowed = 0;
    for row in ROWS {
        for (path, make, _, access) in present(row) {
            let full = host.path(path);
            let name = full.to_str().unwrap();
            let tree = matches!(make, Make::Dir) && !access.is_empty();
            let found = if tree { rules.get(format!("{name}/**").as_str()) } else { rules.get(name) };
            // Links are made below a directory that is the guest's; elsewhere nothing is linked.
            let found = found.map(|permissions| permissions.replace('l', "")).unwrap_or_default();
            assert_eq!(found, *access, "{}: {path}", row.name);
            allowed += usize::from(!access.is_empty());
        }
    }
    assert!(allowed >= 75, "{allowed} files");
}
