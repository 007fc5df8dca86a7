//! What the end-to-end tests share: scratch folders, the lab of network namespaces, the daemon under test, the real servers.

pub mod capture;
pub mod daemon;
pub mod feed;
pub mod flows;
pub mod http;
pub mod kafka;
pub mod lab;
pub mod loki;
pub mod memory;
pub mod program;
pub mod reader;
pub mod s3;
pub mod scale;
pub mod service;
pub mod skip;
pub mod skip_line;
pub mod source;
pub mod spooled;
pub mod tailer;
pub mod tls;
pub mod totals;
pub mod windows;
