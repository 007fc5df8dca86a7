//! A list of texts, held as the JSON it is written as.
//!
//! Labels are half of a flow's bytes. A list read from a line that is already written the canonical way is borrowed from the line as
//! one piece, costs no allocation, and is copied out again as one piece; its elements are found when somebody asks for them.

use std::borrow::Cow;

use super::json::text::{quote, unquote_inner};
use super::value::IntoStatic;

/// A `repeated string`. Two lists are equal when their elements are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Texts<'a> {
    /// The elements as canonical JSON strings with commas between them: what stands between the brackets.
    inner: Cow<'a, str>,
}

impl<'a> Texts<'a> {
    /// No elements.
    pub const fn new() -> Self {
        Self { inner: Cow::Borrowed("") }
    }

    /// A list of what stands between the brackets of a canonical JSON array: only clean strings and single commas.
    pub(super) fn from_canonical(inner: &'a str) -> Self {
        Self { inner: Cow::Borrowed(inner) }
    }

    /// What stands between the brackets when the list is written as JSON.
    pub(super) fn canonical(&self) -> &str {
        &self.inner
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Number of elements; walks the list.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The elements, borrowed unless an escape had to be undone.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.inner }
    }

    /// The first element.
    pub fn first(&self) -> Option<Cow<'_, str>> {
        self.iter().next()
    }

    /// Whether an element equals `text`.
    pub fn contains(&self, text: &str) -> bool {
        self.iter().any(|element| element == text)
    }

    /// Appends an element.
    pub fn push(&mut self, text: &str) {
        let inner = self.inner.to_mut();
        if !inner.is_empty() {
            inner.push(',');
        }
        quote(text, inner);
    }
}

impl<T: AsRef<str>> FromIterator<T> for Texts<'_> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut texts = Texts::new();
        for element in elements {
            texts.push(element.as_ref());
        }
        texts
    }
}

impl<'t> IntoIterator for &'t Texts<'_> {
    type Item = Cow<'t, str>;
    type IntoIter = Iter<'t>;

    fn into_iter(self) -> Iter<'t> {
        self.iter()
    }
}

impl IntoStatic for Texts<'_> {
    type Static = Texts<'static>;

    fn into_static(self) -> Texts<'static> {
        Texts { inner: Cow::Owned(self.inner.into_owned()) }
    }
}

/// Walks the elements of a [`Texts`].
#[derive(Clone, Debug)]
pub struct Iter<'t> {
    rest: &'t str,
}

impl<'t> Iterator for Iter<'t> {
    type Item = Cow<'t, str>;

    fn next(&mut self) -> Option<Cow<'t, str>> {
        let body = self.rest.strip_prefix('"')?;
        let bytes = body.as_bytes();
        let mut end = memchr::memchr2(b'"', b'\\', bytes)?;
        let mut escaped = false;
        while bytes.get(end) == Some(&b'\\') {
            escaped = true;
            end += 2;
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
        }
        let (element, rest) = (body.get(..end)?, body.get(end + 1..)?);
        self.rest = rest.strip_prefix(',').unwrap_or(rest);
        Some(if escaped { Cow::Owned(unquote_inner(element)) } else { Cow::Borrowed(element) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_was_pushed() {
        let elements = ["", "k8s:app=web", "a\"b", "back\\slash", "\\", "<&>\u{2028}\u{1}", "é😀", ","];
        let list: Texts<'_> = elements.into_iter().collect();
        assert_eq!(list.iter().collect::<Vec<_>>(), elements);
        assert_eq!(list.len(), elements.len());
        assert!(list.contains("a\"b"));
        assert!(!list.contains("a"));
    }

    #[test]
    fn an_empty_list_is_not_a_list_of_one_empty_text() {
        let one: Texts<'_> = [""].into_iter().collect();
        assert!(Texts::new().is_empty());
        assert!(!one.is_empty());
        assert_eq!(one.len(), 1);
    }
}
