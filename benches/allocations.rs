//! How often the hot path asks for memory: never, once a flow is in the cache and its line in the fold table.
//!
//! `cargo test -p flowlog-benches --test allocations -- --nocapture` prints what it counted.

use flowlog::config;
use flowlog::identity::Identities;
use flowlog::pipeline::fold::FoldTable;
use flowlog::pipeline::kernel_events::{Context, KernelEvents};
use flowlog::pipeline::line::{self, Uuid};
use flowlog::pipeline::log::CompiledLog;
use flowlog::pipeline::surroundings::{Side, Surroundings};
use flowlog::pipeline::totals::Totals;
use flowlog_benches::events::report;
use flowlog_bpf::event::Event;

const FLOWS: u32 = 1000;
const ENTRY: &str = "flowLogs:
  - name: bench
    filePath: events.log
    includeFilters: [{protocol: [tcp], destination_port: ['443']}]
    fieldMask: [time, uuid, verdict, IP, l4, source.namespace, source.pod_name, destination.namespace, Summary, extensions]
";

#[test]
fn an_event_of_a_cached_flow_and_the_line_it_ends_in_allocate_nothing() {
    let file = config::read(ENTRY.as_bytes(), false).expect("a valid configuration").file;
    let log = CompiledLog::build(&file.flow_logs[0], &[]).expect("it builds");
    let mut around = Surroundings { node_name: "node".to_owned(), ..Surroundings::default() };
    around.interfaces.insert(2, ("eth0".to_owned(), Side::Network));
    let identities = Identities::new(&[], "node");
    let (mut kernel, mut fold, mut totals) = (KernelEvents::new(10_000), FoldTable::new(10_000), Totals::default());
    let events: Vec<Event> = (0..FLOWS).map(|number| Event::Flow(report(number))).collect();
    let (mut text, mut lines) = (Vec::with_capacity(1 << 20), 0u64);
    let mut window = |arrival: i64| {
        let mut cx =
            Context { log: &log, identities: &identities, around: &around, fold: &mut fold, totals: &mut totals, arrival, clock_offset: 0 };
        for _ in 0..10 {
            kernel.apply(&events, &mut cx);
        }
        kernel.hear(arrival);
        kernel.settle(&mut cx);
        text.clear();
        fold.drain(|group| {
            line::write(group.prepared, group.sums, &Uuid::new([0; 16]), &around, &mut text);
            lines += 1;
        });
    };
    // The first windows fill the caches.
    (1..4).for_each(|second| window(second * 1_000_000_000));
    let counted = allocation_counter::measure(|| (4..14).for_each(|second| window(second * 1_000_000_000)));
    assert_eq!(lines, u64::from(FLOWS) * 13);
    println!("{} events in {} lines: {} allocations", FLOWS * 100, FLOWS * 10, counted.count_total);
    assert_eq!(counted.count_total, 0);
}
