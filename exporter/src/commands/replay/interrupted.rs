//! The note in a state folder of what is being replayed into it: written before the first line is read, removed once every sink has everything.
//!
//! Found at a start, it says that a replay was interrupted. The same one then goes on behind the last line that a commit covers; any other is refused,
//! because lines would be passed over that it has never read. Standard input and pipes can't be read again, so there only the refusal is left.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::commands::Failure;
use crate::config::File;

const NAME: &str = "replay.json";

/// What is replayed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replaying {
    /// SHA-256 of the configuration, hexadecimal.
    config: String,
    inputs: Vec<Input>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    path: PathBuf,
    /// `None` where it can't be read again.
    bytes: Option<u64>,
}

impl Replaying {
    /// Of these inputs; none is standard input.
    #[must_use]
    pub fn new(file: &File, inputs: &[PathBuf]) -> Self {
        let standard = [PathBuf::from("-")];
        let inputs = if inputs.is_empty() { &standard } else { inputs };
        let inputs = inputs.iter().map(|path| {
            let regular = fs::metadata(path).ok().filter(fs::Metadata::is_file);
            Input { path: fs::canonicalize(path).unwrap_or_else(|_| path.clone()), bytes: regular.map(|found| found.len()) }
        });
        Self { config: file.hash.iter().map(|byte| format!("{byte:02x}")).collect(), inputs: inputs.collect() }
    }

    /// Whether this very replay was interrupted in a state folder.
    ///
    /// # Errors
    /// When another one was, or one that can't be taken up again.
    pub fn was_interrupted(&self, state: &Path) -> Result<bool, Failure> {
        let path = state.join(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", path.display())))?,
        };
        let refused = |why: String| {
            let state = state.display();
            Err(Failure::Usage(format!("{state} holds a replay that was interrupted: {why}, or give this one a --state-dir of its own")))
        };
        let Ok(known) = serde_json::from_slice::<Self>(&text) else {
            return refused(format!("{} cannot be read; remove the folder", path.display()));
        };
        if let Some(once) = known.inputs.iter().find(|input| input.bytes.is_none()) {
            return refused(format!("{} cannot be read again from its beginning; remove the folder", once.path.display()));
        }
        if known.config != self.config {
            return refused("its configuration was another one; run it again under that to finish it".to_owned());
        }
        if known.inputs != self.inputs {
            let inputs: Vec<String> =
                known.inputs.iter().map(|input| format!("{} of {} bytes", input.path.display(), input.bytes.unwrap_or_default())).collect();
            return refused(format!("it was reading {}; run it again over that to finish it", inputs.join(", ")));
        }
        Ok(true)
    }

    /// Leaves the note.
    ///
    /// # Errors
    /// When the folder does not take it.
    pub fn write(&self, state: &Path) -> Result<(), Failure> {
        let write = || -> io::Result<()> {
            let temporary = state.join("replay.json.new");
            let text = serde_json::to_vec(self)?;
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?.write_all(&text)?;
            fs::rename(&temporary, state.join(NAME))
        };
        write().map_err(|error| Failure::Runtime(format!("cannot write {}: {error}", state.join(NAME).display())))
    }
}

/// Takes the note away: everything is delivered.
///
/// # Errors
/// When it stays; the next replay there would pass over its lines.
pub fn finished(state: &Path) -> Result<(), Failure> {
    let path = state.join(NAME);
    fs::remove_file(&path).map_err(|error| Failure::Runtime(format!("cannot remove {}: {error}; remove it by hand", path.display())))
}
