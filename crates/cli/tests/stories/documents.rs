//! What README and guide show is run as it stands there, line by line, on a hub of its own.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::{Place, binary};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commands that wait for somebody else: the reader has each in a terminal of its own.
const WAITING: [&str; 3] = ["skep subscribe ", "skep request ", "curl -N "];

/// What the words around a command say and no command does: in a command that has this in it, what is typed before it
/// and after it.
const AROUND: &[(&str, &[&str], &[&str])] = &[
    ("/v1/reject/<lease>", &["skep send bob again", "skep receive bob --json"], &[]),
    // Who answers has received a request: in the guide the line above does, in the README these do.
    ("-H 'Skep-Agent: bob'", &["skep request bob '6*7'", "skep receive bob --wait 20s --json"], &[]),
    ("\"$H/v1/inbox/bob/receive", &["skep queue purge agent.bob.inbox", "skep request bob '6*7'"], &[]),
    ("curl -N ", &["skep subscribe service.write"], &[]),
    (
        "\"type\":\"stream.chunk\"",
        &[],
        &["curl -H \"$T\" -H 'Content-Type: application/json' \
        -d '{\"type\":\"stream.end\",\"correlationid\":\"<id>\",\"sequence\":\"2\"}' \
        'http://127.0.0.1:7537/v1/publish/<replyto>'"],
    ),
    ("skep trace <message id>                              #", &["skep publish jobs build --as alice"], &[]),
];

/// What a document leaves to be filled in, and what stands before it where the program says it.
const BLANKS: [(&str, &[&str]); 5] = [
    ("<lease>", &["\"lease\":\"", "skep ack "]),
    ("<message id>", &["stored "]),
    ("<id>", &["--correlation ", "\"id\":\"", "stored "]),
    ("<replyto>", &["\"replyto\":\"", "--to '"]),
    ("$reply…", &["--to '"]),
];

#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    Reader::begin().read("README.md", 20);
}

#[test]
fn every_command_of_the_guide_does_what_it_shows() {
    let reader = Reader::begin();
    // As the README left it.
    reader.place.serve().done();
    for args in [["agents", "add", "alice"], ["agents", "add", "bob"], ["queue", "add", "jobs"]] {
        reader.place.skep(&args).done();
    }
    reader.read("docs/guide.md", 20);
}

#[test]
fn every_command_of_the_page_about_http_does_what_it_shows() {
    Reader::begin().read("docs/http.md", 40);
}

/// A command as it stands in a document, and what is shown below it.
struct Typed {
    line: String,
    shown: Vec<String>,
}

/// Somebody who types all that stands in a document.
struct Reader {
    place: Place,
    tools: tempfile::TempDir,
    /// Lines that set variables: they hold for all below them.
    variables: String,
    /// What each command of a block said, the newest last.
    said: Vec<PathBuf>,
    waiting: Vec<(String, PathBuf, Child)>,
    typed: usize,
}

impl Reader {
    fn begin() -> Self {
        let (place, tools) = (Place::empty(), tempfile::tempdir().unwrap());
        symlink(binary(), tools.path().join("skep")).unwrap();
        // Whatever curl is answered is believed without this; its own configuration and proxies are not part of the test.
        let path = std::env::var("PATH").unwrap();
        let curl =
            format!("#!/bin/sh\nPATH='{path}' exec curl -q --noproxy '*' -sS --fail-with-body --max-time 60 \"$@\"\n");
        fs::write(tools.path().join("curl"), curl).unwrap();
        fs::set_permissions(tools.path().join("curl"), fs::Permissions::from_mode(0o755)).unwrap();
        Reader { place, tools, variables: String::new(), said: Vec::new(), waiting: Vec::new(), typed: 0 }
    }

