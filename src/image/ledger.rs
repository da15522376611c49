//! What a domain holds, in one small file per domain under the state directory.
//!
//! A file is a row of frames, each appended by one write and each with its own checksum. A frame says in
//! which boot it was written and what the domain is about to hold or holds no longer. A frame that was
//! cut off belongs to a step that had not begun. See `docs/remembering.md`.

use super::acl::Acl;
use super::durable::boot;
use super::holds::{Hold, Holds, Origin};
use super::table::Key;
use super::{Label, static_model};
use crate::directory;
use crate::error::{Error, Result};
use crate::log::warning;
use crate::reservation::Holder;
use crate::sys::directory::Directory;
use crate::sys::node::{Identity, fnv};
use nix::fcntl::OFlag;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"svirt-1\n";
const HEAD: usize = MAGIC.len() + 4 + 8;

/// A state directory. It is used in mount namespaces that have something else at its path.
#[derive(Debug)]
pub struct Ledgers {
    directory: Directory,
    path: Arc<Path>,
    /// The number of the file system that it is on.
    device: u64,
}

/// A domain's file as it was read.
#[derive(Debug, Default)]
pub struct Page {
    /// What the domain holds by it.
    pub holds: Holds,
    /// How many lines the file has, also those that are void by now.
    pub lines: usize,
}

/// A line of a frame.
#[derive(Debug, Clone, Copy)]
pub enum Line<'a> {
    /// The domain is about to hold an image.
    Hold(&'a Hold),
    /// One use of an image has ended.
    Drop(&'a Hold),
}

impl Ledgers {
    /// The ledgers of a state directory, which is made when it is missing.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory::private(directory, "state_dir")?;
        let opened = Directory::open(&path).and_then(|opened| Ok((opened.facts_of(".")?.st_dev, opened)));
        let (device, directory) =
            opened.map_err(|e| Error::at(&path, "cannot use the state directory (option state_dir)", &e))?;
        Ok(Self { directory, path: path.into(), device })
    }

    /// Whether an image is on the same file system, which keeps the order of changes.
    pub fn are_beside(&self, image: Identity) -> bool {
        image.is_on(self.device)
    }

    /// What tells this state directory from others.
    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }

    fn full(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_file(&self, name: &str, flags: OFlag) -> io::Result<File> {
        self.directory.open_file(name, flags | OFlag::O_NONBLOCK)
    }

    /// What a domain's file says; nothing when there is none.
    pub fn read(&self, holder: Holder) -> Result<Option<Page>> {
        let name = name(holder);
        match self.open_file(&name, OFlag::O_RDONLY) {
            Ok(file) => self.parse(&name, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => self.set_aside(&name).map(|()| None),
            Err(error) => Err(Error::at(&self.full(&name), "cannot read the ledger", &error)),
        }
    }

    fn parse(&self, name: &str, mut file: File) -> Result<Option<Page>> {
        let path = self.full(name);
        let failed = |e: &io::Error| Error::at(&path, "cannot read the ledger", e);
        if !file.metadata().map_err(|e| failed(&e))?.is_file() {
            return self.set_aside(name).map(|()| None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| failed(&e))?;
        let (page, good) = decode(&bytes);
        if good == bytes.len() {
            return Ok(Some(page));
        }
        if good == 0 {
            return self.set_aside(name).map(|()| None);
        }
        warning!("{}: the end of the ledger was never written in full and is cut off", path.display());
        let file = self.open_file(name, OFlag::O_WRONLY);
        file.and_then(|file| file.set_len(good as u64)).map_err(|e| failed(&e))?;
        Ok(Some(page))
    }

    fn set_aside(&self, name: &str) -> Result<()> {
        let (path, aside) = (self.full(name), format!("{name}.damaged"));
        warning!(
            "{}: not a ledger that can be trusted; moved to {}",
            path.display(),
            self.full(&aside).display()
        );
        let moved = self.directory.rename(name, &aside);
        moved.map_err(|e| Error::at(&path, "cannot set the damaged ledger aside", &e))
    }

    /// Appends one frame. `durable`: it is on the disk when this returns.
    pub fn append(&self, holder: Holder, lines: &[Line<'_>], durable: bool) -> Result<()> {
        let name = name(holder);
        let file = self.open_file(&name, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT);
        file.and_then(|mut file| write_whole(&mut file, &encode(lines), durable))
            .map_err(|e| Error::at(&self.full(&name), "cannot write the ledger", &e))
    }

    /// Replaces a domain's file by one that says only what it holds.
    pub fn rewrite(&self, holder: Holder, holds: &Holds) -> Result<()> {
        let name = name(holder);
        let next = format!("{name}.next");
        let changed = |hold: &Hold| Some(Hold { label: hold.was.clone()?, was: None, ..hold.clone() });
        let changed: Vec<(&Hold, Hold)> =
            holds.all().filter_map(|hold| Some((hold, changed(hold)?))).collect();
        let before = changed.iter().map(|(_, before)| Line::Hold(before));
        let uses = holds.all().flat_map(|hold| (0..hold.uses).map(move |_| Line::Hold(hold)));
        let after = changed.iter().map(|(hold, _)| Line::Drop(hold));
        let lines: Vec<Line<'_>> = before.chain(uses).chain(after).collect();
        let file = self.open_file(&next, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC);
        file.and_then(|mut file| write_whole(&mut file, &encode(&lines), true))
            .and_then(|()| self.directory.rename(&next, &name))
            .map_err(|e| Error::at(&self.full(&name), "cannot shorten the ledger", &e))
    }

    /// Removes a domain's file.
    pub fn remove(&self, holder: Holder) -> Result<()> {
        let name = name(holder);
        match self.directory.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::at(&self.full(&name), "cannot remove the ledger", &error))
            }
            _ => Ok(()),
        }
    }

    /// What only ledgers remember from before the host was booted last, whoever's they are.
    pub fn earlier(&self) -> Result<HashMap<Key, Hold>> {
        let mut all = HashMap::new();
        for holder in self.files()? {
            let Some(page) = self.read(holder)? else { continue };
            for hold in page.holds.all().filter(|hold| hold.earlier) {
                if let (Some(identity), true) = (hold.identity, hold.origin.is_some()) {
                    all.insert((identity, hold.model), hold.clone());
                }
            }
        }
        Ok(all)
    }

    /// All domains of an owner that have a file.
    pub fn domains(&self, owner: u32) -> Result<Vec<Holder>> {
        Ok(self.files()?.into_iter().filter(|holder| holder.owner == owner).collect())
    }

    fn files(&self) -> Result<Vec<Holder>> {
        let failed = |e: &io::Error| Error::at(&self.path, "cannot list the state directory", e);
        let host = host();
        let mut all = Vec::new();
        for name in self.directory.names().map_err(|e| failed(&e))? {
            let Some(name) = name.to_str() else { continue };
            let rest = name.strip_prefix(&host);
            let Some((owner, uuid)) = rest.and_then(|rest| rest.split_once('-')) else { continue };
            let Ok(owner) = u32::from_str_radix(owner, 16) else { continue };
            match uuid.parse() {
                Ok(uuid) => all.push(Holder { owner, uuid }),
                // Left by a process that was killed before it could rename it.
                Err(_) if uuid.ends_with(".next") => drop(self.directory.remove(name)),
                Err(_) => {}
            }
        }
        Ok(all)
    }
}

