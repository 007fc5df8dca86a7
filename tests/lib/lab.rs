//! A lab of network namespaces: a client and a server, and between them a router, where the daemon under test runs.
//!
//! ```text
//! client 10.77.1.2 (eth0) ── (ra) 10.77.1.1 router 10.77.2.1 (rb) ── (eth0) 10.77.2.2 server
//!        fd77:1::2                fd77:1::1       fd77:2::1                fd77:2::2
//! ```
//! Neighbours are permanent and IPv6 is off until [`Lab::with_ipv6`], so that no packet flows but those that a test sends. Segmentation offloads are off, so
//! that an interface's own counters count packets of the wire. Everything goes away with the value.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The server's address.
pub const SERVER: &str = "10.77.2.2";
/// The client's address.
pub const CLIENT: &str = "10.77.1.2";
/// The router's address towards the client.
pub const ROUTER: &str = "10.77.1.1";

/// Runs a command line and returns what it printed; fails the test with its words if it fails.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}` failed: {text}");
    text
}

/// A network namespace.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one with `lo` up and without IPv6.
    pub fn new(word: &str) -> Namespace {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace { name: format!("fl-{}-{number}-{word}", std::process::id()) };
        sh(&format!("ip netns add {}", namespace.name));
        namespace.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; ip link set lo up");
        namespace
    }

    /// The name that `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside. Only the network is another one: `ip netns exec` would give it another `/sys` as well, and pins there would go with it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg(program);
        command
    }

    /// Runs a command line inside; fails the test with its words if it fails.
    pub fn sh(&self, line: &str) -> String {
        let output = self.command("sh").args(["-ec", line]).output().expect("nsenter starts");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`{line}` failed in {}: {text}", self.name);
        text
    }

    /// Runs a closure on a thread inside.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
            work()
        })
    }

    /// The kernel's own counters of an interface.
    pub fn counters(&self, interface: &str) -> Counters {
        let text = sh(&format!("ip -n {} -j -s link show {interface}", self.name));
        let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
        let count = |way: &str, unit: &str| value[0]["stats64"][way][unit].as_u64().expect("a counter");
        Counters {
            received: count("rx", "packets"),
            received_bytes: count("rx", "bytes"),
            sent: count("tx", "packets"),
            sent_bytes: count("tx", "bytes"),
            refused: count("tx", "dropped"),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing to do about a namespace that does not go: the test has ended.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// What the kernel counted on an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets in.
    pub received: u64,
    /// Bytes in, link header included.
    pub received_bytes: u64,
    /// Packets out.
    pub sent: u64,
    /// Bytes out.
    pub sent_bytes: u64,
    /// Packets that it was given and did not take: the hooks before it have seen them, `sent` has not.
    pub refused: u64,
}

impl Counters {
    /// What was counted since `before`.
    pub fn since(self, before: Counters) -> Counters {
        Counters {
            received: self.received - before.received,
            received_bytes: self.received_bytes - before.received_bytes,
            sent: self.sent - before.sent,
            sent_bytes: self.sent_bytes - before.sent_bytes,
            refused: self.refused - before.refused,
        }
    }

    /// Of two interfaces together.
    pub fn and(self, other: Counters) -> Counters {
        Counters {
            received: self.received + other.received,
            received_bytes: self.received_bytes + other.received_bytes,
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            refused: self.refused + other.refused,
        }
    }
}

/// The three namespaces.
pub struct Lab {
    /// Where connections are opened.
    pub client: Namespace,
    /// Where the daemon runs.
    pub router: Namespace,
    /// Where connections are opened to.
    pub server: Namespace,
}

impl Lab {
    /// Builds it.
    pub fn new() -> Lab {
        let lab = Lab { client: Namespace::new("client"), router: Namespace::new("router"), server: Namespace::new("server") };
        for (side, interface, net, end) in [("1", "ra", "10.77.1", &lab.client), ("2", "rb", "10.77.2", &lab.server)] {
            sh(&format!(
                "ip -n {router} link add {interface} address 02:00:00:00:0{side}:01 type veth peer name eth0 address 02:00:00:00:0{side}:02 netns {end}
                 ip -n {router} link set {interface} addrgenmode none up; ip -n {end} link set eth0 addrgenmode none up
                 ip -n {router} address add {net}.1/24 dev {interface}; ip -n {end} address add {net}.2/24 dev eth0; ip -n {end} route add default via {net}.1
                 ip -n {router} neighbour add {net}.2 lladdr 02:00:00:00:0{side}:02 dev {interface} nud permanent
                 ip -n {end} neighbour add {net}.1 lladdr 02:00:00:00:0{side}:01 dev eth0 nud permanent",
                router = lab.router.name,
                end = end.name,
            ));
            end.sh("ethtool -K eth0 tso off gso off gro off");
            lab.router.sh(&format!("ethtool -K {interface} tso off gso off gro off"));
        }
        lab.router.sh("sysctl -qw net.ipv4.ip_forward=1");
        lab
    }

    /// Adds IPv6.
    pub fn with_ipv6(self) -> Lab {
        for (side, interface, end) in [("1", "ra", &self.client), ("2", "rb", &self.server)] {
            for namespace in [&self.router, end] {
                namespace.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.all.forwarding=1");
            }
            sh(&format!(
                "ip -n {router} address add fd77:{side}::1/64 dev {interface} nodad; ip -n {end} address add fd77:{side}::2/64 dev eth0 nodad
                 ip -n {end} route add default via fd77:{side}::1
                 ip -n {router} neighbour add fd77:{side}::2 lladdr 02:00:00:00:0{side}:02 dev {interface} nud permanent
                 ip -n {end} neighbour add fd77:{side}::1 lladdr 02:00:00:00:0{side}:01 dev eth0 nud permanent",
                router = self.router.name,
                end = end.name,
            ));
        }
        self
    }

    /// What the router's two interfaces count together.
    pub fn counters(&self) -> Counters {
        self.router.counters("ra").and(self.router.counters("rb"))
    }

    /// The same once nothing passes any more: last acknowledgements and repeated segments are on their way for a while.
    pub fn at_rest(&self) -> Counters {
        let mut last = self.counters();
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = self.counters();
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

impl Default for Lab {
    fn default() -> Self {
        Lab::new()
    }
}

/// A thread inside a namespace that works until this goes.
pub struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Worker {
    /// Calls `work` until stopped; it says how much it did.
    pub fn start(namespace: &Namespace, mut work: impl FnMut() -> u64 + Send + 'static) -> Worker {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = namespace.inside(move || {
            let mut done = 0;
            while !seen.load(Ordering::Relaxed) {
                done += work();
            }
            done
        });
        Worker { stop, thread: Some(thread) }
    }

    /// Ends it and says how much it did.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().expect("the worker"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends workers and says how much they did together.
pub fn stop_all(workers: impl IntoIterator<Item = Worker>) -> u64 {
    workers.into_iter().map(Worker::stop).sum()
}

/// How long a listener waits before it looks whether it shall end.
const TICK: Duration = Duration::from_millis(50);

/// Takes datagrams on a port and throws them away.
pub fn datagrams(namespace: &Namespace, port: u16) -> Worker {
    let socket = namespace.inside(move || UdpSocket::bind(("0.0.0.0", port)).expect("a socket")).join().expect("a thread");
    socket.set_read_timeout(Some(TICK)).expect("a timeout");
    let mut buffer = [0; 2048];
    Worker::start(namespace, move || u64::from(socket.recv(&mut buffer).is_ok()))
}

/// Accepts connections on a port, reads each to its end and closes it.
pub fn connections(namespace: &Namespace, port: u16) -> Worker {
    let listener = namespace.inside(move || TcpListener::bind(("0.0.0.0", port)).expect("a listener")).join().expect("a thread");
    listener.set_nonblocking(true).expect("non-blocking");
    Worker::start(namespace, move || match listener.accept() {
        Ok((mut connection, _)) => {
            connection.set_nonblocking(false).expect("blocking");
            connection.set_read_timeout(Some(TICK * 20)).expect("a timeout");
            // A client that goes away mid-way is its own business.
            let _ = std::io::copy(&mut connection, &mut std::io::sink());
            1
        }
        Err(_) => {
            std::thread::sleep(TICK / 10);
            0
        }
    })
}

/// Sends one datagram to each of these ports of the server.
pub fn send(lab: &Lab, first: u16, count: u16) {
    let work = move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        (first..first + count).for_each(|port| drop(socket.send_to(&[1; 64], (SERVER, port))));
    };
    lab.client.inside(work).join().expect("the client");
}

/// Datagrams of 200 flows and short connections from the client to the server, some thousands of packets a second.
pub fn load(lab: &Lab) -> [Worker; 4] {
    let mut number = 0_u16;
    let socket = lab.client.inside(|| UdpSocket::bind("0.0.0.0:0").expect("a socket")).join().expect("a thread");
    let sender = Worker::start(&lab.client, move || {
        number = (number + 1) % 200;
        let _ = socket.send_to(&[1; 64], (SERVER, 30_000 + number));
        std::thread::sleep(Duration::from_micros(200));
        1
    });
    let opener = Worker::start(&lab.client, || {
        std::thread::sleep(Duration::from_millis(10));
        u64::from(TcpStream::connect((SERVER, 5002)).is_ok())
    });
    [opener, sender, connections(&lab.server, 5002), datagrams(&lab.server, 30_000)]
}

/// A small disk that can be filled.
pub struct Tmpfs {
    folder: std::path::PathBuf,
}

impl Tmpfs {
    /// Mounts one of a size as `mount` writes it.
    pub fn mount(folder: &std::path::Path, size: &str) -> Tmpfs {
        std::fs::create_dir_all(folder).expect("a folder");
        sh(&format!("mount -t tmpfs -o size={size} tmpfs {}", folder.display()));
        Tmpfs { folder: folder.to_owned() }
    }

    /// Takes all its room.
    pub fn fill(&self) {
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64K", "status=none"])
            .arg(format!("of={}", self.folder.join("filler").display()))
            .output();
    }

    /// Gives it back, and as much more as the machine has: what waited may be any amount.
    pub fn free(&self) {
        sh(&format!("mount -o remount,size=100% {}", self.folder.display()));
        std::fs::remove_file(self.folder.join("filler")).expect("the filler");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}
