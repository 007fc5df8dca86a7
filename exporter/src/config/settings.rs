//! The daemon's own settings: from flags, from a small YAML file under the same names in camelCase, and from defaults, in this order.
//!
//! They hold as long as the daemon runs. What depends on the machine (the host's name, the ring's default size) is left open here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{At, Fields, Unknown};
use super::keys::SETTINGS;
use super::metrics;
use super::place::{Place, Problems};
use super::yaml::{Kind, Mark, Node, Scalar};
use crate::cli::{Attach, DaemonArgs, LogFormat};
use crate::daemon::logging;
use crate::metrics::hubble::spec::Specs;
use crate::metrics::tls::ListenTls;

/// Default of `stateDir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/flowlog";
/// Default of `listen`.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9965";
/// Default of `metrics`, as `hubble` has it.
pub const DEFAULT_METRICS: [&str; 6] = ["dns", "drop", "tcp", "flow", "icmp", "httpV2"];
const LONGEST_REPORT_INTERVAL: Duration = Duration::from_secs(300);
const SHORTEST_REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Where flows come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceSpec {
    /// Programs in this machine's kernel.
    Kernel,
    /// A file of JSON lines, followed over its rotations.
    JsonLines(PathBuf),
    /// JSON lines on standard input.
    StandardInput,
}

impl SourceSpec {
    /// Reads `kernel`, `jsonl:PATH` or `-`.
    pub fn parse(text: &str) -> Option<Self> {
        match (text, text.strip_prefix("jsonl:")) {
            ("kernel", _) => Some(SourceSpec::Kernel),
            ("-", _) | (_, Some("-")) => Some(SourceSpec::StandardInput),
            (_, Some(path)) if !path.is_empty() => Some(SourceSpec::JsonLines(path.into())),
            _ => None,
        }
    }
}

/// All settings of the daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where flows come from; never empty.
    pub sources: Vec<SourceSpec>,
    /// Interfaces by name or glob; empty for the default choice.
    pub interfaces: Vec<String>,
    /// How programs are attached.
    pub attach: Attach,
    /// File of identities.
    pub identities: Option<PathBuf>,
    /// Folder of intake, spools and cursors.
    pub state_dir: PathBuf,
    /// Address of the listener, `None` for none.
    pub listen: Option<SocketAddr>,
    /// TLS of the listener.
    pub listen_tls: Option<ListenTls>,
    /// Hubble metrics.
    pub metrics: Specs,
    /// This node's name, where it is not the host's.
    pub node_name: Option<String>,
    /// The cluster's name.
    pub cluster_name: String,
    /// Bound of the intake in bytes.
    pub intake_max_bytes: u64,
    /// Size of the ring in bytes, where it is not the machine's default.
    pub ring_bytes: Option<u32>,
    /// Rows of the kernel's flow table.
    pub flow_rows: u32,
    /// How often an active flow is reported.
    pub report_interval: Duration,
    /// Percent of the disk that stays free.
    pub disk_reserve_percent: u8,
    /// Folder of the pins, where it is not the default.
    pub pin_dir: Option<PathBuf>,
    /// Form of the daemon's log.
    pub log_format: LogFormat,
    /// Level of the daemon's log.
    pub log_level: String,
    /// Folder of the daemon's log, standard error otherwise.
    pub log_dir: Option<PathBuf>,
    /// What works, but probably not as expected.
    pub warnings: Problems,
}

/// Joins flags with the text of a settings file, if there is one.
///
/// # Errors
/// Everything that is wrong in either, flags named as such, warnings included.
pub fn settings(flags: &DaemonArgs, file: Option<&[u8]>) -> Result<Settings, Problems> {
    let mut problems = Problems::default();
    let root = match file {
        Some(text) => super::yaml::parse(text, &mut problems),
        None => None,
    };
    let at = root.as_ref().filter(|root| !root.is_null()).map(|root| At::new(root, String::new()));
    let fields = at.as_ref().and_then(|at| Fields::take(at, &[SETTINGS], Unknown::Reject, &mut problems));
    let mut settings = Reader { fields: fields.as_ref(), problems: &mut problems }.settings(flags);
    #[cfg(test)]
    fields.iter().for_each(Fields::assert_all_asked);
    problems.sort();
    if problems.0.iter().any(|problem| !problem.is_harmless(true)) {
        return Err(problems);
    }
    settings.warnings = problems;
    Ok(settings)
}

struct Reader<'r> {
    fields: Option<&'r Fields<'r>>,
    problems: &'r mut Problems,
}

