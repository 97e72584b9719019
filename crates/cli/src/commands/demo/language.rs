//! What the service knows: the language of a file, by its name.

use serde::{Deserialize, Serialize};

/// What a worker has to know of a language before it can count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Language {
    /// Its name.
    pub(super) name: String,
    /// How a line begins that is a comment, if there are such.
    pub(super) comment: Option<String>,
    /// Words that say nothing of what a file is about.
    pub(super) stopwords: Vec<String>,
}

type Row = (&'static [&'static str], &'static str, Option<&'static str>, &'static str);

/// Extensions, name, comment, stopwords.
const LANGUAGES: &[Row] = &[
    (&["rs"], "Rust", Some("//"), "let fn self pub use impl for in if else match mut mod const as ref struct enum"),
    (&["toml", "lock"], "TOML", Some("#"), "true false"),
    (&["md", "markdown"], "Markdown", None, "the a an of and or to in is it that for with as on by not be"),
    (&["py"], "Python", Some("#"), "def self import from return if else for in class not is and or None"),
    (&["js", "ts", "tsx", "mjs"], "JavaScript", Some("//"), "const let function return if else import from export new"),
    (&["json"], "JSON", None, "true false null"),
    (&["yml", "yaml"], "YAML", Some("#"), "true false null"),
    (&["sh", "bash"], "Shell", Some("#"), "if then else fi do done for in echo set local"),
    (&["c", "h", "cc", "cpp", "hpp"], "C", Some("//"), "int char void const return if else for struct static include"),
    (&["go"], "Go", Some("//"), "func return if else for range var err nil package import type struct"),
    (&["html", "htm", "xml", "svg"], "Markup", None, "div span class id href"),
];

/// The language of a file of that extension; plain text if none is known.
pub(super) fn language(extension: &str) -> Language {
    let extension = extension.to_ascii_lowercase();
    let row = LANGUAGES.iter().find(|(extensions, ..)| extensions.contains(&extension.as_str()));
    let (_, name, comment, stopwords) = row.copied().unwrap_or((&[], "Text", None, "the a an of and or to in is it"));
    Language {
        name: name.into(),
        comment: comment.map(Into::into),
        stopwords: stopwords.split(' ').map(Into::into).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_known_by_its_extension_and_the_rest_is_text() {
        assert_eq!((language("rs").name, language("RS").comment), ("Rust".into(), Some("//".into())));
        assert_eq!(language("").name, "Text");
    }
}
