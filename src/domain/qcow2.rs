//! The header of a qcow2 image: which files the image needs beside itself.
//!
//! An image may come from anybody, so nothing in it is believed: every read is bounded, and what does not
//! fit the format is an error.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
/// The longest name that qemu reads.
const LONGEST_NAME: u32 = 1023;
/// Header extensions are looked for this far; real ones fill less than 1 KiB.
const EXTENSIONS: usize = 64 << 10;
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// Incompatible feature: the guest's data is in another file.
const DATA_FILE: u64 = 1 << 2;

/// What a header names; names are as they stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The image below.
    pub backing: Option<String>,
    /// Its format, when the header says it.
    pub backing_format: Option<String>,
    /// The file with the guest's data, when that is not the image itself.
    pub data_file: Option<String>,
    /// Device and inode of the file that was read.
    pub identity: (u64, u64),
}

/// Reads the header of an image. Only files and block devices are opened, and without waiting.
pub fn read(path: &Path) -> Result<Header> {
    let failed = |e: &io::Error| {
        Error::at(
            path,
            "cannot read its header to find the images below it (or name them in <backingStore>)",
            e,
        )
    };
    // A FIFO or a tape must not even be opened.
    let kind = std::fs::metadata(path).map_err(|e| failed(&e))?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(wrong(path, "it is neither a file nor a block device"));
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| failed(&e))?;
    let facts = file.metadata().map_err(|e| failed(&e))?;
    if !facts.is_file() && !facts.file_type().is_block_device() {
        return Err(wrong(path, "it is neither a file nor a block device"));
    }
    let mut head = vec![0; EXTENSIONS];
    let length = read_at(&file, &mut head, 0).map_err(|e| failed(&e))?;
    head.truncate(length);
    let mut header = parse(&head).map_err(|why| wrong(path, why))?;
    header.found.identity = (facts.dev(), facts.ino());
    if let Some((offset, size)) = header.backing {
        let mut name = vec![0; size as usize];
        if read_at(&file, &mut name, offset).map_err(|e| failed(&e))? != name.len() {
            return Err(wrong(path, "the name of its backing file is cut off"));
        }
        header.found.backing =
            Some(text(&name).ok_or_else(|| wrong(path, "the name of its backing file is not text"))?);
    }
    Ok(header.found)
}

fn wrong(path: &Path, why: &str) -> Error {
    Error::invalid(format!("{}: not a qcow2 image that can be used: {why}", path.display())).with_path(path)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

struct Parsed {
    found: Header,
    /// Where the name of the backing file is, and how long.
    backing: Option<(u64, u32)>,
}

fn parse(head: &[u8]) -> std::result::Result<Parsed, &'static str> {
    let field32 = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let field64 = |at: usize| head.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    const SHORT: &str = "it is shorter than a header";
    if field32(0) != Some(MAGIC) {
        return Err("it does not begin as one");
    }
    let version = field32(4).ok_or(SHORT)?;
    let (offset, size) = (field64(8).ok_or(SHORT)?, field32(16).ok_or(SHORT)?);
    let cluster_bits = field32(20).ok_or(SHORT)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err("its cluster size is not between 512 bytes and 2 MiB");
    }
    let cluster = 1_u64 << cluster_bits;
    let (features, length) = match version {
        2 => (0, 72),
        3 => (field64(72).ok_or(SHORT)?, field32(100).ok_or(SHORT)?),
        _ => return Err("its version is neither 2 nor 3"),
    };
    if version == 3 && length < 104 || u64::from(length) > cluster {
        return Err("the length of its header makes no sense");
    }
    let backing = match (offset, size) {
        (0, _) => None,
        (_, 0) => None,
        (_, size) if size > LONGEST_NAME => {
            return Err("the name of its backing file is longer than 1023 bytes");
        }
        (offset, size) if offset < u64::from(length) || offset.saturating_add(size.into()) > cluster => {
            return Err("the name of its backing file lies outside the first cluster");
        }
        (offset, size) => Some((offset, size)),
    };
    let mut found = Header { backing: None, backing_format: None, data_file: None, identity: (0, 0) };
    let end = backing.map_or(cluster, |(offset, _)| offset).min(head.len() as u64) as usize;
    let mut at = length as usize;
    while at + 8 <= end {
        let (Some(kind), Some(size)) = (field32(at), field32(at + 4)) else { break };
        at += 8;
        if kind == 0 {
            break;
        }
        let size = size as usize;
        let Some(data) = head[..end].get(at..).and_then(|rest| rest.get(..size)) else {
            return Err("one of its header extensions is longer than the header");
        };
        let name = match kind {
            EXTENSION_BACKING_FORMAT => &mut found.backing_format,
            EXTENSION_DATA_FILE => &mut found.data_file,
            _ => {
                at += size.next_multiple_of(8);
                continue;
            }
        };
        if name.is_some() || size > LONGEST_NAME as usize {
            return Err("one of its header extensions is there twice, or too long");
        }
        *name = Some(text(data).ok_or("one of its header extensions is not text")?);
        at += size.next_multiple_of(8);
    }
    if features & DATA_FILE == 0 {
        found.data_file = None;
    } else if found.data_file.is_none() {
        return Err("its data is in another file, which it does not name");
    }
    Ok(Parsed { found, backing })
}

/// A name; without control characters, which no path may have.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
