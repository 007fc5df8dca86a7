//! Guarantee 1, from the lines alone and from the metrics: what they add up to, held against an interface's own counters.

use std::collections::HashSet;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::lab::Counters;

/// Packets and bytes of lines, by what their counts mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets that left.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Packets that entered and were not seen again.
    pub traced: u64,
    /// Packets that were dropped.
    pub dropped: u64,
    /// Packets of no flow.
    pub unattributed: u64,
    /// Sightings at further interfaces.
    pub other: u64,
    /// Packets in declared gaps.
    pub gaps: u64,
    /// Causes of gaps.
    pub causes: Vec<String>,
}

impl Totals {
    /// Of the lines of a router that neither opens connections nor is connected to, but for the test's own requests over its `lo`.
    pub fn of(lines: &[Value]) -> Totals {
        let mut totals = Totals::default();
        for flow in lines.iter().map(|line| &line["flow"]).filter(|flow| flow["IP"]["source"] != "127.0.0.1") {
            let value = &flow["extensions"]["value"];
            let packets = value["packets"].as_u64().unwrap_or(0);
            totals.other += value["other"].as_u64().unwrap_or(0);
            if let Some(gap) = value.get("gap") {
                totals.gaps += gap["packets"].as_u64().unwrap_or(0);
                totals.causes.push(gap["cause"].as_str().unwrap_or_default().to_owned());
            } else if value["unattributed"] == true {
                totals.unattributed += packets;
            } else {
                match flow["verdict"].as_str() {
                    Some("FORWARDED") => {
                        assert_ne!(flow["trace_observation_point"], "TO_HOST", "nothing is for the router itself: {flow}");
                        totals.forwarded += packets;
                        totals.forwarded_bytes += value["bytes"].as_u64().unwrap_or(0);
                    }
                    Some("TRACED") => totals.traced += packets,
                    Some("DROPPED") => totals.dropped += packets,
                    other => panic!("a line of verdict {other:?}: {flow}"),
                }
            }
        }
        totals
    }

    /// Asserts that the lines cover exactly what the router's interfaces counted.
    pub fn assert_account_for(&self, counted: Counters) {
        assert_eq!(self.forwarded, counted.sent, "left: {self:?} {counted:?}");
        assert_eq!(self.forwarded_bytes, counted.sent_bytes, "bytes that left: {self:?} {counted:?}");
        assert_eq!(self.forwarded + self.traced + self.dropped, counted.received, "entered: {self:?} {counted:?}");
        assert_eq!((self.unattributed, self.other, self.gaps), (0, 0, 0), "{self:?}");
    }
}

/// Asserts that no line of its own uuid stands twice.
pub fn assert_each_once(lines: &[Value]) {
    let uuids: Vec<&str> = lines.iter().filter_map(|line| line["flow"]["uuid"].as_str()).collect();
    let mut seen = HashSet::new();
    for uuid in uuids {
        assert!(seen.insert(uuid), "{uuid} stands twice");
    }
}

/// Waits until the metrics hold every packet that the interfaces counted, and checks guarantee 1 in them.
pub fn assert_metrics_account_for(daemon: &Daemon, counted: Counters) {
    const PACKETS: &str = "flowlog_interface_packets_total";
    daemon.wait("the metrics to hold every packet", |daemon| {
        let metrics = daemon.metrics();
        let seen = |side| metrics.sum(PACKETS, &[side, r#"term="seen""#]);
        (seen(r#"side="entered""#), seen(r#"side="left""#)) == (counted.received, counted.sent)
    });
    let metrics = daemon.metrics();
    for side in [r#"side="entered""#, r#"side="left""#] {
        let term = |name: &str| metrics.sum(PACKETS, &[side, &format!("term=\"{name}\"")]);
        assert_eq!(term("seen"), term("unparsed") + term("rows") + term("other") + term("folded") + term("unattributed"), "{side}");
    }
    assert_eq!(metrics.sum("flowlog_accounting_violations", &[]), 0);
}
