//! Tells systemd how the daemon is doing: readiness, reloads, the watchdog, the stop.
//!
//! The protocol is one datagram of `KEY=value` lines to the socket named in `NOTIFY_SOCKET` (sd_notify(3)). Outside systemd that variable is
//! absent and every call is a no-op. A failed send is logged once and otherwise ignored: the supervisor's view is never worth an outage.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A handle on the notification socket, if there is one.
#[derive(Debug)]
pub struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Systemd {
    /// Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC` of this process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| match connect(&path) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot reach the service manager; it will not hear from this daemon");
                None
            }
        });
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// How often the watchdog has to be fed: half of what the unit asks for, as sd_watchdog_enabled(3) advises.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some()).map(|limit| limit / 2)
    }

    /// The daemon serves: start-up is complete.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The daemon stops.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=flushing");
    }

    /// Feeds the watchdog and shows `status` in `systemctl status`.
    pub fn alive(&self, status: &str) {
        self.send(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager did not take a notification");
        }
    }
}

fn connect(path: &OsString) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let bytes = path.as_bytes();
    let address = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    Ok((UnixDatagram::unbound()?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_that_the_daemon_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd { socket: Some(connect(&path.into_os_string()).unwrap()), watchdog: Some(Duration::from_secs(4)) };
        systemd.ready("2 flow logs");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=2 flow logs");
        assert_eq!(systemd.watchdog_interval(), Some(Duration::from_secs(2)));
    }
}
