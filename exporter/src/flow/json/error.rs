//! Why a text is not a flow, and where.

/// What is wrong with a line, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (byte {at})")]
pub struct Error {
    /// Offset of the byte in the line, from 0.
    pub at: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The line has more bytes than the reader was told to accept.
    #[error("the line has {bytes} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most that is read.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The line ends in the middle of a value: it was torn.
    #[error("the line ends in the middle of a value")]
    Torn,
    /// Not JSON.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Something behind the object.
    #[error("more text behind the object")]
    MoreText,
    /// A bad escape or a lone surrogate in a string.
    #[error("bad escape in a string")]
    Escape,
    /// A control character in a string.
    #[error("control character in a string")]
    Control,
    /// Nested too deeply.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    /// A field the schema does not have.
    #[error("unknown field {0:?}")]
    UnknownField(String),
    /// A field given twice.
    #[error("field {0:?} is given twice")]
    Twice(String),
    /// A second member of a oneof.
    #[error("field {0:?} excludes another one that is given")]
    Oneof(String),
    /// An enum name the schema does not have.
    #[error("unknown name {0:?}")]
    UnknownName(String),
    /// A number of the wrong kind or out of range.
    #[error("expected {0} in range")]
    Number(&'static str),
    /// Not an RFC 3339 time of the years 1 to 9999.
    #[error("expected an RFC 3339 time")]
    Time,
    /// An `Any` of a type that cannot be read.
    #[error("unknown type {0:?}")]
    AnyType(String),
}

/// Boxed, so that a good value is returned in registers.
pub type Result<T> = std::result::Result<T, Box<Error>>;
