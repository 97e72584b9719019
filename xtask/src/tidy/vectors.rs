//! The protocol's vectors are readable. That they are fresh is a test of the protocol crate.

use super::Problem;

/// A file under `crates/protocol/vectors`.
pub(super) struct Vector {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn check(vector: &Vector) -> Option<Problem> {
    let what = match std::str::from_utf8(&vector.bytes) {
        Ok(text) if text.trim().is_empty() => "an empty vector",
        Ok(_) => return None,
        Err(_) => "not UTF-8",
    };
    let what = format!("{what}; write the vectors anew with the protocol's own test");
    Some(Problem::new(&vector.path, 1, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_unreadable_vectors_are_problems() {
        let problem = |bytes: &[u8]| check(&Vector { path: "v.json".into(), bytes: bytes.to_vec() });
        assert!(problem(b" \n").is_some());
        assert!(problem(b"\xff{}").is_some());
        assert!(problem(b"{}").is_none());
    }
}
