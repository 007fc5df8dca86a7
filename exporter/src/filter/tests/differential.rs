//! Cases beyond the shared vectors, asked of upstream's filters (Cilium 1.20.1) in the same form: our filters and events, its answers.

use super::*;

#[test]
fn x() {}
