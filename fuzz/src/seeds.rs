//! Where a target begins: seeds laid into the corpus folder before libFuzzer reads it.
//!
//! They are made anew at each run, from the golden vectors and from what the code itself writes, so none can go stale.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Writes the seeds into the folder that libFuzzer is told first. When it is told files, to repeat them, nothing is written.
pub fn lay(seeds: Vec<Vec<u8>>) {
    let first = env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let Some(folder) = first.map(PathBuf::from).filter(|folder| folder.is_dir()) else { return };
    for (n, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{n:02}")), seed).expect("the corpus folder can be written");
    }
}

/// The golden frames in compact form.
#[must_use]
pub fn compact_frames() -> Vec<Vec<u8>> {
    let hex = |vector: &serde_json::Value| vector["compact"].as_str().map(bytes_of).expect("a vector has its bytes");
    vectors().iter().map(hex).collect()
}

/// The golden frames in JSON.
#[must_use]
pub fn json_frames() -> Vec<Vec<u8>> {
    vectors().iter().map(|vector| vector["json"].to_string().into_bytes()).collect()
}

fn vectors() -> Vec<serde_json::Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/protocol/vectors");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the vectors are there").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let read = |file: &PathBuf| serde_json::from_slice(&fs::read(file).expect("readable")).expect("a vector is JSON");
    files.iter().map(read).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hexadecimal"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}
