//! Opening a log: what the folder holds, whether it is still the log it was, and where it goes on.

use super::contents::{self, End};
use super::damage::Register;
use super::folder::{self, Folder, OpenError, Renewal, at};
use super::frame::Head;
use super::log::{Segment, Settings, Shared, State, Visible};
use super::retention::Holder;
use super::segment::{LogKind, SegmentHead};
use super::tail::Tail;
use super::{Commit, SpoolId, SpoolMetrics, WhenFull, cursor};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use tokio::sync::watch;

/// What the caller knows when it opens a log.
pub(super) struct Opening<'a> {
    pub boot: &'a str,
    /// The caller's reason to give the log a new identity.
    pub renew: Option<String>,
    /// The log may not go on before this position: somebody has seen numbers up to it.
    pub resume_at: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Why the log has the identity it has, as long as nothing was committed under it. The change-over has to be declared as a gap.
    pub renewal: Option<Renewal>,
    /// The identity before, if there was one.
    pub previous: Option<SpoolId>,
    /// The last commit, under whichever identity, and the position after it.
    pub last: Option<(Commit, u64)>,
    /// Bytes behind the last commit that were cut off: whole frames that were never visible.
    pub cut_bytes: u64,
    /// Bytes that could not be parsed, at the end or between frames of what was read through.
    pub corrupt_bytes: u64,
}

/// What the folder holds, once read.
struct Contents {
    folder: Folder,
    settings: Settings,
    max_bytes: u64,
    metrics: SpoolMetrics,
    segments: VecDeque<Segment>,
}

/// Opens a log's folder. `visit` sees the header and payload of every whole frame that is read through (the intake's last ring positions).
pub(super) fn open(
    path: &Path,
    settings: Settings,
    max_bytes: u64,
    opening: &Opening<'_>,
    visit: &mut dyn FnMut(&Head, &[u8]),
) -> Result<(Shared, Found), OpenError> {
    let folder = Folder::open(path)?;
    let identity = folder.identity()?;
    if let Some((identity, _)) = identity.as_ref().filter(|(identity, _)| !identity.node.is_empty() && identity.node != settings.node) {
        let (found, expected) = (identity.node.clone(), settings.node.clone());
        return Err(OpenError::OtherNode { folder: path.to_owned(), found, expected });
    }
    let metrics = SpoolMetrics::default();
    let mut found = Found::default();
    let ids: Vec<SpoolId> = identity.iter().flat_map(|(identity, _)| [Some(identity.id), identity.previous]).flatten().collect();
    let mut segments = contents::list(&folder, &settings, &ids, &metrics)?;
    let end = match settings.kind {
        LogKind::Spool => contents::cut(&folder, &mut segments, &mut found)?,
        LogKind::Intake => contents::read_through(&folder, &mut segments, &mut found, visit)?,
    };
    metrics.corrupt_bytes.store(found.corrupt_bytes, Relaxed);
    let renewal = renewal(&folder, identity.as_ref(), &segments, &end, opening)?;
    let id = match (&renewal, &identity) {
        (None, Some((identity, _))) => identity.id,
        _ => SpoolId::random().map_err(|error| at(path)(std::io::Error::other(error.to_string())))?,
    };
    let contents = Contents { folder, settings, max_bytes, metrics, segments };
    let shared = begin(contents, id, &end, opening, found.last.as_ref())?;
    found.previous =
        identity.as_ref().map(|(identity, _)| identity.id).filter(|previous| *previous != id && *previous != SpoolId::default());
    match renewal {
        Some(why) => {
            shared.folder.write_identity(id, &shared.settings.node, why.clone(), found.previous)?;
            found.renewal = Some(why);
        }
        None => {
            let committed = shared.lock().last.id == id && found.last.is_some();
            if let Some((identity, _)) = identity.filter(|_| !committed) {
                found.renewal = Some(identity.why);
                found.previous = identity.previous;
            }
        }
    }
    shared.folder.mark_running(opening.boot)?;
    Ok((shared, found))
}

