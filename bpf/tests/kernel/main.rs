//! The kernel side against real kernels: `sudo -E cargo test -p flowlog-bpf --test kernel`. One test binary, a file a
//! concern. Each test makes network namespaces and pins of its own and takes them away.

mod accounting;
mod common;
mod hostile;
mod lab;
mod offloads;
mod pins;
mod watch;
