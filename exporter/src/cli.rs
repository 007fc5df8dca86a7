//! The command line: every command and flag of `flowlog`, defined once.
//!
//! Completions, the man page and the reference are generated from these definitions, so a flag's doc line is its documentation:
//! it gives the default and the unit. What a flag does is decided by the command in `commands`; nothing here has an effect.
//! Settings of the daemon are `Option`s because the settings file may give them too; [`crate::config::settings`] joins the two.

pub mod observe;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use observe::ObserveArgs;

/// Drains network flows from the kernel or Hubble and delivers them, provably complete.
#[derive(Parser, Debug)]
#[command(name = "flowlog", version, about, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 good, 1 failure while running, 2 wrong usage or configuration.

Examples:
  flowlog check flowlog.yaml                              what a file would do, or what is wrong with it
  flowlog run --config flowlog.yaml --interface eth0      the daemon
  flowlog replay --config flowlog.yaml recorded.jsonl     the same, over recorded flows
  flowlog observe --follow --verdict DROPPED              flows as they are written";

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the daemon.
    Run(Box<RunArgs>),
    /// Validate a flowlog.yaml and say what it would do.
    Check(CheckArgs),
    /// Run a configuration over recorded flows, and deliver.
    Replay(ReplayArgs),
    /// Read flows back, with the flags of `hubble observe`.
    Observe(Box<ObserveArgs>),
    /// Say what the daemon is doing: sources, lag, gaps, last rejected reload. Exits 1 when something that was asked for does not run, or a sink fails.
    Status(StatusArgs),
    /// Take the kernel programs and their pins away, after their last counts have been delivered.
    Detach(DetachArgs),
    /// Look into a state folder.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Print a shell completion script.
    Completions(CompletionsArgs),
    /// Print the man page, or write one page per command into a folder.
    Man(ManArgs),
    /// Print the reference of every configuration key, metric and flag, as Markdown.
    #[command(hide = true)]
    Reference,
}

/// Flags of `flowlog run`. Each but `--config` and `--settings` may stand in the settings file instead; the flag wins.
#[derive(Args, Debug, Default)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// The flow logs and sinks; read again whenever it changes and on SIGHUP.
    #[arg(long, short = 'c', value_name = "FILE", env = "FLOWLOG_CONFIG")]
    pub config: PathBuf,
    /// The daemon's own settings, a YAML file with the long names of these flags in camelCase. Not read again while running.
    #[arg(long, value_name = "FILE", env = "FLOWLOG_SETTINGS")]
    pub settings: Option<PathBuf>,
    /// Hubble metrics from a file of their own instead, Cilium's `dynamic-metrics.yaml`. Not read again while running.
    #[arg(long, value_name = "FILE", conflicts_with = "metrics")]
    pub metrics_config: Option<PathBuf>,
    /// Reject configuration files with keys that Cilium would ignore.
    #[arg(long)]
    pub strict: bool,
    /// Accept a reload that shortens a retention.
    #[arg(long)]
    pub allow_shorter_retention: bool,
    /// Settings that the settings file may give too.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

const RUN_EXAMPLES: &str = "\
Examples:
  flowlog run --config flowlog.yaml
  flowlog run --config flowlog.yaml --interface eth0 --interface 'veth*' --interface lo
  flowlog run --config flowlog.yaml --source jsonl:/var/run/cilium/hubble/events.log
  flowlog run --config flowlog.yaml --settings settings.yaml --listen 127.0.0.1:9965";

