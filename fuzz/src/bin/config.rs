//! `skep.toml`, the environment and flags: whatever is said is taken or told what is wrong with it.
//!
//! Up to a zero byte the input is the file; then come lines: `NAME=value` of the environment, `=value` a flag.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use skep_fuzz::seeds;
use skep_server::config::{KEYS, Said, load};

/// In memory where there is such a place: the file is written for every input.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("skep-fuzz-config-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
});

fuzz_target!(init: seeds::lay(said()), |data: &[u8]| {
    let (toml, said) = data.split_at(data.iter().position(|byte| *byte == 0).unwrap_or(data.len()));
    let file = FOLDER.join("skep.toml");
    fs::write(&file, toml).expect("written");
    let lines = String::from_utf8_lossy(said.get(1..).unwrap_or_default()).into_owned();
    let (flags, environment) = lines.lines().filter_map(|line| line.split_once('=')).enumerate().fold(
        (Vec::new(), Vec::new()),
        |(mut flags, mut environment), (n, (name, value))| {
            match name {
                "" => flags.push((KEYS[n % KEYS.len()].name, value.to_owned())),
                _ => environment.push((format!("SKEP_{name}"), value.to_owned())),
            }
            (flags, environment)
        },
    );
    match load(&Said { folder: FOLDER.clone(), environment, flags, file: Some(file) }) {
        Ok(loaded) => {
            assert!(loaded.config.listen.is_none_or(|listen| listen.ip().is_loopback()), "off loopback without TLS");
            KEYS.iter().for_each(|key| drop(loaded.source(key).to_string()));
        }
        Err(error) => assert!(!error.problems.is_empty() && !error.to_string().is_empty()),
    }
});

fn said() -> Vec<Vec<u8>> {
    let names: String = KEYS.iter().map(|key| format!("{} = \"1\"\n", key.name)).collect();
    [
        names.as_str(),
        "listen = \"127.0.0.1:0\"\nlog = \"warn,skep_core=debug\"\npayload_bytes_max = \"64 KiB\"\n",
        "listen = \"off\"\nallowed_hosts = [\"a.b\"]\nlog_json = true\nunix = \"off\"\ndata = \"x\"\n",
        "log = \"info\"\0LISTEN=[::1]:80\nLOG=off\n=off\n=1\n=true\n",
        "listen = \"0.0.0.0:1\"\n[a]\nb = 1\n\0UNKNOWN=1\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
