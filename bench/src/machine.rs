//! The machine and the programs, in one line, so that figures can be told apart.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Above this load something else runs, and figures say nothing.
pub(crate) const LOAD_MAX: f64 = 0.5;

/// Where and with what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) time: String,
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    /// The file system of the data folders.
    pub(crate) file_system: String,
    pub(crate) rustc: String,
    pub(crate) skep: String,
    pub(crate) durability: String,
    /// The load of the last minute when it began.
    pub(crate) load: f64,
    pub(crate) command: String,
}

impl Machine {
    pub(crate) fn look(program: &Path, place: &Path, durability: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let args: Vec<String> = std::env::args().skip(1).collect();
        Machine {
            time: skep_protocol::format_time(u64::try_from(now.as_millis()).unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown processor".into()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), place).unwrap_or_else(|| "unknown".into()),
            rustc: version(Path::new("rustc")),
            skep: version(program),
            durability: durability.into(),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            command: format!("skep-bench {}", args.join(" ")),
        }
    }

    /// What makes the figures worth little here.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.load > LOAD_MAX {
            warnings.push(format!("the load was {} at the begin: something else ran", self.load));
        }
        if ["tmpfs", "ramfs", "overlay"].contains(&self.file_system.as_str()) {
            warnings
                .push(format!("the data lay on {}: a sync is not what it is on a disk; use --dir", self.file_system));
        }
        warnings
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{}; {} cores, {}; Linux {}; {}; {}; {}; durability {}; `{}`",
            self.time,
            self.cores,
            self.cpu,
            self.kernel,
            self.file_system,
            self.rustc,
            self.skep,
            self.durability,
            self.command
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn cpu(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the file system whose mount point is nearest above a path.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let (_, kind) = mounts.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.len())?;
    Some(kind.to_owned())
}

fn version(program: &Path) -> String {
    let said = Command::new(program).arg("--version").output().ok().and_then(|out| String::from_utf8(out.stdout).ok());
    said.map_or_else(|| format!("{} of unknown version", program.display()), |said| said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_counts() {
        let mounts = "a / ext4 rw 0 0\nb /proc proc rw 0 0\nc /nowhere tmpfs rw 0 0";
        assert_eq!(file_system(mounts, Path::new("/proc/self")).as_deref(), Some("proc"));
        assert_eq!(file_system(mounts, Path::new("/")).as_deref(), Some("ext4"));
    }

    #[test]
    fn a_processor_is_named_by_its_model() {
        assert_eq!(cpu("processor : 0\nmodel name\t: Fast 9000\n").as_deref(), Some("Fast 9000"));
    }
}
