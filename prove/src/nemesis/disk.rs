//! A small disk of this run's own, which can be made to run full: a tmpfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::limits::DISK_BYTES;

/// A mounted disk. Dropped, it is unmounted, and what was on it is gone.
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts it at a folder, which is made if it is not there.
    ///
    /// # Errors
    /// Without the right to mount.
    pub(crate) fn mount(at: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(at)?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES},mode=700"), "skep-prove"])
            .arg(at))?;
        Ok(Disk { at: at.to_owned() })
    }

    /// Unmounts what a run that was killed has left at a folder.
    pub(crate) fn clear(at: &Path) {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let is_ours = |line: &&str| {
            line.starts_with("skep-prove ") && line.split(' ').nth(1).is_some_and(|on| Path::new(on) == at)
        };
        for _ in mounts.lines().filter(is_ours) {
            drop(Disk { at: at.to_owned() });
        }
    }

    /// Leaves so many bytes free, and takes all else away.
    pub(crate) fn shrink(&self, free: u64) -> anyhow::Result<()> {
        let used = used(&self.at)?;
        self.resize((used + free).next_multiple_of(PAGE))
    }

    /// Gives all room back.
    pub(crate) fn grow(&self) -> anyhow::Result<()> {
        self.resize(DISK_BYTES)
    }

    fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a hub that is just being killed may still hold a file.
        if let Err(error) = run(Command::new("umount").arg("-l").arg(&self.at)) {
            eprintln!("{} stays mounted: {error:#}", self.at.display());
        }
    }
}

/// What a tmpfs gives out at a time, in bytes.
const PAGE: u64 = 4096;

/// Bytes that the files in a folder take on disk.
fn used(folder: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { used(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", said.trim());
    Ok(())
}
