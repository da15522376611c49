//! Where a part of the benchmark keeps its files.

use std::path::PathBuf;
use tempfile::TempDir;

/// Folders on tmpfs (or below `PEER_DIR`), gone at the end.
pub struct Place {
    /// Reservations.
    pub run: PathBuf,
    /// Ledgers.
    pub state: PathBuf,
    /// The guests' images.
    pub files: PathBuf,
    _folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let folder = std::env::var("PEER_DIR").unwrap_or_else(|_| "/dev/shm".into());
        let folder = tempfile::tempdir_in(folder).unwrap();
        let below = |name: &str| folder.path().join(name);
        let place = Self { run: below("run"), state: below("state"), files: below("files"), _folder: folder };
        std::fs::create_dir(&place.files).unwrap();
        place
    }
}
