//! libsvirt beside libvirt 9.0.0's own security drivers, both in one process, on the same files, taking turns.
//! Where the kernel does not run SELinux, both get the same preloaded answers in place of libselinux.
//!
//!     peer                    every part in a process of its own; prints the table
//!     peer part NAME…         parts, in this process
//!     peer table FILE…        the table of what parts have printed
//!
//! With `SVIRT_BLESS=1` table and plots also go into `docs/performance.md` and `docs/performance/`.

#![allow(missing_docs, unsafe_code, clippy::unwrap_used, clippy::panic)]

mod child;
mod floor;
mod growth;
mod images;
mod labels;
mod libvirt;
mod measure;
mod ours;
mod place;
mod plot;
mod profile;
mod side;
mod table;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use table::Results;

/// The user of guests, where owners are labels.
pub const OWNER: u32 = 4711;

/// On every host; the others need a kernel that enforces.
const EVERYWHERE: usize = 11;
const PARTS: &[(&str, fn())] = &[
    ("allocation", labels::allocation),
    ("labelling", images::labelling),
    ("disk", images::disk),
    ("stack", images::stack),
    ("shared", images::shared),
    ("threads", images::threads),
    ("memory", images::memory),
    ("xml", labels::domain_xml),
    ("child", child::step),
    ("growth", growth::ours),
    ("growth-libvirt", growth::libvirt),
    ("gen", labels::first),
    ("apparmor", profile::apparmor),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let mut results = Results::default();
    match arguments.first().map(String::as_str) {
        Some("part") => {
            for name in &arguments[1..] {
                PARTS.iter().find(|(part, _)| part == name).unwrap().1();
            }
            return;
        }
        Some("table") => {
            for file in &arguments[1..] {
                fs::read_to_string(file).unwrap().lines().for_each(|line| _ = results.take(line));
            }
        }
        _ if libvirt::Libvirt::open("dac").is_none() => {
            println!("libvirt 9.0.0 is not installed (Debian 12's libvirt0): nothing to compare with");
            return;
        }
        _ => run_all(&mut results),
    }
    println!("\n{}", results.table());
    if std::env::var_os("SVIRT_BLESS").is_some() {
        bless(&results);
    }
}

/// The table goes between two marks that name its place: this host, or a booted kernel.
fn bless(results: &Results) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let place = std::env::var("PEER_TABLE").unwrap_or_else(|_| "host".into());
    let page = docs.join("performance.md");
    let text = fs::read_to_string(&page).unwrap();
    let (begin, end) = (format!("<!-- {place} -->\n"), format!("<!-- /{place} -->"));
    let (head, rest) = text.split_once(&begin).unwrap();
    let (_, tail) = rest.split_once(&end).unwrap();
    fs::write(&page, format!("{head}{begin}{}{end}{tail}", results.table())).unwrap();
    if place == "host" {
        plot::draw(results, &docs.join("performance")).unwrap();
    }
}

fn run_all(results: &mut Results) {
    // Other work on the machine shall not count: as root, the parts come first.
    // SAFETY: a structure of plain numbers.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &libc::sched_param { sched_priority: 1 }) };
    let folder = tempfile::tempdir().unwrap();
    let preload = (!Path::new("/sys/fs/selinux/enforce").exists()).then(|| answers(folder.path()));
    for (part, _) in &PARTS[..EVERYWHERE] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["part", part]).stdout(Stdio::piped()).env("PEER_POLICY", folder.path());
        // Errors only: libvirt takes its own note of the boot time for another boot's when a second begins.
        command.env("LIBVIRT_DEBUG", "4");
        command.envs(preload.iter().map(|library| ("LD_PRELOAD", library)));
        let mut child = command.spawn().unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            println!("{line}");
            results.take(&line);
        }
        assert!(child.wait().unwrap().success(), "{part}");
    }
}

/// The library to preload, and the policy's files that it names.
fn answers(folder: &Path) -> std::path::PathBuf {
    let library = folder.join("selinux.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/selinux.c");
    let flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-o"];
    assert!(Command::new("cc").args(flags).arg(&library).arg(source).status().unwrap().success());
    let contexts = folder.join("contexts");
    fs::create_dir(&contexts).unwrap();
    let images = "system_u:object_r:svirt_image_t:s0\nsystem_u:object_r:virt_content_t:s0\n";
    fs::write(contexts.join("virtual_domain_context"), "system_u:system_r:svirt_t:s0\n").unwrap();
    fs::write(contexts.join("virtual_image_context"), images).unwrap();
    library
}
