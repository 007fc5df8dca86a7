//! Names of backups, as lumberjack gives them: `events-2026-11-20T17-17-47.473.log` for `events.log`, in UTC, with `.gz` or `.zst` behind.
//! Pure functions.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// How a backup lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    Plain,
    Gzip,
    Zstd,
    /// A compression that was not finished.
    Unfinished,
}

impl Form {
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
            Self::Unfinished => ".tmp",
        }
    }
}

/// The parts of a file's name that its backups share: before the time, and behind it.
fn parts(path: &Path) -> (String, String) {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    match name.rfind('.') {
        Some(dot) => (format!("{}-", &name[..dot]), name[dot..].to_owned()),
        None => (format!("{name}-"), String::new()),
    }
}

/// The path of the backup of `path` made at this time, milliseconds since 1970.
pub(super) fn backup(path: &Path, milliseconds: i64) -> PathBuf {
    let (stem, extension) = parts(path);
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
    path.with_file_name(format!("{stem}{}.{:03}{extension}", time.strftime("%Y-%m-%dT%H-%M-%S"), time.millisecond()))
}

/// The time and form of a backup of `path`, from its name; `None` if it is not one.
pub(super) fn parse(path: &Path, name: &str) -> Option<(i64, Form)> {
    let (stem, extension) = parts(path);
    let rest = name.strip_prefix(&stem)?;
    let (time, rest) = rest.split_at_checked("2026-11-20T17-17-47.473".len())?;
    let form = match rest.strip_prefix(&extension)? {
        "" => Form::Plain,
        ".gz" => Form::Gzip,
        ".zst" => Form::Zstd,
        ".gz.tmp" | ".zst.tmp" => Form::Unfinished,
        _ => return None,
    };
    let pattern = time.bytes().zip("dddd-dd-ddTdd-dd-dd.ddd".bytes());
    if !pattern.into_iter().all(|(byte, wanted)| if wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted }) {
        return None;
    }
    let number = |from: usize, to: usize| time[from..to].parse::<i16>().ok();
    let small = |from: usize, to: usize| number(from, to).and_then(|value| i8::try_from(value).ok());
    let date = Date::new(number(0, 4)?, small(5, 7)?, small(8, 10)?).ok()?;
    let nanoseconds = i32::from(number(20, 23)?) * 1_000_000;
    let time = jiff::civil::Time::new(small(11, 13)?, small(14, 16)?, small(17, 19)?, nanoseconds).ok()?;
    Some((date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond(), form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_backup_is_named_as_lumberjack_names_it() {
        let path = Path::new("/var/run/cilium/hubble/events.log");
        assert_eq!(backup(path, 1_795_195_067_473), Path::new("/var/run/cilium/hubble/events-2026-11-20T17-17-47.473.log"));
        assert_eq!(backup(Path::new("events"), 0), Path::new("events-1970-01-01T00-00-00.000"));
    }

    #[test]
    fn what_is_not_a_backup_is_left_alone() {
        let path = Path::new("/x/events.log");
        for name in [
            "events.log",
            "events-.log",
            "events-2026-11-20T17-17-47.473.txt",
            "events-2026-13-20T17-17-47.473.log",
            "events-2026-11-20T17-17-47.4730.log",
            "events-+026-11-20T17-17-47.473.log",
            "eventsä2026-11-20T17-17-47.473.log",
            "events-2026-11-20T17-17-47.473.log.bz2",
            "other-2026-11-20T17-17-47.473.log",
            "events-äääääääääääääääääääääää.log",
        ] {
            assert_eq!(parse(path, name), None, "{name}");
        }
        assert_eq!(parse(path, "events-2026-11-20T17-17-47.473.log.zst"), Some((1_795_195_067_473, Form::Zstd)));
        assert_eq!(parse(path, "events-2026-11-20T17-17-47.473.log.gz.tmp"), Some((1_795_195_067_473, Form::Unfinished)));
    }

    proptest! {
        #[test]
        fn every_name_given_is_read_back(milliseconds in 0_i64..4_000_000_000_000, name in "[a-z.-]{1,9}") {
            let path = Path::new("/x").join(name);
            let backup = backup(&path, milliseconds);
            prop_assert_eq!(parse(&path, &backup.file_name().unwrap().to_string_lossy()), Some((milliseconds, Form::Plain)));
        }
    }
}
