//! What the running kernel offers, printed at start and by the README.

use std::fmt;

use crate::{AttachMode, Reasons};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is for.
    pub name: &'static str,
    /// Kernel version that brought it.
    pub since: &'static str,
    /// This kernel has it. By version, or by looking where that can be done.
    pub present: bool,
    /// What happens without it.
    pub without: &'static str,
}

/// The table for the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// As `uname -r` prints it.
    pub release: String,
    /// The rows.
    pub rows: Vec<Feature>,
}

impl Features {
    pub(crate) fn of_running_kernel(reasons: &Reasons) -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let version = version(&release);
        let by_version = |name, since: &'static str, without| Feature { name, since, present: version >= self::version(since), without };
        let btf = std::path::Path::new("/sys/kernel/btf/vmlinux").exists();
        let rows = vec![
            by_version("flow programs (ring, atomics, walks over maps)", "5.15", "flowlog does not run"),
            by_version("tcx links: pinned, replaced in one step", "6.6", "clsact filters; CAP_NET_ADMIN is kept"),
            by_version("bpf() on open descriptors without CAP_BPF", "5.19", "CAP_BPF is kept"),
            Feature {
                name: "type information (CONFIG_DEBUG_INFO_BTF)",
                since: "5.4",
                present: btf,
                without: "drops are not seen; such flows are TRACED",
            },
            Feature {
                name: "reasons for drops",
                since: "5.17",
                present: !reasons.is_empty(),
                without: "drops are not seen; such flows are TRACED",
            },
        ];
        Self { release, rows }
    }

    /// Capabilities to keep after start, by name: none with tcx, CAP_NET_ADMIN with clsact, CAP_BPF below 5.19. What
    /// start itself needs: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON (the verifier asks for it), CAP_SYS_ADMIN to mount a bpffs.
    pub fn kept_capabilities(&self, attach: AttachMode) -> Vec<&'static str> {
        let has = |since: &str| version(&self.release) >= version(since);
        let tcx = attach != AttachMode::Clsact && has("6.6");
        let mut kept = Vec::new();
        if !tcx {
            kept.push("CAP_NET_ADMIN");
        }
        if !has("5.19") {
            kept.push("CAP_BPF");
        }
        kept
    }
}

impl fmt::Display for Features {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "Linux {}", self.release)?;
        for row in &self.rows {
            let (mark, rest) = if row.present { ("yes", String::new()) } else { ("no", format!("; without it: {}", row.without)) };
            writeln!(to, "  {mark:<3} {} (since {}){rest}", row.name, row.since)?;
        }
        Ok(())
    }
}

/// Major and minor out of a release such as "6.18.44-generic".
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(release: &str) -> Features {
        Features { release: release.into(), rows: Vec::new() }
    }

    #[test]
    fn capabilities_kept_follow_kernel_and_way_of_attaching() {
        assert!(on("6.18.44-x").kept_capabilities(AttachMode::Auto).is_empty());
        assert_eq!(on("6.18").kept_capabilities(AttachMode::Clsact), ["CAP_NET_ADMIN"]);
        assert_eq!(on("6.1.0-13-amd64").kept_capabilities(AttachMode::Auto), ["CAP_NET_ADMIN"]);
        assert_eq!(on("5.15.0").kept_capabilities(AttachMode::Auto), ["CAP_NET_ADMIN", "CAP_BPF"]);
    }

    #[test]
    fn the_table_says_what_happens_without() {
        let text = Features::of_running_kernel(&Reasons::default()).to_string();
        assert!(text.contains("reasons for drops (since 5.17); without it: drops are not seen"), "{text}");
    }
}
