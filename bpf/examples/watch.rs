//! Prints what the kernel reports about some interfaces for a few seconds, then takes everything away again.
//! Usage (as root): `cargo run -p flowlog-bpf --example watch -- 5 lo eth0`

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flowlog_bpf::event::{self, Event};
use flowlog_bpf::{Kernel, Options, Ring, Selection};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let names: Vec<String> = arguments.collect();
    let interfaces = if names.is_empty() { Selection::PodsAndUplink } else { Selection::Named(names) };
    let options = Options { pins: PathBuf::from("/sys/fs/bpf/flowlog/watch"), interfaces, ..Options::default() };
    let started = Kernel::start(&options)?;
    let mut kernel = started.kernel;
    println!("{}", kernel.features());
    println!("adopted: {}, drops: {}", started.adopted, kernel.sees_drops());
    started.changes.iter().for_each(|change| println!("{change:?}"));
    let mut rings = kernel.take_rings();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::thread::sleep(kernel.sweep_period());
        kernel.sweep()?;
        rings.iter_mut().for_each(print);
        kernel.interfaces_changed()?.iter().for_each(|change| println!("{change:?}"));
    }
    println!("{:#?}", kernel.counters()?);
    println!("{:?}", kernel.unreported()?);
    let mut rest = kernel.detach()?;
    println!("{:?}", rest.flush()?);
    rings.iter_mut().for_each(print);
    rest.remove()?;
    Ok(())
}

fn print(ring: &mut Ring) {
    while let Some(batch) = ring.peek(256 << 10) {
        for event in event::iterate(batch.bytes) {
            match event {
                Ok(Event::Flow(flow)) => println!("{flow:?}"),
                other => println!("{other:?}"),
            }
        }
        let end = batch.end();
        ring.release(end);
    }
}
