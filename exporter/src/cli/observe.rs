//! The flags of `flowlog observe`: those of `hubble observe` under the same names (`spec/hubble.md` §9.5), and `--input-file`'s defaults of ours.
//!
//! Only the syntax stands here. `--not` belongs to the flag after it, so whoever builds filters needs the positions of the flags
//! on the command line: take them from [`clap::ArgMatches::indices_of`] under the names of the fields.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of `flowlog observe`.
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES, args_override_self = true)]
pub struct ObserveArgs {
    /// What to read [default: flows]
    #[arg(value_enum, value_name = "WHAT")]
    pub what: Option<Observed>,
    /// Which events, and how many.
    #[command(flatten)]
    pub selection: Selection,
    /// Filters.
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Form of the output.
    #[command(flatten)]
    pub format: FormatArgs,
}

const EXAMPLES: &str = "\
Examples:
  flowlog observe --last 100 --verdict DROPPED
  flowlog observe --follow --namespace shop --protocol http -o json
  flowlog observe --input-file events.log --from-pod shop/cart- --not --to-port 53";

/// Kinds of events.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Network flows.
    Flows,
    /// Events of the Cilium agent.
    AgentEvents,
    /// Debug events of the datapath.
    DebugEvents,
}

/// Which events to read, and how many.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Every event there is.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub all: Option<bool>,
    /// The oldest N events.
    #[arg(long, value_name = "N")]
    pub first: Option<u64>,
    /// The newest N events [default: 20, all with --input-file]
    #[arg(long, value_name = "N")]
    pub last: Option<u64>,
    /// Go on with new events as they are written.
    #[arg(long, short = 'f', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub follow: Option<bool>,
    /// Events from this time on: a duration back from now (`5m`), or a date and time, RFC 3339 among others.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Events up to this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Read this file, plain, `.gz` or `.zst`, with its rotated predecessors; `-` is standard input [default: events.log of the daemon here]
    #[arg(long, value_name = "FILE")]
    pub input_file: Option<PathBuf>,
    /// A file with raw filters, as --print-raw-filters prints it.
    #[arg(long, value_name = "FILE", env = "HUBBLE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Form of the output.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct FormatArgs {
    /// compact, dict, table (tab), json (jsonpb) [default: compact]
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// Only these fields, in proto spelling, comma-separated.
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    pub field_mask: Vec<String>,
    /// Ask only for the fields the format shows [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub use_default_field_masks: Option<bool>,
    /// StampMilli, RFC3339, RFC3339Milli, RFC3339Micro, RFC3339Nano or RFC1123Z [default: StampMilli]
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<String>,
    /// Print the node's name.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub print_node_name: Option<bool>,
    /// Print the policies that decided.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub print_policy_names: Option<bool>,
    /// Print names instead of addresses [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub ip_translation: Option<bool>,
    /// Print addresses and numbers only.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub numeric: Option<bool>,
    /// auto, always or never [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<String>,
    /// Print the filters these flags make, and do nothing else.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub print_raw_filters: Option<bool>,
    /// Say nothing about events that cannot be printed.
    #[arg(long, short = 's', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub silent_errors: Option<bool>,
    /// Say on standard error what is being done.
    #[arg(long, short = 'D', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_parser = truth)]
    pub debug: Option<bool>,
}