/// Settings of the daemon that do not change while it runs.
#[derive(Args, Debug, Default, Clone)]
pub struct DaemonArgs {
    /// Where flows come from: `kernel`, `jsonl:PATH` (Hubble's exported file, followed over rotations) or `-` (standard input). Repeatable [default: kernel]
    #[arg(long = "source", value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Interfaces to watch, by name or glob, `lo` included. Repeatable [default: the uplink and the host side of pod veths]
    #[arg(long = "interface", short = 'i', value_name = "NAME")]
    pub interfaces: Vec<String>,
    /// How the programs are attached [default: auto, which is tcx from Linux 6.6 on]
    #[arg(long, value_enum, value_name = "HOW")]
    pub attach: Option<Attach>,
    /// Who the addresses are: a YAML or JSON file of addresses and networks.
    #[arg(long, value_name = "FILE", env = "FLOWLOG_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// Folder of intake, spools and cursors [default: /var/lib/flowlog]
    #[arg(long, value_name = "FOLDER", env = "FLOWLOG_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Address of /metrics, /healthz and /readyz; `off` for none [default: 127.0.0.1:9965]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Serve that address over TLS with this certificate, PEM; read again when it changes. With --listen-key-file [default: plain HTTP]
    #[arg(long, value_name = "FILE")]
    pub listen_cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, value_name = "FILE")]
    pub listen_key_file: Option<PathBuf>,
    /// Let in only clients with a certificate of this authority, PEM: mutual TLS.
    #[arg(long, value_name = "FILE")]
    pub listen_client_ca_file: Option<PathBuf>,
    /// Hubble metrics in Cilium's syntax, as in `httpV2:exemplars=true;labelsContext=source_ip`. Repeatable [default: dns drop tcp flow icmp httpV2]
    #[arg(long = "metrics", value_name = "SPEC")]
    pub metrics: Vec<String>,
    /// Name of this node in `node_name` [default: the host name]
    #[arg(long, value_name = "NAME", env = "FLOWLOG_NODE_NAME")]
    pub node_name: Option<String>,
    /// Name of the cluster; stands in object keys and before the node's name [default: default]
    #[arg(long, value_name = "NAME", env = "FLOWLOG_CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// Upper bound of the intake on disk, as in `64MiB` [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    pub intake_max_bytes: Option<String>,
    /// Size of the kernel ring, rounded up to a power of two, as in `64KiB` [default: 1 MiB per CPU, between 8 and 64 MiB]
    #[arg(long, value_name = "SIZE")]
    pub ring_bytes: Option<String>,
    /// Flows the kernel can hold at a time; further ones are folded [default: 131072]
    #[arg(long, value_name = "COUNT")]
    pub flow_rows: Option<u32>,
    /// How often the kernel reports an active flow [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub report_interval: Option<String>,
    /// Part of the disk, in percent, that spools leave free [default: 10]
    #[arg(long, value_name = "PERCENT")]
    pub disk_reserve_percent: Option<u8>,
    /// Folder in bpffs for programs, maps and links [default: /sys/fs/bpf/flowlog, and a part that stands for the state folder]
    #[arg(long, value_name = "FOLDER")]
    pub pin_dir: Option<PathBuf>,
    /// The daemon's own log: `text` or `json`, on standard error [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Level of the daemon's own log, as `info` or per module, as in `flowlog=debug` [default: info]
    #[arg(long, value_name = "LEVEL", env = "FLOWLOG_LOG")]
    pub log_level: Option<String>,
    /// Write the daemon's own log into this folder, a file per day, instead of standard error.
    #[arg(long, value_name = "FOLDER")]
    pub log_dir: Option<PathBuf>,
}

/// How kernel programs are attached.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// tcx where the kernel has it, else clsact.
    #[default]
    Auto,
    /// Only tcx, Linux 6.6 and later.
    Tcx,
    /// A clsact qdisc and its filters.
    Clsact,
}

/// Form of the daemon's own log.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text per event.
    #[default]
    Text,
    /// A JSON object per event.
    Json,
}

/// Flags of `flowlog check`.
#[derive(Args, Debug, Default)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// The file to check; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// `text` says in prose what the file would do, `json` prints it with all defaults filled in.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
    /// Fail on keys that Cilium would ignore, and on keys given twice.
    #[arg(long)]
    pub strict: bool,
    /// Where flows will come from, to warn of what they cannot supply: `kernel`, `jsonl` or `hubble`. Repeatable [default: kernel]
    #[arg(long = "source", value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Check this file of identities too, and count what it supplies.
    #[arg(long, value_name = "FILE", env = "FLOWLOG_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// Check this file of the daemon's settings too, its metrics and their filters among them.
    #[arg(long, value_name = "FILE", env = "FLOWLOG_SETTINGS")]
    pub settings: Option<PathBuf>,
    /// Lines per second to expect, for how long an outage the spool survives.
    #[arg(long, value_name = "LINES", default_value_t = 1000)]
    pub rate: u64,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  flowlog check flowlog.yaml
  flowlog check --strict --rate 20000 flowlog.yaml        fails on ignored keys too; outage survived at 20 000 lines/s
  flowlog check -o json flowlogs.yaml | jq '.flowLogs[].name'";

