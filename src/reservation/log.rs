//! The file through which the processes of a host agree on who holds what.
//!
//! It is a log of 32-byte records. The kernel appends whole records one after the other, and every
//! process replays the same records in the same order, so all come to the same state without a lock:
//! whoever's record comes first has the key. A record never crosses a page, so a full file system or a
//! kill leaves it whole or absent. When the log has grown, a `Close` record ends it; what follows it is
//! void, and the state at that point is carried over to a new file.

use super::{Holder, Key};
use crate::domain::Uuid;
use crate::error::{Error, Result};
use crate::log::warning;
use crate::sys::directory::Directory;
use crate::sys::lock;
use nix::fcntl::OFlag;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

pub(super) const RECORD: usize = 32;
const HEADER: [u8; RECORD] = *b"svirt reservations, format 1   \n";

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The holder wants the key; it has it when nobody had it before.
    Take(Key, Holder),
    /// The holder no longer needs the key.
    Give(Key, Holder),
    /// The holder is one of those who use the key, of which there may be many.
    Join(Key, Holder),
    /// The holder uses the key no longer.
    Leave(Key, Holder),
    /// The log goes on in a new file.
    Close,
}

impl Record {
    fn encode(self) -> [u8; RECORD] {
        let (op, key, holder) = match self {
            Self::Take(key, holder) => (1, key, holder),
            Self::Give(key, holder) => (2, key, holder),
            Self::Join(key, holder) => (4, key, holder),
            Self::Leave(key, holder) => (5, key, holder),
            Self::Close => (3, Key(0), Holder { owner: 0, uuid: Uuid([0; 16]) }),
        };
        let mut bytes = [0; RECORD];
        bytes[0] = op;
        bytes[4..8].copy_from_slice(&holder.owner.to_le_bytes());
        bytes[8..16].copy_from_slice(&key.0.to_le_bytes());
        bytes[16..].copy_from_slice(&holder.uuid.0);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut copy: [u8; RECORD] = bytes.try_into().ok()?;
        let sum = u16::from_le_bytes([copy[2], copy[3]]);
        (copy[2], copy[3]) = (0, 0);
        if sum != checksum(&copy) {
            return None;
        }
        let owner = u32::from_le_bytes(copy[4..8].try_into().ok()?);
        let key = Key(u64::from_le_bytes(copy[8..16].try_into().ok()?));
        let holder = Holder { owner, uuid: Uuid(copy[16..].try_into().ok()?) };
        match copy[0] {
            1 => Some(Self::Take(key, holder)),
            2 => Some(Self::Give(key, holder)),
            3 => Some(Self::Close),
            4 => Some(Self::Join(key, holder)),
            5 => Some(Self::Leave(key, holder)),
            _ => None,
        }
    }
}

