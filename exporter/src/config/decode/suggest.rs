//! The key that was probably meant.

/// The known word nearest to what was written: the same but for case, dashes and underscores, or a typing error or two away.
pub(crate) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > 64 {
        return None;
    }
    let bare = bare(written);
    let allowed = match bare.len() {
        0..=2 => 0,
        3..=4 => 1,
        _ => 2,
    };
    let ranked = known.map(|word| (distance(&bare, &self::bare(word)), word));
    ranked.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

fn bare(word: &str) -> Vec<u8> {
    word.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// Number of letters to insert, remove, replace or swap with the next.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i.max(j);
                continue;
            }
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_and_other_words_are_left_alone() {
        let known = ["name", "filePath", "includeFilters", "window", "sinks", "foldBy"];
        for (written, meant) in [
            ("include_filters", Some("includeFilters")),
            ("includeFilter", Some("includeFilters")),
            ("sink", Some("sinks")),
            ("widnow", Some("window")),
            ("fold-by", Some("foldBy")),
            ("bogus", None),
            ("start", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known.into_iter()), meant, "{written}");
        }
    }
}
