//! Hides credentials: passwords in URLs, query strings, header values (digest §2.7), and the same in the summary.
//!
//! It happens while a line is written, so filters see the flow as it was and nothing behind them does. By default it hides what nobody wants in
//! a log: URL passwords and the values of `Authorization`, `Proxy-Authorization`, `Cookie` and `Set-Cookie`.

use std::borrow::Cow;

use crate::flow::{Flow, Http, HttpHeader, Layer7, Record, Text, Unknown, summary};

/// What stands where something was hidden.
pub const REDACTED: &str = "HUBBLE_REDACTED";

/// Which header values are hidden. Names are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderRule {
    /// None.
    Keep,
    /// All.
    HideAll,
    /// All but those of these names.
    Allow(Vec<String>),
    /// Those of these names.
    Deny(Vec<String>),
}

impl HeaderRule {
    fn hides(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|listed| listed.eq_ignore_ascii_case(name));
        match self {
            HeaderRule::Keep => false,
            HeaderRule::HideAll => true,
            HeaderRule::Allow(names) => !listed(names),
            HeaderRule::Deny(names) => listed(names),
        }
    }
}

/// What a flow log hides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// The password in `user:password@` of a URL.
    pub url_userinfo: bool,
    /// The query and fragment of a URL, which are removed.
    pub url_query: bool,
    /// Values of headers.
    pub headers: HeaderRule,
}

impl Default for Redaction {
    /// URL passwords and credential headers.
    fn default() -> Self {
        let names = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"];
        Self { url_userinfo: true, url_query: false, headers: HeaderRule::Deny(names.map(str::to_owned).to_vec()) }
    }
}

/// What is written in place of parts of a flow.
#[derive(Clone, Debug)]
pub struct Redacted<'a> {
    /// In place of `l7`.
    pub l7: Option<Layer7<'a>>,
    /// In place of `Summary`.
    pub summary: Text<'a>,
}

impl Redaction {
    /// Hides nothing: Hubble's own line.
    pub fn none() -> Self {
        Self { url_userinfo: false, url_query: false, headers: HeaderRule::Keep }
    }

    fn is_none(&self) -> bool {
        !self.url_userinfo && !self.url_query && self.headers == HeaderRule::Keep
    }

    /// What to write in place of parts of this flow; `None` when nothing in it is hidden. A field of a newer schema inside `l7` could hold what is hidden
    /// elsewhere, so it is left out.
    #[inline]
    pub fn of<'f>(&self, flow: &'f Flow<'_>) -> Option<Redacted<'f>> {
        let l7 = flow.l7.as_ref()?;
        match &l7.record {
            _ if self.is_none() => None,
            Some(Record::Http(http)) => self.of_http(flow, l7, http),
            _ if l7.unknown.is_empty() => None,
            _ => Some(Redacted { l7: Some(Layer7 { unknown: Unknown::default(), ..l7.clone() }), summary: Cow::Borrowed(&flow.summary) }),
        }
    }

    fn of_http<'f>(&self, flow: &'f Flow<'_>, l7: &'f Layer7<'_>, http: &'f Http<'_>) -> Option<Redacted<'f>> {
        let url = self.url(&http.url);
        let url_changes = *url != *http.url;
        let unknown = |header: &HttpHeader<'_>| !header.unknown.is_empty();
        let hidden = http.headers.iter().any(|header| self.headers.hides(&header.key) || unknown(header));
        if !url_changes && !hidden && http.unknown.is_empty() && l7.unknown.is_empty() {
            return None;
        }
        let mut clean = http.clone();
        clean.unknown = Unknown::default();
        clean.url = Cow::Owned(url.clone().into_owned());
        for header in &mut clean.headers {
            header.unknown = Unknown::default();
            if self.headers.hides(&header.key) {
                header.value = Cow::Borrowed(REDACTED);
            }
        }
        let l7 = Layer7 { record: Some(Record::Http(clean)), unknown: Unknown::default(), ..l7.clone() };
        let summary = match &flow.summary {
            kept if !url_changes || kept.is_empty() => Cow::Borrowed(&**kept),
            text if text.contains(&*http.url) => Cow::Owned(text.replace(&*http.url, &url)),
            // It says the URL in other words, or cut short: it is built again.
            _ => Cow::Owned(summary::of_layer7(&l7).unwrap_or_default()),
        };
        Some(Redacted { l7: Some(l7), summary })
    }

    /// A URL with its password and query hidden, as far as this rule hides them. Works on the text: what is not hidden stays as it was.
    fn url<'u>(&self, url: &'u str) -> Cow<'u, str> {
        let mut shown = url;
        if self.url_query {
            shown = shown.split(['?', '#']).next().unwrap_or_default();
        }
        match self.url_userinfo.then(|| password(shown)).flatten() {
            Some((start, end)) => {
                let (before, after) = (shown.get(..start).unwrap_or_default(), shown.get(end..).unwrap_or_default());
                Cow::Owned(format!("{before}{REDACTED}{after}"))
            }
            None => Cow::Borrowed(shown),
        }
    }
}