/// FNV-1a, folded: finds rubbish, not an attacker; only this user may write the file.
fn checksum(bytes: &[u8; RECORD]) -> u16 {
    let sum = bytes.iter().fold(0x811c_9dc5_u32, |sum, b| (sum ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    (sum ^ sum >> 16) as u16
}

const NAME: &str = "reservations";

/// The open log, and how far it has been read. It is used in mount namespaces that have something else at
/// the path of its directory.
#[derive(Debug)]
pub struct Log {
    directory: Directory,
    path: PathBuf,
    file: File,
    seen: u64,
}

impl Log {
    /// Opens, and where needed creates, the log in a directory.
    pub fn open(directory: &Path) -> Result<Self> {
        let opened = Directory::open(directory)
            .map_err(|e| Error::at(directory, "cannot use the runtime directory (option runtime_dir)", &e))?;
        let path = directory.join(NAME);
        let file =
            Self::open_file(&opened).map_err(|e| Error::at(&path, "cannot open the reservations", &e))?;
        Ok(Self { directory: opened, path, file, seen: RECORD as u64 })
    }

    fn open_file(directory: &Directory) -> io::Result<File> {
        loop {
            let file = directory.open_file(NAME, OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT)?;
            lock::lock(&file, 0)?;
            if !is_in(&file, directory)? {
                continue;
            }
            let length = file.metadata()?.len();
            let mut header = [0; RECORD];
            if length >= RECORD as u64 {
                file.read_exact_at(&mut header, 0)?;
            }
            if length == 0 {
                (&file).write_all(&HEADER)?;
            } else if header != HEADER {
                let aside = format!("{NAME}.foreign");
                let path = directory.path().join(NAME);
                warning!("{}: not a reservations file; moved to {aside}", path.display());
                directory.rename(NAME, &aside)?;
                continue;
            } else if length % RECORD as u64 != 0 {
                file.set_len(length - length % RECORD as u64)?;
            }
            lock::unlock(&file, 0)?;
            return Ok(file);
        }
    }

    /// How many bytes have been replayed.
    pub fn length(&self) -> u64 {
        self.seen
    }

    /// Appends a record. `true`: nothing stands between it and what was seen, so it counts as seen.
    pub fn append(&mut self, record: Record) -> Result<bool> {
        let bytes = record.encode();
        let end = (|| {
            if self.file.write(&bytes)? != RECORD {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            self.file.stream_position()
        })()
        .map_err(|e| Error::at(&self.path, "cannot write the reservations", &e))?;
        let next = end == self.seen + RECORD as u64;
        if next {
            self.seen = end;
        }
        Ok(next)
    }

    /// Hands every record that has not been seen to `apply`; `true` when the log was found closed.
    pub fn read(&mut self, mut apply: impl FnMut(Record)) -> Result<bool> {
        let mut chunk = [0u8; RECORD * 512];
        loop {
            let count = self
                .file
                .read_at(&mut chunk, self.seen)
                .map_err(|e| Error::at(&self.path, "cannot read the reservations", &e))?;
            if count < RECORD {
                return Ok(false);
            }
            for bytes in chunk[..count].chunks_exact(RECORD) {
                self.seen += RECORD as u64;
                match Record::decode(bytes) {
                    Some(Record::Close) => return Ok(true),
                    Some(record) => apply(record),
                    None => warning!("{}: a damaged record is ignored", self.path.display()),
                }
            }
        }
    }

    /// Goes on in the file that follows a closed log, and writes it when nobody has yet. A process that
    /// was killed between closing and writing is thus made up for by whoever comes next.
    pub fn follow(&mut self, held: impl Iterator<Item = Record>) -> Result<()> {
        (|| {
            lock::lock(&self.file, 0)?;
            if is_in(&self.file, &self.directory)? {
                let next = format!("{NAME}.next");
                let mut bytes = HEADER.to_vec();
                held.for_each(|record| bytes.extend(record.encode()));
                let _ = self.directory.remove(&next);
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
                self.directory.open_file(&next, flags)?.write_all(&bytes)?;
                self.directory.rename(&next, NAME)?;
            }
            let old = std::mem::replace(&mut self.file, Self::open_file(&self.directory)?);
            drop(old);
            self.seen = RECORD as u64;
            Ok(())
        })()
        .map_err(|e| Error::at(&self.path, "cannot shorten the reservations", &e))
    }
}

/// Whether the open file is still the one that the directory has.
fn is_in(file: &File, directory: &Directory) -> io::Result<bool> {
    match directory.facts_of(NAME) {
        Ok(named) => {
            let open = file.metadata()?;
            Ok((named.st_dev, named.st_ino) == (open.dev(), open.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_and_rubbish_does_not() {
        let holder = Holder { owner: 7, uuid: Uuid([9; 16]) };
        let (few, many) = (Key(5), Key(u64::MAX));
        for record in [
            Record::Take(few, holder),
            Record::Give(many, holder),
            Record::Join(few, holder),
            Record::Leave(many, holder),
            Record::Close,
        ] {
            let bytes = record.encode();
            assert_eq!(Record::decode(&bytes), Some(record));
            for bit in 0..RECORD * 8 {
                let mut broken = bytes;
                broken[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(Record::decode(&broken), Some(record), "bit {bit}");
            }
        }
        assert_eq!(Record::decode(&[0; RECORD]), None);
    }
}
