//! The kernel side against real kernels: `sudo -E cargo test -p flowlog-bpf --test kernel`. One test binary, a file a
//! concern. Each test makes network namespaces and pins of its own and takes them away.

#[cfg(test)]
mod accounting;
#[cfg(test)]
mod clsact;
#[cfg(test)]
mod common;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod offloads;
#[cfg(test)]
mod pins;
#[cfg(test)]
#[path = "../../../tests/lib/scale.rs"]
mod scale;
#[cfg(test)]
#[path = "../../../tests/lib/skip_line.rs"]
mod skip_line;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod watch;
