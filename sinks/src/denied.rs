//! What to do about a path that the system refuses.

use std::fmt;
use std::io;
use std::path::Path;

/// `<path>: <error>`, and, where permission is what is lacking, why that may surprise somebody who is root.
pub struct At<'e>(pub &'e Path, pub &'e io::Error);

impl fmt::Display for At<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}", self.0.display(), self.1)?;
        if self.1.kind() == io::ErrorKind::PermissionDenied {
            write!(
                to,
                "; no capability is kept after the start, so that even root needs the permission of the folder, and of those above it"
            )?;
        }
        Ok(())
    }
}