impl Reader<'_> {
    fn settings(mut self, flags: &DaemonArgs) -> Settings {
        let sources = self.list("--source", &flags.sources, "sources", source);
        Settings {
            sources: if sources.is_empty() { vec![SourceSpec::Kernel] } else { sources },
            interfaces: self.list("--interface", &flags.interfaces, "interfaces", word),
            attach: flags.attach.or_else(|| self.in_file("attach", attach)).unwrap_or_default(),
            identities: self.path(flags.identities.as_deref(), "identities"),
            state_dir: self.path(flags.state_dir.as_deref(), "stateDir").unwrap_or_else(|| DEFAULT_STATE_DIR.into()),
            listen: match self.text("--listen", flags.listen.as_deref(), "listen", listen) {
                Some(listen) => listen,
                None => DEFAULT_LISTEN.parse().ok(),
            },
            listen_tls: self.listen_tls(flags),
            metrics: self.metrics(&flags.metrics),
            node_name: self.text("--node-name", flags.node_name.as_deref(), "nodeName", name),
            cluster_name: self
                .text("--cluster-name", flags.cluster_name.as_deref(), "clusterName", name)
                .unwrap_or_else(|| "default".into()),
            intake_max_bytes: self
                .text("--intake-max-bytes", flags.intake_max_bytes.as_deref(), "intakeMaxBytes", |at, problems| at.size(problems, 1 << 20))
                .unwrap_or(256 << 20),
            ring_bytes: self.text("--ring-bytes", flags.ring_bytes.as_deref(), "ringBytes", ring_bytes),
            flow_rows: self.number("--flow-rows", flags.flow_rows.map(u64::from), "flowRows", 64, 4_194_304).unwrap_or(131_072),
            report_interval: self
                .text("--report-interval", flags.report_interval.as_deref(), "reportInterval", |at, problems| {
                    at.duration_within(problems, SHORTEST_REPORT_INTERVAL, LONGEST_REPORT_INTERVAL)
                })
                .unwrap_or(Duration::from_secs(5)),
            disk_reserve_percent: self
                .number("--disk-reserve-percent", flags.disk_reserve_percent.map(u64::from), "diskReservePercent", 0, 90)
                .and_then(|percent| u8::try_from(percent).ok())
                .unwrap_or(10),
            pin_dir: self.path(flags.pin_dir.as_deref(), "pinDir"),
            log_format: flags.log_format.or_else(|| self.in_file("logFormat", log_format)).unwrap_or_default(),
            log_level: self.text("--log-level", flags.log_level.as_deref(), "logLevel", log_level).unwrap_or_else(|| "info".into()),
            log_dir: self.path(flags.log_dir.as_deref(), "logDir"),
            warnings: Problems::default(),
        }
    }

    /// The metrics; flags replace those of the file.
    fn metrics(&mut self, given: &[String]) -> Specs {
        let of_file = self.fields.and_then(|fields| fields.whole("metrics", self.problems, metrics::of_list));
        of_file.filter(|_| given.is_empty()).unwrap_or_else(|| metrics::of_flags(given, self.problems))
    }

    fn in_file<T>(&mut self, key: &'static str, decode: impl Fn(&At<'_>, &mut Problems) -> Option<T>) -> Option<T> {
        self.fields?.value(key, self.problems, |at, problems| decode(at, problems))
    }

    /// A value given as text by a flag, or by the file; both go through the same checks.
    fn text<T>(
        &mut self,
        flag: &str,
        given: Option<&str>,
        key: &'static str,
        decode: impl Fn(&At<'_>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        let of_file = self.in_file(key, &decode);
        match given {
            Some(text) => decode(&At { node: &node(text), place: flag_place(flag) }, self.problems),
            None => of_file,
        }
    }

    fn path(&mut self, given: Option<&Path>, key: &'static str) -> Option<PathBuf> {
        let of_file = self.in_file(key, word).map(PathBuf::from);
        given.map(Path::to_owned).or(of_file)
    }

    /// The listener's TLS: a certificate and its key belong together, and clients are only asked for theirs where there is one.
    fn listen_tls(&mut self, flags: &DaemonArgs) -> Option<ListenTls> {
        let cert_file = self.path(flags.listen_cert_file.as_deref(), "listenCertFile");
        let key_file = self.path(flags.listen_key_file.as_deref(), "listenKeyFile");
        let client_ca_file = self.path(flags.listen_client_ca_file.as_deref(), "listenClientCaFile");
        let mut missing = |flag: &str, other: &str| {
            let advice = format!("give --{flag} too: a certificate and its key belong together");
            self.problems.reject(&flag_place(other), format!("is given without --{flag}"), Some(advice));
        };
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => return Some(ListenTls { cert_file, key_file, client_ca_file }),
            (Some(_), None) => missing("listen-key-file", "--listen-cert-file"),
            (None, Some(_)) => missing("listen-cert-file", "--listen-key-file"),
            (None, None) if client_ca_file.is_some() => missing("listen-cert-file", "--listen-client-ca-file"),
            (None, None) => {}
        }
        None
    }

    fn number(&mut self, flag: &str, given: Option<u64>, key: &'static str, least: u64, most: u64) -> Option<u32> {
        let of_file = self.in_file(key, |at, problems| at.number(problems, least, most));
        if let Some(number) = given.filter(|number| !(least..=most).contains(number)) {
            self.problems.reject(&flag_place(flag), format!("{number} is not between {least} and {most}"), None);
        }
        given.or(of_file).and_then(|number| u32::try_from(number).ok())
    }

    /// A list; flags replace that of the file.
    fn list<T>(&mut self, flag: &str, given: &[String], key: &'static str, decode: impl Fn(&At<'_>, &mut Problems) -> Option<T>) -> Vec<T> {
        let of_file = self.fields.and_then(|fields| {
            fields.whole(key, self.problems, |at, problems| {
                let items = at.items(problems)?;
                Some(items.iter().filter_map(|item| decode(item, problems)).collect())
            })
        });
        if given.is_empty() {
            return of_file.unwrap_or_default();
        }
        given.iter().filter_map(|text| decode(&At { node: &node(text), place: flag_place(flag) }, self.problems)).collect()
    }
}

