//! How much a bar does: less in `make test`, what the bar promises in `make soak`. The numbers stand in `tests/scale.tsv`, once.

const TABLE: &str = include_str!("../scale.tsv");

/// The amount called `name` at the scale of this run (`FLOWLOG_SCALE`: `test`, the default, or `soak`).
pub fn of(name: &str) -> u64 {
    let column = match std::env::var("FLOWLOG_SCALE").as_deref() {
        Err(_) | Ok("" | "test") => 1,
        Ok("soak") => 2,
        Ok(other) => panic!("FLOWLOG_SCALE={other}: use test or soak"),
    };
    let row = TABLE.lines().map(|line| line.split('\t').collect::<Vec<_>>()).find(|row| row[0] == name);
    let row = row.unwrap_or_else(|| panic!("tests/scale.tsv has no row {name}"));
    row[column].parse().unwrap_or_else(|error| panic!("tests/scale.tsv, {name}: {error}"))
}