/// Whether the log has to get a new identity, and why.
fn renewal(
    folder: &Folder,
    identity: Option<&(super::folder::Identity, bool)>,
    segments: &VecDeque<Segment>,
    end: &End,
    opening: &Opening<'_>,
) -> Result<Option<Renewal>, OpenError> {
    let Some((identity, same)) = identity else {
        return Ok(Some(Renewal::New));
    };
    if identity.why == Renewal::Unreadable {
        return Ok(Some(Renewal::Unreadable));
    }
    if !same {
        return Ok(Some(Renewal::Copied));
    }
    if folder.running().is_some_and(|boot| boot != opening.boot) {
        return Ok(Some(Renewal::Reboot));
    }
    if let Some(why) = &opening.renew {
        return Ok(Some(Renewal::Behind(why.clone())));
    }
    let at_end = segments.back().map(|segment| segment.id);
    for (sink, stored) in cursor::all(&folder.path).map_err(at(&folder.path))? {
        let place = stored.cursor;
        let numbers_used = at_end == Some(place.spool) && place.sequence > end.number;
        if place.position > end.position || numbers_used {
            return Ok(Some(Renewal::Behind(format!("cursor of {sink}"))));
        }
    }
    Ok(None)
}

/// The log's state, going on in the last segment or, under a new identity, in a new one.
fn begin(contents: Contents, id: SpoolId, end: &End, opening: &Opening<'_>, last: Option<&(Commit, u64)>) -> Result<Shared, OpenError> {
    let Contents { folder, settings, max_bytes, metrics, segments } = contents;
    let cursors = cursor::all(&folder.path).map_err(at(&folder.path))?;
    let ahead = cursors.iter().map(|(_, stored)| stored.cursor.position).max().unwrap_or(0);
    let position = end.position.max(ahead).max(opening.resume_at);
    let goes_on = segments.back().filter(|segment| segment.id == id && position == segment.end).map(|segment| folder.segment(segment.base));
    let last_id = segments.back().map(|segment| segment.id);
    let number = if last_id == Some(id) { end.number } else { u64::from(settings.kind == LogKind::Spool) };
    let visible = Visible {
        id,
        position,
        sequence: number,
        time: last.map_or(i64::MIN, |(commit, _)| commit.time),
        intake_position: last.map_or(0, |(commit, _)| commit.intake_position),
        keep: keep_from(&segments, last, position),
    };
    let spares = (0..settings.spares).take_while(|number| folder.path.join(format!("spare-{number}")).exists()).count();
    let active = match &goes_on {
        Some(path) => std::fs::OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?,
        None => File::open("/dev/null").map_err(at(Path::new("/dev/null")))?,
    };
    let mut state = State::new(segments, active, visible, spares);
    state.keep = if settings.retain { visible.keep } else { u64::MAX };
    let waiting = |stored: &super::Stored| Holder { position: stored.cursor.position, when_full: WhenFull::default() };
    state.holders = cursors.iter().map(|(sink, stored)| (sink.clone(), waiting(stored))).collect();
    let (visible, wake, progress) = (watch::Sender::new(visible), Condvar::new(), Condvar::new());
    let tail = Tail::new(position);
    let damage = Mutex::new(Register::open(&folder.path, last.map(|(commit, _)| commit.damaged.clone()).unwrap_or_default()));
    let (state, max_bytes, syncing) = (Mutex::new(state), AtomicU64::new(max_bytes), Mutex::new(()));
    let shared = Shared { syncing, tail, folder, settings, max_bytes, state, wake, progress, visible, metrics, damage };
    if goes_on.is_none() {
        let mut state = shared.lock();
        let previous = state.segments.back().and_then(|last| if last.id == id { last.previous } else { Some((last.id, end.number)) });
        let (kind, node, created) = (shared.settings.kind, shared.settings.node.clone(), folder::now());
        let head = SegmentHead { kind, node, id, base: position, number, created, previous };
        let path = shared.folder.segment(position);
        let file = shared.begin_segment(&mut state, &head).map_err(at(&path))?;
        file.sync_all().and_then(|()| folder::sync_folder(&shared.folder.path)).map_err(at(&path))?;
        if state.segments.back().is_some_and(|segment| segment.base == position) {
            state.segments.pop_back();
        }
        state.active = file;
        state.segments.push_back(Segment { base: position, end: position, id, number, previous });
    }
    Ok(shared)
}

/// From where on the spool itself needs its segments: the one with the last commit, and those with open partial sums.
fn keep_from(segments: &VecDeque<Segment>, last: Option<&(Commit, u64)>, end: u64) -> u64 {
    let Some((commit, position)) = last else {
        return end;
    };
    let base = segments.iter().rev().find(|segment| segment.base < *position).map_or(end, |segment| segment.base);
    commit.partials.map_or(base, |partials| partials.min(base))
}
