//! Who may know whom: the house as a table. A crate without a row has no place in the house yet.

use super::Problem;
use super::manifest::Manifest;

/// A crate, the crates of ours it may know, and the foreign families it must not.
struct Row {
    package: &'static str,
    may_know: Known,
    never: &'static [&'static str],
}

enum Known {
    Only(&'static [&'static str]),
    All,
}
use Known::{All, Only};

const fn row(package: &'static str, may_know: Known, never: &'static [&'static str]) -> Row {
    Row { package, may_know, never }
}

/// What a spoke may know: the hub and the words, never a sibling.
const SPOKE: Known = Only(&["skep-core", "skep-protocol"]);

const HOUSE: [Row; 15] = [
    row("skep-protocol", Only(&[]), &["tokio", "futures", "async-std", "smol"]),
    row("skep-core", Only(&["skep-protocol"]), &["axum", "hyper", "tungstenite", "tokio-tungstenite"]),
    row("skep-embedded", SPOKE, &[]),
    row("skep-auth", SPOKE, &[]),
    row("skep-edge", SPOKE, &[]),
    row("skep-client", Only(&["skep-protocol"]), &[]),
    row("skep-server", Only(&["skep-core", "skep-protocol", "skep-embedded", "skep-auth", "skep-edge"]), &[]),
    row("skep", Only(&["skep-client", "skep-server", "skep-edge", "skep-protocol"]), &[]),
    row("skep-cli", Only(&["skep-client", "skep-protocol", "skep-server"]), &[]),
    row("skep-testkit", All, &[]),
    row("skep-bench", All, &[]),
    row("skep-prove", All, &[]),
    row("skep-fuzz", All, &[]),
    row("skep-loom", All, &[]),
    row("xtask", Only(&[]), &["tokio", "clap"]),
];

/// Every dependency of ours must be in the crate's row, and none of the forbidden families may be there.
pub(super) fn check(manifest: &Manifest) -> Vec<Problem> {
    let Some(row) = HOUSE.iter().find(|row| row.package == manifest.package) else {
        let what = format!(
            "crate `{}` has no place in the house; give it a row in xtask/src/tidy/edges.rs that says whom it may know",
            manifest.package
        );
        return vec![Problem::new(&manifest.path, manifest.package_line, what)];
    };
    let judged = manifest.dependencies.iter().filter_map(|dependency| {
        let what = judge(row, &dependency.name)?;
        Some(Problem::new(&manifest.path, dependency.line, what))
    });
    judged.collect()
}

fn judge(row: &Row, dependency: &str) -> Option<String> {
    let package = row.package;
    if let Some(family) = row.never.iter().find(|family| is_of(dependency, family)) {
        return Some(format!(
            "`{package}` must not depend on `{dependency}` (nothing of `{family}`); move the code that needs it to a crate that may"
        ));
    }
    let Only(allowed) = row.may_know else {
        return None;
    };
    if !is_of(dependency, "skep") && dependency != "xtask" || allowed.contains(&dependency) {
        return None;
    }
    let allowed = if allowed.is_empty() { "no crate of ours".to_owned() } else { allowed.join(", ") };
    Some(format!(
        "`{package}` must not know `{dependency}`; it may know {allowed}. Move what both need to a crate that both may know"
    ))
}

/// `tokio-util` is of `tokio`; `tokio-tungstenite` is not of `tungstenite`.
fn is_of(crate_name: &str, family: &str) -> bool {
    crate_name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(package: &str, dependency: &str) -> Vec<Problem> {
        let text = format!("[package]\nname = \"{package}\"\n[dependencies]\n{dependency}.workspace = true\n");
        check(&Manifest::parse("crates/x/Cargo.toml".into(), &text))
    }

    #[test]
    fn a_spoke_may_know_the_core_but_no_sibling() {
        assert_eq!(problems("skep-edge", "skep-core"), []);
        let [problem] = &problems("skep-edge", "skep-embedded")[..] else { panic!("one problem expected") };
        assert_eq!(problem.line, 4);
        assert!(problem.what.contains("skep-core, skep-protocol"), "{problem}");
    }

    #[test]
    fn every_row_names_rows() {
        for row in &HOUSE {
            let Only(allowed) = row.may_know else {
                continue;
            };
            assert!(allowed.iter().all(|name| HOUSE.iter().any(|r| r.package == *name)), "{}", row.package);
        }
    }

    #[test]
    fn the_client_side_never_sees_the_core() {
        assert_eq!(problems("skep-client", "skep-core").len(), 1);
        assert_eq!(problems("skep-cli", "skep-core").len(), 1);
    }

    #[test]
    fn a_forbidden_family_is_found_by_its_members() {
        assert_eq!(problems("skep-protocol", "futures-util").len(), 1);
        assert_eq!(problems("skep-core", "tokio-tungstenite").len(), 1);
        assert_eq!(problems("skep-core", "tokio"), []);
        assert_eq!(problems("xtask", "clap").len(), 1);
    }

    #[test]
    fn testkit_bench_and_prove_may_know_all() {
        assert_eq!(problems("skep-testkit", "skep-edge"), []);
        assert_eq!(problems("skep-bench", "skep-server"), []);
        assert_eq!(problems("skep-prove", "skep-embedded"), []);
    }

    #[test]
    fn a_crate_without_a_row_is_a_problem() {
        assert_eq!(problems("skep-new", "serde").len(), 1);
    }
}
