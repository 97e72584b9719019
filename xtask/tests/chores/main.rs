//! The chores, run as a user would, with tools that only pretend.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// A repository with nothing in it, and tools of our own.
struct House {
    root: PathBuf,
}

impl House {
    fn new(name: &str, cargo: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        for folder in ["xtask", "tools", "target/debug", "fuzz/src/bin", "loom"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        // It takes the folder it stands in for the build folder.
        made("cp \"$1\" \"$2\"", env!("CARGO_BIN_EXE_xtask"), &root.join("target/debug/xtask"));
        let house = House { root };
        house.tool("cargo", cargo);
        // It says a version, and makes an environment with itself in it.
        house.tool("python3", r#"case "$2" in venv) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";; *) echo 3.14;; esac"#);
        house.tool("curl", "true");
        house.tool("c++", "true");
        fs::write(house.root.join("fuzz/src/bin/topic.rs"), "").expect("written");
        house
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.root.join("tools").join(name);
        made("printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", script, &path);
    }

    fn xtask(&self, args: &[&str]) -> Command {
        // Who runs the tests in the background may have made them deaf to Ctrl-C, and what they start with them.
        let mut xtask = Command::new("env");
        xtask.args(["--default-signal=INT,TERM", "--"]).arg(self.root.join("target/debug/xtask"));
        let path = format!("{}:{}", self.root.join("tools").display(), std::env::var("PATH").expect("a path"));
        xtask.args(args).env("PATH", path).env("CARGO", self.root.join("tools/cargo"));
        xtask.env("CARGO_MANIFEST_DIR", self.root.join("xtask")).env("NOTES", self.notes()).stdin(Stdio::null());
        xtask.env_remove("CARGO_TARGET_DIR");
        xtask
    }

    /// Where the tools write what they see.
    fn notes(&self) -> PathBuf {
        self.root.join("notes")
    }

    fn noted(&self) -> Vec<String> {
        fs::read_to_string(self.notes()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// Makes a program, by a process of its own: a file that is open for writing here would be so in every child that a test
/// beside this one starts just then, and could not be run.
fn made(how: &str, from: &str, path: &Path) {
    let status = Command::new("sh").args(["-c", how, "sh", from]).arg(path).status().expect("a shell");
    assert!(status.success(), "{} was not made", path.display());
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Notes how it was called; builds a prover that is content, where cargo would; as a test runner it speaks on both of
/// its ways out.
const TALKING: &str = r#"echo "$*" >> "$NOTES"
built="${CARGO_TARGET_DIR:-target}/debug"
case "$*" in *" skep-prove")
    mkdir -p "$built"
    printf '#!/bin/sh\n' > "$built/skep-prove"
    chmod +x "$built/skep-prove";;
*" test")
    echo "     Running unittests src/lib.rs (target/debug/deps/skep_core-0123456789abcdef)" >&2
    echo "test result: ok. 12 passed; 0 failed"
esac"#;

#[test]
fn every_cargo_call_of_a_test_is_locked_and_the_cheap_ones_come_first() {
    let house = House::new("locked", TALKING);
    let ran = house.xtask(&["test"]).output().expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    let noted = house.noted();
    assert!(noted.iter().all(|call| call.split(' ').any(|arg| arg == "--locked")), "{noted:?}");
    let verbs: Vec<&str> = noted.iter().filter_map(|call| call.split(' ').find(|arg| !arg.starts_with('-'))).collect();
    // The driver of `prove`, and the targets of `fuzz`, are built apart; `loom` is a test of its own.
    let expected = ["fmt", "fmt", "fmt", "clippy", "doc", "build", "build", "build", "run", "test", "test"];
    assert_eq!(verbs, expected);
    // What is built with flags of its own is built apart, within the one build folder.
    let built_in = |folder: &str| {
        let at = format!("--target-dir {}", house.root.join("target").join(folder).display());
        noted.iter().filter(|call| call.contains(&at)).count()
    };
    assert_eq!((built_in("fuzz"), built_in("loom")), (2, 1), "{noted:?}");
    let steps: Vec<String> =
        text(&ran).lines().filter_map(|line| Some(line.strip_prefix("=== ")?.split_once(':')?.0.to_owned())).collect();
    let order = [
        "fmt", "tidy", "python", "clippy", "doc", "release", "prover", "prove", "c++", "fuzzers", "fuzz", "loom",
        "test",
    ];
    assert_eq!(steps.chunks(2).map(|step| step[0].as_str()).collect::<Vec<_>>(), order);
}

#[test]
fn a_build_folder_named_in_the_environment_is_told_to_cargo_in_full() {
    let house = House::new("named-folder", TALKING);
    let ran = house.xtask(&["test"]).env("CARGO_TARGET_DIR", "target").output().expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    let told = format!("CARGO_TARGET_DIR={} cargo", house.root.join("target").display());
    assert!(text(&ran).contains(&told), "{ran:?}");
}

#[test]
fn a_test_ends_with_what_the_runners_said_and_a_table_with_seconds() {
    let house = House::new("table", TALKING);
    let ran = house.xtask(&["test", "--quick"]).output().expect("it runs");
    let said = text(&ran);
    let end: Vec<&str> = said.lines().rev().take(9).collect();
    assert!(end[0].starts_with("  all ") && end[0].ends_with(" s  ok"), "{said}");
    assert!(end[1].starts_with("  test ") && end[6].starts_with("  fmt "), "{said}");
    assert_eq!(end[8], "  ok. 12 passed; 0 failed  skep_core unittests src/lib.rs", "{said}");
}

#[test]
fn a_failed_step_stops_the_rest_and_is_in_the_table() {
    let house = House::new("failed", r#"case "$*" in *clippy*) exit 7;; esac"#);
    let ran = house.xtask(&["test"]).output().expect("it runs");
    assert_eq!(ran.status.code(), Some(7), "the code of the child");
    let said = text(&ran);
    let end: Vec<&str> = said.lines().rev().take(2).collect();
    assert!(end[0].ends_with("FAILED") && end[1].starts_with("  clippy ") && end[1].ends_with("FAILED"), "{said}");
}

/// Starts a process of its own, as cargo starts the tests, and one in the background, as a test starts a hub; notes all
/// three, and waits.
const LONG: &str = r#"sleep 300 &
echo "$!" >> "$NOTES"
setsid sh -c 'sh -c "echo \$\$ >> \$NOTES; exec sleep 300" & exit'
echo "$$" >> "$NOTES"
wait"#;

/// Deaf to what is polite.
const STUBBORN: &str = r#"trap '' TERM INT
sleep 300 &
echo "$$" >> "$NOTES"
echo "$!" >> "$NOTES"
setsid sh -c 'trap "" TERM; echo $$ >> $NOTES; exec sleep 300' &
while true; do wait; done"#;

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "within {PATIENCE:?} it did not happen that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs; one that ended and was not waited for does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

fn ended_by(signal: &str, mut xtask: Child) {
    let sent = Command::new("kill").args([signal, &xtask.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    assert!(!xtask.wait().expect("a status").success());
}

#[test]
fn a_chore_that_is_ended_leaves_no_child_behind_and_none_in_the_background() {
    for (n, (signal, cargo)) in
        [("-TERM", LONG), ("-INT", LONG), ("-KILL", LONG), ("-TERM", STUBBORN)].into_iter().enumerate()
    {
        for chore in [&["test"][..], &["fix"]] {
            let house = House::new(&format!("ended-{n}-{}", chore[0]), cargo);
            let xtask = house.xtask(chore).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
            until("all run", || house.noted().len() == 3);
            let all = house.noted();
            assert!(all.iter().all(|pid| runs(pid)), "{all:?}");
            ended_by(signal, xtask);
            until("all have ended", || !all.iter().any(|pid| runs(pid)));
        }
    }
}
