//! `help`: what the chores are for.

const TEXT: &str = "\
Skep's own chores. Run them from anywhere inside the repository.

  cargo xtask test [--quick]  everything a change must pass, in order: fmt, tidy, Python environment,
                              clippy, doc, release build, a minute of `prove`, one of `fuzz`, `loom`,
                              tests; with the versions of Cargo.lock. Stops at the first step that fails and prints
                              the command that repeats it alone. Ends with the closing line of
                              every test runner and a table of the steps.
                              --quick leaves out the release build, `prove`, `fuzz` and `loom`; the
                              stories then run against the debug binary.
  cargo xtask tidy            the house rules no compiler knows: which crate may know which,
                              file size, names, forbidden words, protocol vectors
  cargo xtask fix             let clippy and rustfmt repair what they can
  cargo xtask demo [ARGS]     build the release binary and run `skep demo ARGS` over this
                              repository (or over the folder given with --input)
  cargo xtask prove [ARGS]    build the release binary, torment it under real clients and judge
                              whether its promises held: --minutes N, --seed S; see prove/README.md
  cargo xtask simulate [ARGS] simulate whole hubs with faults, each from a seed, and judge every promise:
                              --seeds N, --from S, or --seed S for one alone
  cargo xtask fuzz [ARGS]     feed every decoder what its coverage suggests, a minute each:
                              --minutes N, --seconds N, TARGET (a file in fuzz/src/bin), and after it the file of
                              an input to repeat. What is found stays in target/fuzz/found
  cargo xtask loom            try every order of the threads that hand things to each other
  cargo xtask mutate [NAME..] put each known fault (a file in xtask/mutations) into a copy of the source,
                              and see the test that must notice it fail; minutes, and no step of `test`
  cargo xtask python          prepare the Python environment the stories use
  cargo xtask peers           fetch the servers that `skep-bench --peers` measures beside
  cargo xtask help            this text

A usual round:

  cargo xtask fix && cargo xtask test --quick     while working
  cargo xtask test                                before handing in; CI runs the same

`test` tells the tests SKEP_BIN (the release binary) and SKEP_PYTHON (an interpreter with the
packages they need); whoever runs `cargo test` alone may set both.

The rules behind `tidy` are told in STYLE.md, the way to a change in CONTRIBUTING.md.
";

/// Prints the help.
pub(crate) fn run() -> anyhow::Result<()> {
    print!("{TEXT}");
    Ok(())
}
