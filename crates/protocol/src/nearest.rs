//! The known names that were probably meant.

/// Most names that are offered.
const OFFERED_MAX: usize = 3;
/// A beginning of a name has to be so long to stand for it, in bytes.
const BEGINNING_BYTES_MIN: usize = 3;

/// The names near to one that is not known, the nearest first: those that it is the beginning of,
/// else those of which at most a third is mistyped (two letters that changed places are one mistake).
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = name.to_ascii_lowercase();
    let mistakes_max = (name.len() / 3).max(1);
    let (mut begun, mut mistyped) = (Vec::new(), Vec::new());
    for candidate in known {
        let other = candidate.to_ascii_lowercase();
        // So that a name of any length costs little.
        if lower.len() > other.len() + mistakes_max.min(other.len()) {
            continue;
        }
        let mistakes = strsim::osa_distance(&lower, &other);
        if lower.len() >= BEGINNING_BYTES_MIN && other.starts_with(&lower) {
            begun.push((mistakes, candidate));
        } else if mistakes <= mistakes_max && mistakes < other.len() {
            // Of names of one letter each is a mistake away from each.
            mistyped.push((mistakes, candidate));
        }
    }
    let mut near = if begun.is_empty() { mistyped } else { begun };
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(OFFERED_MAX).map(|(_, candidate)| candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_in_a_third_or_cut_short_is_near() {
        let known = ["jobs", "bob", "images.large", "reviewer", "j"];
        let long = "d".repeat(1 << 20);
        for (name, expected) in [
            (long.as_str(), &[][..]),
            ("job", &["jobs"]),
            ("Jobs", &["jobs"]),
            ("bbo", &["bob"]),
            ("image", &["images.large"]),
            ("reviwer", &["reviewer"]),
            ("zzz", &[]),
            ("x", &[]),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }

    #[test]
    fn of_many_the_nearest_few_are_offered() {
        let known = ["jobs-22", "jobs-1", "jobs", "jobs-2", "jobs-3"];
        assert_eq!(nearest("job", known), ["jobs", "jobs-1", "jobs-2"]);
    }
}