/// Where the password of a URL stands. In a URL that is not one (a port that is no number, because the password holds a slash) it
/// is taken to reach up to the last `@`: rather too much is hidden than too little.
fn password(url: &str) -> Option<(usize, usize)> {
    let authority = url.as_bytes().windows(2).position(|pair| pair == b"//")? + 2;
    let rest = url.get(authority..)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (inside, colon) = (rest.get(..end)?, rest.find(':')?);
    let at = match inside.rfind('@') {
        Some(at) => at,
        None => {
            let port = inside.rsplit(':').next().unwrap_or_default();
            let is_host = inside.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit()) || colon >= end;
            if is_host {
                return None;
            }
            rest.rfind('@')?
        }
    };
    (colon < at).then_some((authority + colon + 1, authority + at))
}

#[cfg(test)]
mod tests {
    use super::*;
    fn flow<'a>(url: &'a str, summary: &'a str, headers: &[(&'a str, &'a str)]) -> Flow<'a> {
        let headers = headers.iter().map(|(key, value)| HttpHeader { key: (*key).into(), value: (*value).into(), ..Default::default() });
        let http =
            Http { url: url.into(), method: "GET".into(), protocol: "HTTP/1.1".into(), headers: headers.collect(), ..Default::default() };
        Flow { l7: Some(Layer7 { record: Some(Record::Http(http)), ..Default::default() }), summary: summary.into(), ..Default::default() }
    }

    fn http<'r>(redacted: &'r Redacted<'_>) -> &'r Http<'r> {
        match redacted.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
            Some(Record::Http(http)) => http,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_password_in_a_url_is_hidden_wherever_it_stands() {
        for (url, hidden) in [
            ("http://u:p@host/x?y", Some("http://u:HUBBLE_REDACTED@host/x?y")),
            ("http://u:p@w@host", Some("http://u:HUBBLE_REDACTED@host")),
            ("http://u:@host", Some("http://u:HUBBLE_REDACTED@host")),
            ("//u:p@host/x", Some("//u:HUBBLE_REDACTED@host/x")),
            ("http://u:p:q@[::1]:80/", Some("http://u:HUBBLE_REDACTED@[::1]:80/")),
            ("http://u:p/w@host/x", Some("http://u:HUBBLE_REDACTED@host/x")),
            ("http://u@host:80/x", None),
            ("http://host:80/x:y@z", None),
            ("http://[::1]/x@y", None),
            ("/path:with@both", None),
            ("", None),
        ] {
            assert_eq!(Redaction::default().url(url), hidden.unwrap_or(url), "{url}");
        }
    }

    #[test]
    fn a_query_goes_with_its_fragment() {
        let rule = Redaction { url_query: true, ..Redaction::none() };
        for (url, shown) in [("/x?a=1#f", "/x"), ("/x#f?a", "/x"), ("/x", "/x"), ("http://u:p@h?q", "http://u:p@h")] {
            assert_eq!(rule.url(url), shown);
        }
    }

    #[test]
    fn credential_headers_lose_their_values_and_others_keep_them() {
        let flow = flow("/", "s", &[("authorization", "Bearer secret"), ("Host", "h"), ("COOKIE", "secret")]);
        let redacted = Redaction::default().of(&flow).unwrap();
        let values: Vec<_> = http(&redacted).headers.iter().map(|header| &*header.value).collect();
        assert_eq!(values, [REDACTED, "h", REDACTED]);
        assert_eq!(redacted.summary, "s");
        assert!(Redaction::none().of(&flow).is_none());
        let allow = Redaction { headers: HeaderRule::Allow(vec!["host".into()]), ..Redaction::none() };
        assert_eq!(http(&allow.of(&flow).unwrap()).headers[1].value, "h");
        let all = Redaction { headers: HeaderRule::HideAll, ..Redaction::none() };
        assert!(http(&all.of(&flow).unwrap()).headers.iter().all(|header| header.value == REDACTED));
    }

    #[test]
    fn what_is_unknown_inside_a_request_is_not_passed_on() {
        let line = br#"{"flow":{"l7":{"http2":{"authority":"secret"},"http":{"url":"/","cookies":"secret"}},"later":1}}"#;
        let event = crate::flow::json::decode(line, Default::default()).unwrap();
        let mut out = Vec::new();
        crate::mask::Encoder::compile(&crate::mask::Mask::everything(), Redaction::default()).encode(&event, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"flow":{"l7":{"http":{"url":"/"}},"later":1}}"#);
    }

    #[test]
    fn the_summary_does_not_tell_what_the_url_hides() {
        let url = "http://u:secret@h/x";
        let quoted = flow(url, "HTTP/1.1 GET http://u:secret@h/x", &[]);
        assert_eq!(Redaction::default().of(&quoted).unwrap().summary, "HTTP/1.1 GET http://u:HUBBLE_REDACTED@h/x");
        let otherwise = flow(url, "GET secret of u", &[]);
        assert_eq!(Redaction::default().of(&otherwise).unwrap().summary, "HTTP/1.1 GET http://u:HUBBLE_REDACTED@h/x");
        assert!(Redaction::default().of(&flow("http://h/x", "HTTP/1.1 GET http://h/x", &[])).is_none());
    }
}