macro_rules! filters {
    ($($(#[$meta:meta])* $name:ident: $value:literal $($short:literal)?;)*) => {
        /// Filters. A flag given repeatedly matches any of its values, different flags all have to match, and one without
        /// direction matches either side.
        #[derive(Args, Debug, Default)]
        #[command(next_help_heading = "Filters (each repeatable)")]
        pub struct FilterArgs {
            /// Turn the next filter round: events that match it are left out.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub not: Vec<String>,
            $($(#[$meta])* #[arg(long, value_name = $value, allow_hyphen_values = true $(, short = $short)?)] pub $name: Vec<String>,)*
            /// Pods of every namespace.
            #[arg(long, short = 'A', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub all_namespaces: Vec<String>,
            /// The same, source side.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub from_all_namespaces: Vec<String>,
            /// The same, destination side.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub to_all_namespaces: Vec<String>,
            /// Only replies.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub reply: Vec<String>,
            /// No replies.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub not_reply: Vec<String>,
            /// Only encrypted traffic.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub encrypted: Vec<String>,
            /// Only traffic in clear.
            #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub unencrypted: Vec<String>,
            /// Only IPv4.
            #[arg(long, short = '4', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub ipv4: Vec<String>,
            /// Only IPv6.
            #[arg(long, short = '6', value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
            pub ipv6: Vec<String>,
        }
    };
}

filters! {
    /// `[NAMESPACE/]NAME-PREFIX`; without a namespace, `default`.
    pod: "POD";
    /// The same, source side.
    from_pod: "POD";
    /// The same, destination side.
    to_pod: "POD";
    /// Namespace.
    namespace: "NAMESPACE" 'n';
    /// The same, source side.
    from_namespace: "NAMESPACE";
    /// The same, destination side.
    to_namespace: "NAMESPACE";
    /// Address or network.
    ip: "IP";
    /// The same, source side.
    from_ip: "IP";
    /// The same, destination side.
    to_ip: "IP";
    /// Source address after translation.
    snat_ip: "IP";
    /// DNS name, `*` allowed.
    fqdn: "NAME";
    /// The same, source side.
    from_fqdn: "NAME";
    /// The same, destination side.
    to_fqdn: "NAME";
    /// Label selector, as in `app=web,tier!=db`.
    label: "SELECTOR" 'l';
    /// The same, source side.
    from_label: "SELECTOR";
    /// The same, destination side.
    to_label: "SELECTOR";
    /// `[NAMESPACE/]NAME-PREFIX` of a service.
    service: "SERVICE";
    /// The same, source side.
    from_service: "SERVICE";
    /// The same, destination side.
    to_service: "SERVICE";
    /// `[KIND/]NAME` of a workload.
    workload: "WORKLOAD";
    /// The same, source side.
    from_workload: "WORKLOAD";
    /// The same, destination side.
    to_workload: "WORKLOAD";
    /// Port number.
    port: "PORT";
    /// The same, source side.
    from_port: "PORT";
    /// The same, destination side.
    to_port: "PORT";
    /// Identity, a number or a reserved name.
    identity: "IDENTITY";
    /// The same, source side.
    from_identity: "IDENTITY";
    /// The same, destination side.
    to_identity: "IDENTITY";
    /// Cluster name.
    cluster: "CLUSTER";
    /// The same, source side.
    from_cluster: "CLUSTER";
    /// The same, destination side.
    to_cluster: "CLUSTER";
    /// `TYPE[:SUBTYPE]`: capture, drop, l7, policy-verdict, trace, trace-sock, agent, or a number.
    r#type: "TYPE" 't';
    /// FORWARDED, DROPPED, ERROR, AUDIT, REDIRECTED, TRACED or TRANSLATED.
    verdict: "VERDICT";
    /// Reason of a drop, as in POLICY_DENIED.
    drop_reason_desc: "REASON";
    /// Flags that must all be set, as in `syn,ack`.
    tcp_flags: "FLAGS";
    /// none, v4 or v6.
    ip_version: "VERSION";
    /// Protocol of layer 4 or 7, as in `tcp` or `dns`.
    protocol: "PROTOCOL";
    /// ingress, egress or unknown.
    traffic_direction: "DIRECTION";
    /// Name of a network interface.
    interface: "NAME";
    /// `[CLUSTER/]NODE`, `*` allowed.
    node_name: "NODE";
    /// Selector over the node's labels.
    node_label: "SELECTOR";
    /// Trace id of a request.
    trace_id: "ID";
    /// Trace id in the IP options.
    ip_trace_id: "ID";
    /// UUID of an event.
    uuid: "UUID";
    /// HTTP status, as in `404` or `5+`.
    http_status: "STATUS";
    /// HTTP method.
    http_method: "METHOD";
    /// Regular expression on the path of a URL.
    http_path: "REGEX";
    /// Regular expression on a whole URL.
    http_url: "REGEX";
    /// `KEY:VALUE` of an HTTP header.
    http_header: "HEADER";
    /// CEL expression over `_flow`.
    cel_expression: "CEL";
    /// Raw filter, JSON; added to what the other flags allow.
    allowlist: "JSON";
    /// Raw filter, JSON; added to what the other flags leave out.
    denylist: "JSON";
}

/// The value of a switch, as `hubble` takes it: `--numeric=false`.
fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use crate::cli::{Cli, Command};

    #[test]
    fn the_position_of_each_not_is_known() {
        let words = "flowlog observe --not --verdict DROPPED --from-pod a/ --not --to-port 53 -4";
        let matches = Cli::command().try_get_matches_from(words.split_whitespace()).unwrap();
        let observe = matches.subcommand_matches("observe").unwrap();
        let positions = |name: &str| observe.indices_of(name).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        let (not, verdict, port) = (positions("not"), positions("verdict"), positions("to_port"));
        assert_eq!((not.len(), verdict.len(), port.len()), (2, 1, 1));
        assert!(not[0] < verdict[0] && verdict[0] < not[1] && not[1] < port[0]);
        let Command::Observe(arguments) = Cli::from_arg_matches(&matches).unwrap().command else { panic!("not observe") };
        assert_eq!(arguments.filters.from_pod, ["a/"]);
        assert_eq!(arguments.filters.ipv4, ["true"]);
    }
}