    fn read(mut self, document: &str, at_least: usize) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document)).unwrap();
        for (language, block) in blocks(&text) {
            match language {
                "" => self.block(&commands(&block)),
                "toml" => {
                    fs::write(self.tools.path().join("skep.toml"), block.join("\n")).unwrap();
                    let file = self.tools.path().join("skep.toml");
                    self.place.skep(&["config", "check", "--config", file.to_str().unwrap()]).done();
                }
                _ => {}
            }
        }
        assert!(self.typed >= at_least, "{document}: only {} commands were found", self.typed);
    }

    fn block(&mut self, commands: &[Typed]) {
        let Some(first) = commands.first() else { return };
        if self.place.hub().is_none() && !first.line.starts_with("skep serve") {
            self.place.serve().done();
        }
        for Typed { line, shown } in commands {
            let (before, after) = around(line);
            before.for_each(|line| self.line(line, &[]));
            self.line(line, shown);
            after.for_each(|line| self.line(line, &[]));
            self.typed += 1;
        }
        self.leave();
    }

    /// Types one line.
    fn line(&mut self, line: &str, shown: &[String]) {
        let line = self.filled(line);
        if line.split_once('=').is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase())) {
            self.variables.push_str(&line);
            return self.variables.push('\n');
        }
        let log = self.tools.path().join(format!("said-{}", self.said.len()));
        self.said.push(log.clone());
        if WAITING.iter().any(|begin| line.starts_with(begin)) {
            return self.wait_with(line, &log);
        }
        let ran = self.bash(&["timeout", "60", "bash"], &line).output().unwrap();
        let [out, err] = [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text));
        fs::write(log, format!("{out}{err}")).unwrap();
        let fails = shown.first().is_some_and(|first| first.starts_with("error "));
        assert_eq!(ran.status.success(), !fails, "{line}\n{out}{err}");
        let told: Vec<&str> = if fails { err.lines().collect() } else { out.lines().collect() };
        let is_shown = shown.len() == told.len() && shown.iter().zip(&told).all(|(shown, told)| is_alike(shown, told));
        assert!(shown.is_empty() || is_shown, "{line}\nthe document shows {shown:#?}\nbut it was {told:#?}");
    }

    /// In a terminal of its own.
    fn wait_with(&mut self, line: String, log: &Path) {
        let file = File::create(log).unwrap();
        let mut command = self.bash(&["bash"], &format!("exec {line}"));
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let listens = line.starts_with("skep subscribe ");
        self.waiting.push((line, log.to_owned(), child));
        soon("it listens", || (!listens || fs::read_to_string(log).unwrap().contains("listening")).then_some(()));
    }

    fn bash(&self, with: &[&str], line: &str) -> Command {
        let mut command = self.place.clean(Command::new(with[0]));
        command.args(&with[1..]).arg("-c").arg(format!("{}{line}", self.variables));
        let path = format!("{}:{}", self.tools.path().display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("SKEP_LISTEN", "127.0.0.1:0");
        command
    }

    /// The line with what the document leaves open.
    fn filled(&self, line: &str) -> String {
        let hub = self.place.hub().and_then(|hub| Some(hub["http"].as_str()?.to_owned()));
        let mut line = hub.map_or(line.to_owned(), |http| line.replace("127.0.0.1:7537", &http));
        for (blank, behind) in BLANKS {
            if line.contains(blank) {
                let said = soon(&format!("{blank} is said, for {line}"), || self.said_behind(behind));
                line = line.replace(blank, &said);
            }
        }
        line
    }

    /// What was said behind the first of these that anything was said behind, the newest of it.
    fn said_behind(&self, behind: &[&str]) -> Option<String> {
        let texts: Vec<String> = self.said.iter().rev().filter_map(|log| fs::read_to_string(log).ok()).collect();
        behind.iter().find_map(|before| texts.iter().find_map(|text| word_behind(text, before)))
    }

    /// Closes the terminals of a block: what waited for an answer has got one.
    fn leave(&mut self) {
        for (line, log, mut child) in self.waiting.drain(..) {
            if line.starts_with("skep subscribe ") {
                child.kill().unwrap();
                child.wait().unwrap();
                continue;
            }
            let ended = soon(&format!("{line} ends"), || child.try_wait().unwrap());
            let said = fs::read_to_string(log).unwrap();
            assert!(ended.success() && !said.contains("event: problem"), "{line}: {ended}: {said}");
        }
        self.said.clear();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for (.., child) in &mut self.waiting {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn word_behind(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once(before)?;
    // What is being written has no end yet.
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').filter(|end| *end > 0)?;
    rest.get(..end).map(str::to_owned)
}

/// What is typed before a command and after it.
fn around(line: &str) -> (impl Iterator<Item = &'static str>, impl Iterator<Item = &'static str>) {
    let found = AROUND.iter().find(|(has, ..)| line.contains(has));
    let (before, after) = found.map_or((&[][..], &[][..]), |(_, before, after)| (*before, *after));
    (before.iter().copied(), after.iter().copied())
}

/// The fenced blocks of a document, each with its language.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(language) = lines.by_ref().find_map(|line| line.strip_prefix("```")) {
        blocks.push((language, lines.by_ref().take_while(|line| *line != "```").collect()));
    }
    blocks
}

/// The commands of a block: where one stands behind a `$`, the others are what it shows. Those that build are done.
fn commands(block: &[&str]) -> Vec<Typed> {
    let is_dialogue = block.iter().any(|line| line.starts_with("$ "));
    let mut commands: Vec<Typed> = Vec::new();
    for line in block.iter().filter(|line| !line.trim().is_empty()) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (None, Some(last)) if is_dialogue => last.shown.push((*line).to_owned()),
            (typed, _) => commands.push(Typed { line: typed.unwrap_or(line).to_owned(), shown: Vec::new() }),
        }
    }
    commands.retain(|typed| !typed.line.starts_with("cargo "));
    commands
}

/// Whether a line is as it is shown, but for numbers, ids that are cut, and how far columns stand apart.
fn is_alike(shown: &str, told: &str) -> bool {
    let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let word = |(shown, told): (&str, &str)| shown == told || has_digit(shown) && has_digit(told);
    shown.split_whitespace().count() == told.split_whitespace().count()
        && shown.split_whitespace().zip(told.split_whitespace()).all(word)
}

/// Waits for what must come.
fn soon<T>(what: &str, mut come: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(come) = come() {
            return come;
        }
        assert!(Instant::now() < until, "within {PATIENCE:?} it did not happen that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
