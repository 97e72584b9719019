//! `tidy`: the house rules no compiler knows. Each rule is one file; this one lists them.

mod edges;
mod manifest;
mod names;
mod size;
mod source;
mod tree;
mod vectors;
mod words;

use std::fmt;

use crate::repo::Repo;
use tree::Tree;

/// One broken rule: where, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: String) -> Self {
        Self { path: path.to_owned(), line, what }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Checks the whole tree and prints every problem.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let tree = Tree::read(repo.root())?;
    let problems = check(&tree);
    for problem in &problems {
        println!("{problem}");
    }
    println!("tidy: {} files, {} problems", tree.len(), problems.len());
    anyhow::ensure!(problems.is_empty(), "the lines above break the house rules; STYLE.md tells why they are there");
    Ok(())
}

fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for manifest in &tree.manifests {
        problems.extend(edges::check(manifest));
        problems.extend(names::check_crate(manifest));
    }
    for source in &tree.sources {
        problems.extend(names::check_file(source));
        problems.extend(size::check(source));
        problems.extend(words::check(source));
    }
    for vector in &tree.vectors {
        problems.extend(vectors::check(vector));
    }
    problems
}
