//! The files tidy looks at.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::manifest::Manifest;
use super::source::Source;
use super::vectors::Vector;

/// Built or fetched, not written by us.
const FOREIGN: [&str; 2] = ["target", "node_modules"];

/// Everything written by us, read once, in the order of its paths.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) manifests: Vec<Manifest>,
    pub(super) sources: Vec<Source>,
    pub(super) vectors: Vec<Vector>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    pub(super) fn len(&self) -> usize {
        self.manifests.len() + self.sources.len() + self.vectors.len()
    }

    /// `folder` is relative to `root`, with slashes; empty is the root itself.
    fn read_folder(&mut self, root: &Path, folder: &str) -> anyhow::Result<()> {
        let absolute = root.join(folder);
        let reading = || format!("cannot read {}", absolute.display());
        let mut entries: Vec<_> =
            fs::read_dir(&absolute).and_then(Iterator::collect::<Result<_, _>>).with_context(reading)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().with_context(reading)?;
            if kind.is_file() {
                self.read_file(&entry.path(), path)?;
            } else if kind.is_dir() && !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                self.read_folder(root, &path)?;
            }
        }
        Ok(())
    }

    fn read_file(&mut self, absolute: &Path, path: String) -> anyhow::Result<()> {
        let reading = || format!("cannot read {path}");
        if path.ends_with("/Cargo.toml") {
            let text = fs::read_to_string(absolute).with_context(reading)?;
            self.manifests.push(Manifest::parse(path, &text));
        } else if path.ends_with(".rs") {
            let text = fs::read_to_string(absolute).with_context(reading)?;
            self.sources.push(Source::new(path, text));
        } else if path.starts_with("crates/protocol/vectors/") && path.ends_with(".json") {
            let bytes = fs::read(absolute).with_context(reading)?;
            self.vectors.push(Vector { path, bytes });
        }
        Ok(())
    }
}
