//! A name is a noun of the field: no catch-all crate, no second file of the same thing.

use super::Problem;
use super::manifest::Manifest;
use super::source::Source;

/// A crate of this name has no reason to refuse anything.
const CATCH_ALL: [&str; 6] = ["common", "util", "utils", "types", "helper", "helpers"];

pub(super) fn check_crate(manifest: &Manifest) -> Option<Problem> {
    let folder = manifest.path.rsplit('/').nth(1).unwrap_or_default();
    let package = manifest.package.strip_prefix("skep-").unwrap_or(&manifest.package);
    let name = [folder, package].into_iter().find(|name| CATCH_ALL.contains(name))?;
    let what = format!("a crate called `{name}` collects anything; put each part where its noun lives");
    Some(Problem::new(&manifest.path, manifest.package_line, what))
}

pub(super) fn check_file(source: &Source) -> Option<Problem> {
    let stem = source.path().rsplit('/').next()?.strip_suffix("2.rs")?;
    let what = format!("`{stem}2.rs` is a second `{stem}`; split by noun and name the noun");
    Some(Problem::new(source.path(), 1, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catch_all_is_found_by_folder_or_package() {
        let manifest =
            |path: &str, name: &str| Manifest::parse(path.to_owned(), &format!("[package]\nname = \"{name}\"\n"));
        assert!(check_crate(&manifest("crates/util/Cargo.toml", "skep-x")).is_some());
        assert!(check_crate(&manifest("crates/x/Cargo.toml", "skep-common")).is_some());
        assert!(check_crate(&manifest("crates/core/Cargo.toml", "skep-core")).is_none());
    }

    #[test]
    fn a_second_file_of_the_same_thing_is_found() {
        assert!(check_file(&Source::new("crates/core/src/hub2.rs".into(), String::new())).is_some());
        assert!(check_file(&Source::new("crates/core/src/hub.rs".into(), String::new())).is_none());
    }
}
