//! As much of a `Cargo.toml` as the rules need: the package's name and what it depends on.
//!
//! Not a TOML parser: it reads line by line what cargo's own formatting writes. Dev-dependencies are left out,
//! because a test may know more than the crate it tests.

/// A crate and its edges.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) path: String,
    pub(super) package: String,
    pub(super) package_line: usize,
    pub(super) dependencies: Vec<Dependency>,
}

/// One line that names a dependency.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
}

/// What the lines below a `[header]` are about.
enum Section {
    Package,
    Dependencies,
    /// `[dependencies.name]`: the lines are one dependency's settings.
    OneDependency,
    Other,
}

impl Manifest {
    pub(super) fn parse(path: String, text: &str) -> Self {
        let mut manifest = Self { path, package: String::new(), package_line: 1, dependencies: Vec::new() };
        let mut section = Section::Other;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                section = manifest.enter(header, number);
            } else {
                manifest.read_line(&section, line, number);
            }
        }
        manifest
    }

    /// `header` as in `target.'cfg(unix)'.dependencies.tokio]`.
    fn enter(&mut self, header: &str, line: usize) -> Section {
        let header = header.split(']').next().unwrap_or(header).trim();
        if header == "package" {
            return Section::Package;
        }
        for table in ["dependencies", "build-dependencies"] {
            if is_table(header, table) {
                return Section::Dependencies;
            }
            if let Some((before, name)) = header.rsplit_once('.')
                && is_table(before, table)
            {
                self.dependencies.push(Dependency { name: unquoted(name).to_owned(), line });
                return Section::OneDependency;
            }
        }
        Section::Other
    }

    fn read_line(&mut self, section: &Section, line: &str, number: usize) {
        let Some((key, value)) = line.split_once('=') else {
            return;
        };
        let key = key.trim();
        match section {
            Section::Package if key == "name" => {
                self.package = quoted_part(value).unwrap_or_default().to_owned();
                self.package_line = number;
            }
            Section::Dependencies => {
                let named = unquoted(key.split('.').next().unwrap_or(key));
                let name = renamed_from(line).unwrap_or(named).to_owned();
                self.dependencies.push(Dependency { name, line: number });
            }
            Section::OneDependency if key == "package" => {
                let name = quoted_part(value).unwrap_or_default().to_owned();
                self.dependencies.push(Dependency { name, line: number });
            }
            Section::Package | Section::OneDependency | Section::Other => {}
        }
    }
}

/// True for `dependencies` and `target.'cfg(..)'.dependencies`.
fn is_table(header: &str, table: &str) -> bool {
    header == table || header.strip_suffix(table).is_some_and(|h| h.starts_with("target.") && h.ends_with('.'))
}

/// The crate's own name where the line gives it another.
fn renamed_from(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("package")?;
    let value = after.trim_start().strip_prefix('=')?;
    let is_key = before.ends_with(['{', ',', ' ', '.']);
    is_key.then(|| quoted_part(value)).flatten()
}

fn quoted_part(value: &str) -> Option<&str> {
    value.split(['"', '\'']).nth(1)
}

fn unquoted(key: &str) -> &str {
    key.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependencies(text: &str) -> Vec<(String, usize)> {
        let manifest = Manifest::parse("crates/x/Cargo.toml".into(), text);
        manifest.dependencies.into_iter().map(|d| (d.name, d.line)).collect()
    }

    #[test]
    fn package_and_both_spellings_of_a_dependency_are_read() {
        let text =
            "[package]\nname = \"skep-x\"\n\n[dependencies]\n# why\na.workspace = true\nb = { version = \"1\" }\n";
        let manifest = Manifest::parse("crates/x/Cargo.toml".into(), text);
        assert_eq!((manifest.package.as_str(), manifest.package_line), ("skep-x", 2));
        assert_eq!(dependencies(text), [("a".to_owned(), 6), ("b".to_owned(), 7)]);
    }

    #[test]
    fn dev_dependencies_and_features_are_no_edges() {
        assert_eq!(dependencies("[dev-dependencies]\na = \"1\"\n[features]\nb = []\n[dev-dependencies.c]\n"), []);
    }

    #[test]
    fn target_build_and_own_table_dependencies_are_edges() {
        let text = "[target.'cfg(unix)'.dependencies]\na = \"1\"\n[build-dependencies]\nb = \"1\"\n[dependencies.c]\n\
                    version = \"1\"\n[target.'cfg(unix)'.dependencies.d]\nversion = \"1\"\n";
        let names: Vec<_> = dependencies(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_rename_does_not_hide_an_edge() {
        assert_eq!(dependencies("[dependencies]\nx = { package = \"skep-core\" }\n"), [("skep-core".to_owned(), 2)]);
        assert!(dependencies("[dependencies.x]\npackage = \"skep-core\"\n").contains(&("skep-core".to_owned(), 2)));
    }
}