/// How the names of this host's files begin.
fn host() -> String {
    format!("{:08x}-", fnv(boot().host.as_bytes()) as u32)
}

/// The name of a domain's file.
fn name(holder: Holder) -> String {
    format!("{}{:08x}-{}", host(), holder.owner, holder.uuid)
}

/// One write, undone when it was cut short.
fn write_whole(file: &mut File, bytes: &[u8], durable: bool) -> io::Result<()> {
    let written = loop {
        match file.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => break written?,
        }
    };
    if written != bytes.len() {
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(written as u64))?;
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    if durable { file.sync_data() } else { Ok(()) }
}

fn encode(lines: &[Line<'_>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.resize(HEAD, 0);
    let mut field = |field: &[u8]| {
        bytes.extend_from_slice(field);
        bytes.push(0);
    };
    field(boot().id.as_bytes());
    for line in lines {
        let (Line::Hold(hold) | Line::Drop(hold)) = line;
        field(if matches!(line, Line::Hold(_)) { b"+" } else { b"-" });
        field(hold.model.as_bytes());
        field(hold.path.as_os_str().as_bytes());
        field(hold.label.to_string().as_bytes());
        field(hold.identity.map_or_else(String::new, |identity| identity.to_string()).as_bytes());
        let origin = hold.origin.as_ref();
        let known = if origin.is_some() { "known" } else { "" };
        field(known.as_bytes());
        let original = origin.and_then(|origin| origin.original.as_ref());
        field(original.map_or_else(String::new, Label::to_string).as_bytes());
        let acl = origin.and_then(|origin| origin.acl.as_ref()).map_or_else(Vec::new, Acl::encode);
        field(acl.iter().map(|byte| format!("{byte:02x}")).collect::<String>().as_bytes());
    }
    let length = (bytes.len() - HEAD) as u32;
    let sum = fnv(&bytes[HEAD..]);
    bytes[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&length.to_le_bytes());
    bytes[MAGIC.len() + 4..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads frames as far as they are whole; gives how far that is.
fn decode(bytes: &[u8]) -> (Page, usize) {
    let mut page = Page::default();
    let mut at = 0;
    while let Some((payload, next)) = frame(bytes, at) {
        let mut fields = payload.split(|byte| *byte == 0);
        let earlier = fields.next() != Some(boot().id.as_bytes());
        let fields: Vec<&[u8]> = fields.collect();
        for line in fields.chunks_exact(8) {
            page.lines += 1;
            match read_line(line, earlier) {
                Some((true, hold)) => page.holds.add(hold),
                Some((false, hold)) => drop(page.holds.drop_use(&hold.path, hold.model)),
                None => warning!("a line of a ledger is of a kind that this version does not know"),
            }
        }
        at = next;
    }
    (page, at)
}

fn frame(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize)?;
    // An empty payload lacks even the boot.
    (fnv(payload) == u64::from_le_bytes(*sum) && payload.ends_with(&[0]))
        .then(|| (payload, at + HEAD + payload.len()))
}

fn read_line(fields: &[&[u8]], earlier: bool) -> Option<(bool, Hold)> {
    let text = |at: usize| std::str::from_utf8(fields[at]).ok();
    let some = |at: usize| text(at).filter(|text| !text.is_empty());
    let held = match fields[0] {
        b"+" => true,
        b"-" => false,
        _ => return None,
    };
    let path: Arc<Path> = Path::new(OsStr::from_bytes(fields[2])).into();
    let original = match some(6) {
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    let acl = match some(7) {
        Some(hex) => Some(Acl::decode(&unhex(hex)?)?),
        None => None,
    };
    let hold = Hold {
        path: path.is_absolute().then_some(path)?,
        model: static_model(text(1)?)?,
        label: text(3)?.parse().ok()?,
        was: None,
        identity: some(4).map(str::parse).transpose().ok()?,
        origin: (fields[5] == b"known").then(|| Box::new(Origin { original, acl })),
        earlier,
        uses: 1,
    };
    Some((held, hold))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |pair: &[u8; 2]| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    odd.is_empty().then_some(())?;
    pairs.iter().map(byte).collect()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
