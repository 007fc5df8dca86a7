//! From the parser's events to a tree: scalars resolved, keys turned into texts, aliases and merge keys expanded.
//!
//! Works with a stack of its own, so that no nesting can exhaust the thread's, and stops at the limits of [`super`].
//! A merge key takes effect where it stands, as in Go's `yaml.v2`: it replaces what was written before it and yields to what follows.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag as ParsedTag};

use super::scalar::{Tag, resolve};
use super::{Entry, Kind, MAX_ALIASED_NODES, MAX_DEPTH, MAX_KEY_BYTES, Mark, Node, Scalar, format_go_float};
use crate::config::place::{Place, Problems};

/// Reads the first document; a later one is not even looked at.
pub(super) fn build<'p>(text: &'p str, problems: &'p mut Problems) -> Option<Node> {
    let mut builder = Builder {
        source: Source { text, chars: 0, bytes: 0 },
        problems,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    // Where the text ends, if it does so within a line.
    let unended = if text.ends_with('\n') { usize::MAX } else { text.chars().count() };
    let mut failed = None;
    while builder.root.is_none() && failed.is_none() {
        failed = match parser.next_event() {
            None => break,
            Some(Err(error)) => Some(scan_failure(&error)),
            Some(Ok((Event::DocumentEnd | Event::StreamEnd, _))) => break,
            Some(Ok((event, span))) => {
                builder.source.advance(span.start.index());
                let event = if span.end.index() >= unended { without_added_break(event) } else { event };
                builder.event(event, mark(span.start)).err()
            }
        };
    }
    let root = builder.root.take();
    match failed {
        Some(failure) => {
            let place = Place { path: failure.path, line: failure.mark.line, column: failure.mark.column };
            problems.reject(&place, failure.what, failure.advice);
            None
        }
        None => Some(root.unwrap_or_else(|| Node::null(Mark::default()))),
    }
}

/// A block scalar that ends with the text has no last line break unless the text has; the parser adds one.
fn without_added_break(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Scalar(value, style @ (ScalarStyle::Literal | ScalarStyle::Folded), anchor, tag) if value.ends_with('\n') => {
            Event::Scalar(Cow::Owned(value[..value.len() - 1].to_owned()), style, anchor, tag)
        }
        other => other,
    }
}

fn mark(marker: Marker) -> Mark {
    Mark { line: u32::try_from(marker.line()).unwrap_or(u32::MAX), column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX) }
}

struct Failure {
    mark: Mark,
    path: String,
    what: String,
    advice: Option<String>,
}

fn scan_failure(error: &ScanError) -> Failure {
    let tab = error.info().contains("tab") || error.info().contains("valid YAML whitespace");
    Failure {
        mark: mark(*error.marker()),
        path: String::new(),
        what: format!("not YAML: {}", error.info()),
        advice: tab.then(|| "write spaces instead of tabs".to_owned()),
    }
}

/// A list or map that has begun and not ended.
struct Open {
    mark: Mark,
    anchor: usize,
    /// Written with brackets or braces.
    flow: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: BTreeMap<String, Entry>, key: Option<Key> },
}

enum Key {
    Text(String, Mark),
    /// `<<`
    Merge,
}

/// The text, and how far the parser has got in it; marks only ever move on, so finding them costs one pass.
struct Source<'p> {
    text: &'p str,
    chars: usize,
    bytes: usize,
}

impl<'p> Source<'p> {
    fn advance(&mut self, index: usize) {
        while self.chars < index {
            let Some(next) = self.rest().chars().next() else {
                return;
            };
            self.chars += 1;
            self.bytes += next.len_utf8();
        }
    }

    fn rest(&self) -> &'p str {
        &self.text[self.bytes..]
    }

    /// True if only indentation stands before this place in its line, and a tab is part of it.
    fn tab_before(&self) -> bool {
        let is_indentation = |byte: &u8| matches!(byte, b' ' | b'\t' | b'-' | b'?');
        let length = self.text.as_bytes()[..self.bytes].iter().rev().take_while(|byte| is_indentation(byte)).count();
        let tab = self.text[self.bytes - length..self.bytes].contains('\t');
        tab && (length == self.bytes || self.text.as_bytes()[self.bytes - length - 1] == b'\n')
    }
}

