//! The kernel programs of flowlog and the only code that talks to them.