/// Form of a report.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Flags of `flowlog replay`.
#[derive(Args, Debug, Default)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// The flow logs and sinks.
    #[arg(long, short = 'c', value_name = "FILE", env = "FLOWLOG_CONFIG")]
    pub config: PathBuf,
    /// Recorded flows, JSON lines, plain, `.gz` or `.zst`; `-` is standard input [default: -]
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// Name of the node, for events that do not carry one [default: the host name]
    #[arg(long, value_name = "NAME", env = "FLOWLOG_NODE_NAME")]
    pub node_name: Option<String>,
    /// Name of the cluster [default: default]
    #[arg(long, value_name = "NAME", env = "FLOWLOG_CLUSTER_NAME")]
    pub cluster_name: Option<String>,
    /// Folder of spools and cursors, kept afterwards; an interrupted replay goes on there [default: a temporary one, removed once all is delivered]
    #[arg(long, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,
    /// Who the addresses are, for flows without names.
    #[arg(long, value_name = "FILE", env = "FLOWLOG_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// Hubble metrics to compute, in Cilium's syntax. Repeatable [default: dns drop tcp flow icmp httpV2]
    #[arg(long = "metrics", value_name = "SPEC")]
    pub metrics: Vec<String>,
    /// Hubble metrics to compute, from a file: Cilium's `dynamic-metrics.yaml`, with its filters.
    #[arg(long, value_name = "FILE", conflicts_with = "metrics")]
    pub metrics_config: Option<PathBuf>,
    /// Write the final metrics to this file, in the text format.
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// Reject configuration files with keys that Cilium would ignore.
    #[arg(long)]
    pub strict: bool,
}

const REPLAY_EXAMPLES: &str = "\
Examples:
  flowlog replay --config flowlog.yaml recorded.jsonl
  zcat events-*.log.gz | flowlog replay --config flowlog.yaml --node-name n1 -";

/// Flags of `flowlog status`.
#[derive(Args, Debug, Default)]
pub struct StatusArgs {
    /// `text` or `json`.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
    /// The daemon's state folder [default: /var/lib/flowlog]
    #[arg(long, value_name = "FOLDER", env = "FLOWLOG_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Flags of `flowlog detach`.
#[derive(Args, Debug, Default)]
pub struct DetachArgs {
    /// The daemon's state folder [default: /var/lib/flowlog]
    #[arg(long, value_name = "FOLDER", env = "FLOWLOG_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Folder in bpffs of programs, maps and links [default: as for `run` with the same state folder]
    #[arg(long, value_name = "FOLDER")]
    pub pin_dir: Option<PathBuf>,
    /// Deliver the last counts to the flow logs of this file before the pins go.
    #[arg(long, short = 'c', value_name = "FILE", env = "FLOWLOG_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What to look at in a state folder.
#[derive(Subcommand, Debug)]
pub enum SpoolCommand {
    /// List spools with their sequence ranges, cursors and sizes.
    Ls(SpoolArgs),
    /// Print records with their sequence numbers.
    Cat(SpoolCatArgs),
    /// Check every frame, sequence and commit.
    Verify(SpoolArgs),
}

/// Which spool.
#[derive(Args, Debug, Default)]
pub struct SpoolArgs {
    /// The state folder.
    #[arg(long, value_name = "FOLDER", env = "FLOWLOG_STATE_DIR", default_value = "/var/lib/flowlog")]
    pub state_dir: PathBuf,
    /// Only these flow logs; all by default.
    #[arg(value_name = "FLOW LOG")]
    pub flow_logs: Vec<String>,
    /// `text` or `json`.
    #[arg(long, short = 'o', value_enum, value_name = "FORMAT", default_value_t = OutputFormat::Text)]
    pub output: OutputFormat,
}

/// Which records.
#[derive(Args, Debug, Default)]
pub struct SpoolCatArgs {
    /// The spool.
    #[command(flatten)]
    pub spool: SpoolArgs,
    /// First sequence number.
    #[arg(long, value_name = "SEQUENCE")]
    pub from: Option<u64>,
    /// How many records at most.
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Print commits and gaps too.
    #[arg(long)]
    pub commits: bool,
}

/// Flags of `flowlog completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Flags of `flowlog man`.
#[derive(Args, Debug, Default)]
pub struct ManArgs {
    /// Write `flowlog.1` and a page per command here instead of printing one.
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_issue_parse_as_written_there() {
        for line in [
            "flowlog run --config f --interface eth0 --interface lo --source kernel --source jsonl:/x --source - --identities i \
             --state-dir d --listen 127.0.0.1:1 --node-name n --cluster-name c",
            "flowlog check -o json f",
            "flowlog replay --config f --node-name n1 -",
            "flowlog replay --config f --metrics-file m --state-dir d a b",
            "flowlog status -o json",
            "flowlog detach",
            "flowlog spool ls",
            "flowlog spool cat all --from 3 --limit 2",
            "flowlog spool verify",
        ] {
            Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