/// A value that aliases may repeat.
struct Anchored {
    node: Node,
    size: Size,
}

/// How many values a value is made of, and how deep they are nested.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    depth: usize,
}

struct Builder<'p> {
    source: Source<'p>,
    problems: &'p mut Problems,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Failure> {
        if matches!(event, Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..)) {
            self.refuse_tab(mark)?;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if style == ScalarStyle::Plain && self.in_flow() && (text.starts_with(['|', '>', ':']) || text.contains('?')) {
                    return Err(self.failure(mark, "YAML 1.1 has no such text in brackets".into(), Some("put it in quotes".into())));
                }
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if plain && text == "<<" && self.expects_key() {
                    return self.merge_key();
                }
                let scalar = resolve(scalar_tag(style, tag.as_deref()), &text)
                    .map_err(|found| self.failure(mark, format!("the tag does not fit: this is {found}"), None))?;
                self.value(Node { mark, kind: Kind::Scalar(scalar, text.into_owned()) }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(size) = self.anchors.get(&anchor).map(|anchored| anchored.size) else {
                    return Err(self.failure(mark, "an anchor holds itself".into(), None));
                };
                self.copied(size, mark)?;
                match self.anchors.get(&anchor).map(|anchored| anchored.node.clone()) {
                    Some(node) => self.value(node, 0),
                    None => Ok(()),
                }
            }
            Event::SequenceStart(anchor, _) => self.open(mark, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(mark, anchor, Content::Map { entries: BTreeMap::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
        }
    }

    /// Counts what anchors and aliases copy against the limits.
    fn copied(&mut self, size: Size, mark: Mark) -> Result<(), Failure> {
        self.aliased = self.aliased.saturating_add(size.nodes);
        if self.aliased > MAX_ALIASED_NODES {
            let what = format!("anchors and aliases stand for more than {MAX_ALIASED_NODES} values");
            return Err(self.failure(mark, what, Some("use fewer".into())));
        }
        if self.stack.len() + size.depth > MAX_DEPTH {
            return Err(self.failure(mark, format!("nested more than {MAX_DEPTH} deep"), None));
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn merge_key(&mut self) -> Result<(), Failure> {
        if let Some(Open { content: Content::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(Key::Merge);
        }
        Ok(())
    }

    fn open(&mut self, mark: Mark, anchor: usize, content: Content) -> Result<(), Failure> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.failure(mark, format!("nested more than {MAX_DEPTH} deep"), None));
        }
        if self.expects_key() {
            return Err(self.failure(mark, "a list or map cannot be a key".into(), None));
        }
        let flow = self.in_flow() || self.source.rest().starts_with(['[', '{', '&', '!']);
        self.stack.push(Open { mark, anchor, flow, content });
        Ok(())
    }

    fn in_flow(&self) -> bool {
        self.stack.last().is_some_and(|open| open.flow)
    }

    /// YAML 1.1 has no tabs in indentation; the parser, which reads 1.2, lets some pass.
    fn refuse_tab(&self, mark: Mark) -> Result<(), Failure> {
        if self.in_flow() || !self.source.tab_before() {
            return Ok(());
        }
        Err(self.failure(mark, "a tab stands in the indentation".into(), Some("indent with spaces".into())))
    }

    fn close(&mut self) -> Result<(), Failure> {
        let Some(Open { mark, anchor, content, .. }) = self.stack.pop() else {
            return Ok(());
        };
        let kind = match content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        self.value(Node { mark, kind }, anchor)
    }

    /// Puts a finished value where it belongs: as key, entry, item or root.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), Failure> {
        if anchor != 0 {
            let size = measure(&node);
            self.copied(size, node.mark)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        let mark = node.mark;
        let failed = match self.stack.last_mut().map(|open| &mut open.content) {
            None => {
                self.root = Some(node);
                None
            }
            Some(Content::List(items)) => {
                items.push(node);
                None
            }
            Some(Content::Map { key: key @ None, .. }) => match key_text(&node) {
                Ok(text) => {
                    *key = Some(Key::Text(text, mark));
                    None
                }
                Err(what) => Some((mark, format!("{what} cannot be a key"))),
            },
            Some(Content::Map { key, entries }) => match key.take() {
                Some(Key::Text(text, mark)) => {
                    if let Some(before) = entries.insert(text.clone(), Entry { mark, value: node }) {
                        self.twice(&text, before.mark, mark);
                    }
                    None
                }
                _ => merge(entries, node).err().map(|mark| (mark, "`<<` merges a map or a list of maps, and this is neither".to_owned())),
            },
        };
        match failed {
            Some((mark, what)) => Err(self.failure(mark, what, None)),
            None => Ok(()),
        }
    }

    fn twice(&mut self, key: &str, first: Mark, second: Mark) {
        if self.problems.is_full() {
            return;
        }
        let place = Place { path: Place { path: self.path(), ..Place::default() }.key(key), line: second.line, column: second.column };
        let what = format!("the key stands here for the second time, first in line {}", first.line);
        self.problems.ignore(&place, what, Some("only this one counts; remove the other".into()));
    }

    fn failure(&self, mark: Mark, what: String, advice: Option<String>) -> Failure {
        Failure { mark, path: self.path(), what, advice }
    }

    /// The path of the value that is being read.
    fn path(&self) -> String {
        let mut place = Place::default();
        for open in &self.stack {
            place.path = match &open.content {
                Content::List(items) => format!("{}[{}]", place.path, items.len()),
                Content::Map { key: Some(Key::Text(key, _)), .. } => place.key(key),
                Content::Map { .. } => place.path,
            };
        }
        place.path
    }
}

fn scalar_tag(style: ScalarStyle, tag: Option<&ParsedTag>) -> Tag {
    match tag {
        None if style == ScalarStyle::Plain => Tag::None,
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "bool" => Tag::Bool,
            "int" => Tag::Int,
            "float" => Tag::Float,
            "null" => Tag::Null,
            _ => Tag::Text,
        },
        _ => Tag::Text,
    }
}

