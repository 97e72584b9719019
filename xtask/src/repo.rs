//! Where the repository is, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// The checkout this chore works on, wherever the user stands in it.
pub(crate) struct Repo {
    root: PathBuf,
    target: PathBuf,
}

impl Repo {
    /// Finds the checkout `cargo xtask` was started in.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set; start chores as `cargo xtask ..`")?;
        let root = Path::new(&package).parent().context("the xtask package has no parent folder")?;
        // We are <target>/debug/xtask, whatever configuration chose <target>.
        let own = std::env::current_exe().context("cannot find the running executable")?;
        let target = own.ancestors().nth(2).context("the executable is not in a target folder")?;
        Ok(Self { root: root.to_owned(), target: target.to_owned() })
    }

    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folders of all workspaces. Those beside the root are built with flags of their own.
    pub(crate) fn workspaces(&self) -> [PathBuf; 3] {
        [self.root.clone(), self.root.join("fuzz"), self.root.join("loom")]
    }

    /// A path in the build folder, absolute.
    pub(crate) fn in_target(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }

    /// The release build of the `skep` command.
    pub(crate) fn skep(&self) -> PathBuf {
        self.in_target("release").join(format!("skep{}", std::env::consts::EXE_SUFFIX))
    }

    /// A cargo command at the root, without stdin. It takes the versions of `Cargo.lock`, and no others.
    pub(crate) fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        cargo.arg("--locked").args(args).current_dir(&self.root).stdin(Stdio::null());
        // What cargo told *us* about xtask would make build scripts that watch these run again.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name.as_ref());
            }
        }
        // The children must build where we look, also when the user's setting is a relative path.
        if std::env::var_os("CARGO_TARGET_DIR").is_some() {
            cargo.env("CARGO_TARGET_DIR", &self.target);
        }
        cargo
    }

    /// The same in a workspace beside the root, with the build folder of its own within ours and the flags of its own.
    pub(crate) fn cargo_in(&self, workspace: &str, verb: &str) -> Command {
        let mut cargo = self.cargo([verb]);
        cargo.arg("--target-dir").arg(self.in_target(workspace)).current_dir(self.root.join(workspace));
        // Set outside, they would take the place of those the workspace is for.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        cargo
    }

    /// The one release build of a run: the demo and the stories both use it.
    pub(crate) fn cargo_release_build(&self) -> Command {
        self.cargo(["build", "--release", "--bin", "skep"])
    }
}
