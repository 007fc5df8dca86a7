//! The types of CEL, and which may stand where: the checker's rules for assignment and type parameters.
//!
//! Numbers never mix (`int` is not `uint`), `dyn` goes with everything, a wrapper takes its plain type and `null`, and messages, timestamps and
//! durations take `null`. The result of an expression has to be exactly `bool`: neither `dyn` nor a wrapped one.

use super::schema::MessageType;

/// A type as the checker knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Dyn,
    /// A `google.protobuf.Any`: as `dyn`, but no range for a macro.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    BoolWrapper,
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Message(&'static MessageType),
    /// The type of a type.
    Meta,
    /// A parameter still to be found out.
    Parameter(usize),
}

impl Type {
    pub(super) fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new(key), Box::new(value))
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Dyn | Self::Any)
    }

    fn is_open_or_parameter(&self) -> bool {
        self.is_open() || matches!(self, Self::Parameter(_))
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dyn | Self::Parameter(_) => f.write_str("dyn"),
            Self::Any => f.write_str("any"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::BoolWrapper => f.write_str("wrapper(bool)"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Message(message) => f.write_str(message.name),
            Self::Meta => f.write_str("type"),
        }
    }
}

/// What is known of type parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    known: Vec<Option<Type>>,
}

impl Parameters {
    /// A parameter of which nothing is known.
    pub(super) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Parameter(self.known.len() - 1)
    }

    /// `of` with what is known put in.
    pub(super) fn resolved(&self, of: &Type) -> Type {
        match of {
            Type::Parameter(n) => match self.known.get(*n) {
                Some(Some(known)) => self.resolved(known),
                _ => of.clone(),
            },
            Type::List(of) => Type::list(self.resolved(of)),
            Type::Map(key, value) => Type::map(self.resolved(key), self.resolved(value)),
            other => other.clone(),
        }
    }

    /// Whether every one of `given` may stand where `wanted` is asked for; remembers what that says of parameters only if so.
    pub(super) fn accept(&mut self, given: &[Type], wanted: &[Type]) -> bool {
        let mut trial = self.clone();
        let fits = given.len() == wanted.len() && given.iter().zip(wanted).all(|(g, w)| trial.assignable(g, w));
        if fits {
            *self = trial;
        }
        fits
    }

    fn assignable(&mut self, given: &Type, wanted: &Type) -> bool {
        if let Type::Parameter(n) = wanted {
            match self.substitutes(given, *n) {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => {}
            }
        }
        if let Type::Parameter(n) = given {
            return self.substitutes(wanted, *n).0;
        }
        if given.is_open() || wanted.is_open() {
            return true;
        }
        match (given, wanted) {
            (Type::Null, other) | (other, Type::Null) => {
                matches!(other, Type::Null | Type::BoolWrapper | Type::Message(_) | Type::Timestamp | Type::Duration)
            }
            (Type::Bool | Type::BoolWrapper, Type::Bool | Type::BoolWrapper) => true,
            (Type::List(given), Type::List(wanted)) => self.assignable(given, wanted),
            (Type::Map(k, v), Type::Map(l, w)) => self.assignable(k, l) && self.assignable(v, w),
            (Type::Message(given), Type::Message(wanted)) => given.name == wanted.name,
            (given, wanted) => given == wanted,
        }
    }

    /// Whether parameter `n` may be `of`, and whether something was known of it before.
    fn substitutes(&mut self, of: &Type, n: usize) -> (bool, bool) {
        if *of == Type::Parameter(n) {
            return (true, true);
        }
        if let Some(Some(known)) = self.known.get(n).cloned() {
            if *of == known {
                return (true, true);
            }
            if self.assignable(of, &known) {
                let general = most_general(of, &known).clone();
                if !self.mentions(&general, n) {
                    self.learn(n, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        let free = !self.mentions(of, n);
        if free {
            self.learn(n, of.clone());
        }
        (free, false)
    }

    fn learn(&mut self, n: usize, of: Type) {
        if let Some(slot) = self.known.get_mut(n) {
            *slot = Some(of);
        }
    }

    /// Whether parameter `n` occurs in `of`.
    fn mentions(&self, of: &Type, n: usize) -> bool {
        match of {
            Type::Parameter(m) if *m == n => true,
            Type::Parameter(m) => self.known.get(*m).and_then(Option::as_ref).is_some_and(|known| self.mentions(known, n)),
            Type::List(of) => self.mentions(of, n),
            Type::Map(key, value) => self.mentions(key, n) || self.mentions(value, n),
            _ => false,
        }
    }
}

/// The less specific of two types that go together.
pub(super) fn most_general<'t>(one: &'t Type, other: &'t Type) -> &'t Type {
    if equal_or_less_specific(one, other) { one } else { other }
}

fn equal_or_less_specific(one: &Type, other: &Type) -> bool {
    if one.is_open_or_parameter() {
        return true;
    }
    match (one, other) {
        (Type::List(one), Type::List(other)) => equal_or_less_specific(one, other),
        (Type::Map(k, v), Type::Map(l, w)) => equal_or_less_specific(k, l) && equal_or_less_specific(v, w),
        (one, other) => !other.is_open_or_parameter() && one == other,
    }
}