/// Keys become texts as they do on the way to JSON.
fn key_text(node: &Node) -> Result<String, &'static str> {
    match &node.kind {
        Kind::Scalar(Scalar::Text, text) if text.len() > MAX_KEY_BYTES => Err("a text as long as this"),
        Kind::Scalar(Scalar::Text, text) => Ok(text.clone()),
        Kind::Scalar(Scalar::Bool(truth), _) => Ok(truth.to_string()),
        Kind::Scalar(Scalar::Int(number), _) => Ok(number.to_string()),
        Kind::Scalar(Scalar::Float(number), _) if number.is_finite() => Ok(format_go_float(*number)),
        Kind::Scalar(Scalar::Null, _) => Err("an empty key"),
        Kind::Scalar(..) => Err("such a number"),
        Kind::List(_) | Kind::Map(_) => Err("a list or map"),
    }
}

fn merge(entries: &mut BTreeMap<String, Entry>, node: Node) -> Result<(), Mark> {
    match node.kind {
        Kind::Map(merged) => entries.extend(merged),
        // Of several maps the earlier ones count more.
        Kind::List(items) => {
            for item in items.into_iter().rev() {
                let Kind::Map(merged) = item.kind else {
                    return Err(item.mark);
                };
                entries.extend(merged);
            }
        }
        Kind::Scalar(..) => return Err(node.mark),
    }
    Ok(())
}

fn measure(node: &Node) -> Size {
    let within = |sizes: &mut dyn Iterator<Item = Size>| {
        sizes.fold(Size { nodes: 1, depth: 1 }, |sum, size| Size { nodes: sum.nodes + size.nodes, depth: sum.depth.max(size.depth + 1) })
    };
    match &node.kind {
        Kind::Scalar(..) => Size { nodes: 1, depth: 0 },
        Kind::List(items) => within(&mut items.iter().map(measure)),
        Kind::Map(entries) => within(&mut entries.values().map(|entry| measure(&entry.value))),
    }
}
