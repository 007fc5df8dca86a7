//! The operators and functions of CEL's standard library, with their overloads.
//!
//! The checker picks by these signatures; at run time a function looks at the values it gets, since `dyn` may hide any of them.

use super::types::Type;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Not,
    Negate,
    Conditional,
    Index,
    In,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    TypeOf,
    ToBool,
    ToBytes,
    ToDouble,
    ToDuration,
    ToDyn,
    ToInt,
    ToText,
    ToTimestamp,
    ToUint,
    Time(TimePart),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// What an overload takes and gives.
pub(super) type Signature = (Vec<Type>, Type);

/// The function of a name and its overloads in call style `member`; `a` and `b` are type parameters nothing is known of.
pub(super) fn named(name: &str, member: bool, a: Type, b: Type) -> Option<(Function, Vec<Signature>)> {
    let function = function(name)?;
    Some((function, signatures(function, member, a, b)))
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "==" => Function::Equal,
        "!=" => Function::NotEqual,
        "<" => Function::Less,
        "<=" => Function::LessEqual,
        ">" => Function::Greater,
        ">=" => Function::GreaterEqual,
        "+" => Function::Add,
        "-" => Function::Subtract,
        "*" => Function::Multiply,
        "/" => Function::Divide,
        "%" => Function::Modulo,
        "!" => Function::Not,
        "negate" => Function::Negate,
        "?:" => Function::Conditional,
        "[]" => Function::Index,
        "in" => Function::In,
        "size" => Function::Size,
        "contains" => Function::Contains,
        "startsWith" => Function::StartsWith,
        "endsWith" => Function::EndsWith,
        "matches" => Function::Matches,
        "type" => Function::TypeOf,
        "bool" => Function::ToBool,
        "bytes" => Function::ToBytes,
        "double" => Function::ToDouble,
        "duration" => Function::ToDuration,
        "dyn" => Function::ToDyn,
        "int" => Function::ToInt,
        "string" => Function::ToText,
        "timestamp" => Function::ToTimestamp,
        "uint" => Function::ToUint,
        "getFullYear" => Function::Time(TimePart::FullYear),
        "getMonth" => Function::Time(TimePart::Month),
        "getDayOfYear" => Function::Time(TimePart::DayOfYear),
        "getDayOfMonth" => Function::Time(TimePart::DayOfMonth),
        "getDate" => Function::Time(TimePart::Date),
        "getDayOfWeek" => Function::Time(TimePart::DayOfWeek),
        "getHours" => Function::Time(TimePart::Hours),
        "getMinutes" => Function::Time(TimePart::Minutes),
        "getSeconds" => Function::Time(TimePart::Seconds),
        "getMilliseconds" => Function::Time(TimePart::Milliseconds),
        _ => return None,
    })
}

fn signatures(function: Function, member: bool, a: Type, b: Type) -> Vec<Signature> {
    use Type::{Bool, Bytes, Double, Duration, Dyn, Int, Text, Timestamp, Uint};
    let each = |types: &[Type], result: &dyn Fn(&Type) -> Signature| types.iter().map(result).collect::<Vec<_>>();
    let to = |result: Type, from: &[Type]| from.iter().map(|of| (vec![of.clone()], result.clone())).collect::<Vec<_>>();
    let list = Type::list(a.clone());
    let map = Type::map(a.clone(), b.clone());
    match (function, member) {
        (Function::Equal | Function::NotEqual, false) => vec![(vec![a.clone(), a], Bool)],
        (Function::Less | Function::LessEqual | Function::Greater | Function::GreaterEqual, false) => {
            each(&[Bool, Int, Uint, Double, Text, Bytes, Timestamp, Duration], &|t| (vec![t.clone(), t.clone()], Bool))
        }
        (Function::Add, false) => {
            let mut all = each(&[Bytes, Double, Duration, Int, list, Text, Uint], &|t| (vec![t.clone(), t.clone()], t.clone()));
            all.push((vec![Duration, Timestamp], Timestamp));
            all.push((vec![Timestamp, Duration], Timestamp));
            all
        }
        (Function::Subtract, false) => {
            let mut all = each(&[Double, Duration, Int, Uint], &|t| (vec![t.clone(), t.clone()], t.clone()));
            all.push((vec![Timestamp, Duration], Timestamp));
            all.push((vec![Timestamp, Timestamp], Duration));
            all
        }
        (Function::Multiply | Function::Divide, false) => each(&[Double, Int, Uint], &|t| (vec![t.clone(), t.clone()], t.clone())),
        (Function::Modulo, false) => each(&[Int, Uint], &|t| (vec![t.clone(), t.clone()], t.clone())),
        (Function::Not, false) => to(Bool, &[Bool]),
        (Function::Negate, false) => each(&[Double, Int], &|t| (vec![t.clone()], t.clone())),
        (Function::Conditional, false) => vec![(vec![Bool, a.clone(), a.clone()], a)],
        (Function::Index, false) => vec![(vec![list, Int], a.clone()), (vec![map, a], b)],
        (Function::In, false) => vec![(vec![a.clone(), list], Bool), (vec![a, map], Bool)],
        (Function::Size, _) => to(Int, &[Bytes, list, map, Text]),
        (Function::Contains | Function::StartsWith | Function::EndsWith, true) | (Function::Matches, _) => vec![(vec![Text, Text], Bool)],
        (Function::TypeOf, false) => to(Type::Meta, &[a]),
        (Function::ToBool, false) => to(Bool, &[Bool, Text]),
        (Function::ToBytes, false) => to(Bytes, &[Bytes, Text]),
        (Function::ToDouble, false) => to(Double, &[Double, Int, Text, Uint]),
        (Function::ToDuration, false) => to(Duration, &[Duration, Text]),
        (Function::ToDyn, false) => to(Dyn, &[a]),
        (Function::ToInt, false) => to(Int, &[Int, Double, Duration, Text, Timestamp, Uint]),
        (Function::ToText, false) => to(Text, &[Text, Bool, Bytes, Double, Duration, Int, Timestamp, Uint]),
        (Function::ToTimestamp, false) => to(Timestamp, &[Timestamp, Int, Text]),
        (Function::ToUint, false) => to(Uint, &[Uint, Double, Int, Text]),
        (Function::Time(part), true) => {
            let mut all = vec![(vec![Timestamp], Int), (vec![Timestamp, Text], Int)];
            if matches!(part, TimePart::Hours | TimePart::Minutes | TimePart::Seconds | TimePart::Milliseconds) {
                all.push((vec![Duration], Int));
            }
            all
        }
        _ => Vec::new(),
    }
}
