//! The known name that was probably meant.

/// The one of `known` that is nearest to `name`, if it is near: at most a quarter of it differs,
/// and one letter. Case does not count. Names are short; the work is the product of their lengths.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|candidate| (distance(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= 1 + name.len() / 4).min().map(|(_, candidate)| candidate)
}

/// Levenshtein distance, without regard to case, in one row.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            left = replaced.min(above + 1).min(left + 1);
            (*cell, diagonal) = (left, above);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters_to_change() {
        for (a, b, expected) in
            [("", "abc", 3), ("listen", "lisen", 1), ("data", "date", 1), ("a", "b", 1), ("Log", "log", 0)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn a_far_name_has_no_nearest() {
        assert_eq!(nearest("payload_max", ["payload_bytes_max", "log"]), None);
        assert_eq!(nearest("lisen", ["listen", "log"]), Some("listen"));
        assert_eq!(nearest("zzzz", ["listen", "log"]), None);
    }
}
