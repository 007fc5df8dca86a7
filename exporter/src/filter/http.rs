//! HTTP status codes, methods and headers (`spec/hubble.md` §3.2).

use crate::flow::{Http, HttpHeader};

/// Status codes by their first digits: `404`, `40+`, `5+`.
#[derive(Debug, Clone, Default)]
pub struct StatusCodes {
    full: Vec<String>,
    prefixes: Vec<String>,
}

impl StatusCodes {
    /// Adds one form.
    ///
    /// # Errors
    /// When it is neither three digits nor one or two digits and `+`, the first of them 1 to 5.
    pub fn add(&mut self, form: &str) -> Result<(), String> {
        let list = match form.strip_suffix('+') {
            Some(prefix) if matches!(prefix.len(), 1 | 2) => (&mut self.prefixes, prefix),
            None if form.len() == 3 => (&mut self.full, form),
            _ => return Err(wrong_status()),
        };
        let (list, digits) = list;
        if !digits.starts_with(['1', '2', '3', '4', '5']) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong_status());
        }
        list.push(digits.to_owned());
        Ok(())
    }

    /// Whether a code, written with at least three digits, has one of the forms; 0 has none.
    pub fn matches(&self, code: u32) -> bool {
        if code == 0 {
            return false;
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(code);
        // A form begins with 1 to 5, so a code that would need a leading zero has none of them.
        digits.len() >= 3 && (self.full.iter().any(|f| f == digits) || self.prefixes.iter().any(|p| digits.starts_with(p.as_str())))
    }
}

fn wrong_status() -> String {
    "not a status code; write three digits such as `404`, or the first one or two and a plus, such as `5+` or `40+`".to_owned()
}

/// Whether a request's method is one of these, without regard to case; a record without a method has none.
pub fn method_is(http: &Http<'_>, methods: &[String]) -> bool {
    !http.method.is_empty() && methods.iter().any(|method| equal_fold(method, &http.method))
}

/// Whether the record has one of these headers: key and value exactly.
pub fn has_header(http: &Http<'_>, headers: &[HttpHeader<'static>]) -> bool {
    http.headers.iter().any(|header| headers.iter().any(|wanted| wanted.key == header.key && wanted.value == header.value))
}

/// Equal under Unicode's simple case folding, as Go's `strings.EqualFold`.
fn equal_fold(one: &str, other: &str) -> bool {
    let same = |(a, b): (char, char)| a == b || (a.to_lowercase().eq(b.to_lowercase())) || (a.to_uppercase().eq(b.to_uppercase()));
    one.chars().count() == other.chars().count() && one.chars().zip(other.chars()).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_forms_are_three_digits_or_a_prefix() {
        let matches = |form: &str, code: u32| {
            let mut codes = StatusCodes::default();
            codes.add(form).ok().map(|()| codes.matches(code))
        };
        for (form, code, expected) in [
            ("404", 404, true),
            ("404", 405, false),
            ("40+", 404, true),
            ("5+", 503, true),
            ("2+", 2000, true),
            ("5+", 50, false),
            ("1+", 0, false),
            ("200", 2000, false),
        ] {
            assert_eq!(matches(form, code), Some(expected), "{form} {code}");
        }
        for bad in ["+", "600", "4", "404+", "", "0+", "99", "999", "40", "4++", "abc", "-1", "5x", "6+", "60+", "050", "4é", "é+"] {
            assert_eq!(matches(bad, 404), None, "{bad}");
        }
    }

    #[test]
    fn methods_are_compared_without_case() {
        let http = Http { method: "get".into(), ..Http::default() };
        assert!(method_is(&http, &["GET".to_owned()]));
        assert!(!method_is(&http, &["GETS".to_owned()]));
        assert!(!method_is(&Http::default(), &[String::new()]));
    }
}
