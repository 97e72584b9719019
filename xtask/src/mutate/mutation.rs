//! A mutation: a fault put into the source on purpose, and the test that must notice it.
//!
//! Each is one file. Its head says `why: ..` and `test: PACKAGE TARGET NAME`, with the target `lib`, `bin` or an integration test; then
//! come files and hunks as a unified diff has them, without line numbers: `--- path`, then lines that begin with a space, `-` or
//! `+`. The lines that are there before must stand in the file exactly once, so that a mutation goes with code that moves, and
//! says so when it is gone. `@@` begins another hunk in the same file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// Where they lie, from the root.
const FOLDER: &str = "xtask/mutations";

/// A fault, and what must notice it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    /// What it does, in a few words.
    pub(crate) why: String,
    pub(crate) test: Test,
    hunks: Vec<Hunk>,
}

/// A test by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) package: String,
    /// `lib`, `bin` for the one program, or the name of an integration test.
    pub(crate) target: String,
    pub(crate) name: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Hunk {
    path: String,
    before: String,
    after: String,
}

impl Mutation {
    /// Reads all of them, in the order of their names; none where there is no such folder.
    pub(crate) fn all(root: &Path) -> anyhow::Result<Vec<Self>> {
        let folder = root.join(FOLDER);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let reading = || format!("cannot read {}", folder.display());
        let mut entries: Vec<_> =
            fs::read_dir(&folder).and_then(Iterator::collect::<Result<_, _>>).with_context(reading)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let read = |entry: fs::DirEntry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {FOLDER}/{file}"))?;
            Self::parse(file.trim_end_matches(".patch"), &text).with_context(|| format!("{FOLDER}/{file}"))
        };
        entries.into_iter().map(read).collect()
    }

    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut mutation = Mutation { name: name.to_owned(), ..Mutation::default() };
        for (number, line) in text.lines().enumerate() {
            let hunk = mutation.hunks.last_mut();
            match (line.split_at_checked(1), hunk) {
                _ if line.starts_with("--- ") => {
                    let path = line.trim_start_matches("--- ").to_owned();
                    mutation.hunks.push(Hunk { path, ..Hunk::default() });
                }
                (Some(("@", _)), Some(hunk)) => {
                    let path = hunk.path.clone();
                    mutation.hunks.push(Hunk { path, ..Hunk::default() });
                }
                (Some((sign @ (" " | "-" | "+"), rest)), Some(hunk)) => {
                    if sign != "+" {
                        hunk.before += &format!("{rest}\n");
                    }
                    if sign != "-" {
                        hunk.after += &format!("{rest}\n");
                    }
                }
                (_, None) => mutation.head(line)?,
                _ => bail!("line {} is none of `--- path`, `@@`, and a line after a space, - or +", number + 1),
            }
        }
        ensure!(!mutation.why.is_empty() && !mutation.test.name.is_empty(), "it does not say `why:` and `test:`");
        ensure!(mutation.hunks.iter().any(|hunk| hunk.before != hunk.after), "it changes nothing");
        Ok(mutation)
    }

    fn head(&mut self, line: &str) -> anyhow::Result<()> {
        match line.split_once(": ") {
            Some(("why", why)) => why.clone_into(&mut self.why),
            Some(("test", test)) => {
                let words: Vec<String> = test.split_whitespace().map(str::to_owned).collect();
                let Ok([package, target, name]) = <[String; 3]>::try_from(words) else {
                    bail!("`{line}` is not `test: PACKAGE TARGET NAME`");
                };
                self.test = Test { package, target, name };
            }
            _ => bail!("`{line}` is neither `why: ..` nor `test: ..`"),
        }
        Ok(())
    }

    /// The files as the mutation leaves them, by path.
    ///
    /// # Errors
    /// When lines it changes do not stand in their file exactly once.
    pub(crate) fn applied(&self, root: &Path) -> anyhow::Result<BTreeMap<String, String>> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for hunk in &self.hunks {
            let Hunk { path, before, after } = hunk;
            let text = match files.remove(path) {
                Some(text) => text,
                None => fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?,
            };
            let count = text.match_indices(before.as_str()).count();
            ensure!(
                count == 1,
                "{FOLDER}/{}.patch changes lines that stand {count} times in {path}, not once; make it fit the code again:\n{before}",
                self.name
            );
            files.insert(path.clone(), text.replacen(before.as_str(), after, 1));
        }
        Ok(files)
    }
}

impl Test {
    /// What cargo is to run: this one test alone.
    pub(crate) fn args(&self) -> Vec<&str> {
        let mut args = vec!["--package", &self.package];
        match self.target.as_str() {
            "lib" => args.push("--lib"),
            "bin" => args.push("--bins"),
            target => args.extend(["--test", target]),
        }
        args.extend(["--", "--exact", &self.name]);
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "why: no sync\ntest: p lib a::b\n--- f.rs\n fn a() {\n-    sync();\n }\n@@\n-x\n+y\n+\n";

    #[test]
    fn head_and_hunks_are_read() {
        let mutation = Mutation::parse("m", TEXT).unwrap();
        assert_eq!((mutation.name.as_str(), mutation.why.as_str()), ("m", "no sync"));
        assert_eq!(mutation.test.args(), ["--package", "p", "--lib", "--", "--exact", "a::b"]);
        let hunks: Vec<_> = mutation.hunks.iter().map(|h| (&*h.path, &*h.before, &*h.after)).collect();
        assert_eq!(hunks, [("f.rs", "fn a() {\n    sync();\n}\n", "fn a() {\n}\n"), ("f.rs", "x\n", "y\n\n")]);
        let of_a_program = Mutation::parse("n", &TEXT.replace("p lib", "p bin")).unwrap();
        assert_eq!(of_a_program.test.args(), ["--package", "p", "--bins", "--", "--exact", "a::b"]);
        for wrong in ["why: no test\n", "what\n", "why: a\ntest: p lib\n", &TEXT.replace("@@", "*"), &TEXT[..30]] {
            assert!(Mutation::parse("m", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lines_that_are_gone_or_stand_twice_are_named_with_their_file() {
        let root = std::env::temp_dir().join(format!("skep-mutation-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let mutation = Mutation::parse("m", TEXT).unwrap();
        let with = |text: &str| {
            fs::write(root.join("f.rs"), text).unwrap();
            mutation.applied(&root)
        };
        let files = with("x\nfn a() {\n    sync();\n}\n").unwrap();
        assert_eq!(files["f.rs"], "y\n\nfn a() {\n}\n");
        for (text, times) in [("fn a() {\n}\nx\n", "0 times"), ("fn a() {\n    sync();\n}\nx\nx\n", "2 times")] {
            let error = format!("{:#}", with(text).unwrap_err());
            assert!(error.contains(times) && error.contains("m.patch") && error.contains("f.rs"), "{error}");
        }
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn every_mutation_fits_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let all = Mutation::all(root).unwrap();
        assert!(all.len() >= 9, "{}", all.len());
        for mutation in all {
            mutation.applied(root).unwrap();
        }
    }
}
