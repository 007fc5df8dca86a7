//! What the benches share: the description of the machine and seeded inputs.