fn node(text: &str) -> Node {
    Node { mark: Mark::default(), kind: Kind::Scalar(Scalar::Text, text.to_owned()) }
}

fn flag_place(flag: &str) -> Place {
    Place { path: flag.to_owned(), ..Place::default() }
}

fn source(at: &At<'_>, problems: &mut Problems) -> Option<SourceSpec> {
    let text = at.word(problems)?;
    let source = SourceSpec::parse(&text);
    if source.is_none() {
        problems.reject(&at.place, format!("`{text}` is no source"), Some("write kernel, jsonl:PATH or -".into()));
    }
    source
}

fn word(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    at.word(problems)
}

fn attach(at: &At<'_>, problems: &mut Problems) -> Option<Attach> {
    at.choice(problems, &[("auto", Attach::Auto), ("tcx", Attach::Tcx), ("clsact", Attach::Clsact)])
}

fn log_format(at: &At<'_>, problems: &mut Problems) -> Option<LogFormat> {
    at.choice(problems, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

/// YAML 1.1 takes a bare `off` for false.
fn is_off(at: &At<'_>) -> bool {
    matches!(&at.node.kind, Kind::Scalar(Scalar::Bool(false), _))
}

fn log_level(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let text = if is_off(at) { "off".to_owned() } else { at.word(problems)? };
    if let Err(why) = logging::check_level(&text) {
        problems.reject(&at.place, why, Some("write off, error, warn, info, debug or trace, or per module as in flowlog=debug".into()));
    }
    Some(text)
}

/// `off`, or an address with a port.
fn listen(at: &At<'_>, problems: &mut Problems) -> Option<Option<SocketAddr>> {
    if is_off(at) {
        return Some(None);
    }
    let text = at.word(problems)?;
    if text == "off" {
        return Some(None);
    }
    let address = address(&text);
    if address.is_none() {
        problems.reject(
            &at.place,
            format!("`{text}` is no address with a port"),
            Some(format!("write it like {DEFAULT_LISTEN} or [::1]:9965, or off")),
        );
    }
    address.map(Some)
}

/// An address with a port. Brackets may stand round an IPv4 address too: a template that gets either kind can write them always.
fn address(text: &str) -> Option<SocketAddr> {
    let bracketed = || {
        let (host, port) = text.strip_prefix('[')?.split_once("]:")?;
        Some(SocketAddr::new(host.parse::<Ipv4Addr>().ok()?.into(), port.parse().ok()?))
    };
    text.parse().ok().or_else(bracketed)
}

/// Names stand in object keys and before a slash in `node_name`.
fn name(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    let text = at.word(problems)?;
    if text.contains('/') || text.chars().any(char::is_control) {
        problems.reject(
            &at.place,
            format!("`{}` cannot be a name", text.escape_debug()),
            Some("leave out slashes and control characters".into()),
        );
        return None;
    }
    Some(text)
}

fn ring_bytes(at: &At<'_>, problems: &mut Problems) -> Option<u32> {
    let bytes = at.size(problems, 4 << 10)?;
    if bytes > 1 << 30 {
        problems.reject(&at.place, "is more than 1GiB", None);
    }
    u32::try_from(bytes).ok()
}

#[cfg(test)]
mod tests;
