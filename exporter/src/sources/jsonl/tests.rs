//! Stories of a follower and the writer it follows.

use std::fs::{self, OpenOptions};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

struct Writer {
    folder: tempfile::TempDir,
    rotations: u32,
}

impl Writer {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), rotations: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("events.log")
    }

    fn write(&self, text: &str) {
        OpenOptions::new().create(true).append(true).open(self.path()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&mut self) -> PathBuf {
        self.rotations += 1;
        let backup = self.folder.path().join(format!("events-2026-11-20T17-17-{:02}.000.log", self.rotations));
        fs::rename(self.path(), &backup).unwrap();
        backup
    }
}

fn compress(path: &Path) {
    let mut gz = GzEncoder::new(File::create(format!("{}.gz", path.display())).unwrap(), Compression::fast());
    gz.write_all(&fs::read(path).unwrap()).unwrap();
    gz.finish().unwrap();
    fs::remove_file(path).unwrap();
}

/// Everything there is to read now, and where reading stands after it.
fn read_all(follower: &mut Follower) -> (String, Option<Position>) {
    let (mut text, mut position) = (String::new(), None);
    while let Some(chunk) = follower.look().unwrap() {
        text.push_str(std::str::from_utf8(chunk.bytes).unwrap());
        position = Some(chunk.position.behind(chunk.bytes));
    }
    (text, position)
}

#[test]
fn lines_are_read_once_and_a_line_without_its_end_waits_for_it() {
    let writer = Writer::new();
    let mut follower = Follower::new(&writer.path(), None);
    assert_eq!(read_all(&mut follower).0, "");
    writer.write("one\ntw");
    assert_eq!(read_all(&mut follower).0, "one\n");
    writer.write("o\nthree\n");
    assert_eq!(read_all(&mut follower).0, "two\nthree\n");
}

#[test]
fn several_rotations_between_two_looks_lose_nothing_compressed_or_not() {
    let mut writer = Writer::new();
    let mut follower = Follower::new(&writer.path(), None);
    writer.write("a1\n");
    assert_eq!(read_all(&mut follower).0, "a1\n");
    writer.write("a2\n");
    let first = writer.rotate();
    writer.write("b1\n");
    let second = writer.rotate();
    writer.write("c1\n");
    writer.rotate();
    writer.write("d1\n");
    compress(&second);
    assert_eq!(read_all(&mut follower).0, "a2\nb1\nc1\nd1\n");
    compress(&first);
    writer.write("d2\n");
    assert_eq!(read_all(&mut follower).0, "d2\n");
}

#[test]
fn a_restart_goes_on_where_reading_stood_even_in_a_file_that_was_rotated_and_compressed_since() {
    let mut writer = Writer::new();
    writer.write("a1\na2\n");
    let position = read_all(&mut Follower::new(&writer.path(), None)).1;
    writer.write("a3\n");
    let backup = writer.rotate();
    compress(&backup);
    writer.write("b1\n");
    let mut follower = Follower::new(&writer.path(), position);
    assert_eq!(read_all(&mut follower).0, "a3\nb1\n");
    assert_eq!(follower.lost_track, 0);
}

#[test]
fn a_file_that_is_gone_after_a_restart_is_said_and_reading_goes_on() {
    let writer = Writer::new();
    writer.write("b1\n");
    let mut follower = Follower::new(&writer.path(), Some(Position { file: [7; 16], offset: 3, ..Position::default() }));
    assert_eq!(read_all(&mut follower).0, "b1\n");
    assert_eq!(follower.lost_track, 1);
}

#[test]
fn a_last_line_without_newline_is_handed_out_when_its_file_is_finished() {
    let mut writer = Writer::new();
    let mut follower = Follower::new(&writer.path(), None);
    writer.write("a1\ntorn");
    assert_eq!(read_all(&mut follower).0, "a1\n");
    writer.rotate();
    writer.write("b1\n");
    assert_eq!(read_all(&mut follower).0, "tornb1\n");
}

#[test]
fn a_file_truncated_in_place_is_read_again_from_its_start() {
    let writer = Writer::new();
    let mut follower = Follower::new(&writer.path(), None);
    writer.write("a1\na2\na3\n");
    assert_eq!(read_all(&mut follower).0, "a1\na2\na3\n");
    fs::write(writer.path(), "b1\n").unwrap();
    assert_eq!(read_all(&mut follower).0, "b1\n");
}

#[test]
fn a_file_that_begins_like_the_one_before_is_told_from_it_and_a_longer_copy_is_not_read_twice() {
    let writer = Writer::new();
    let mut follower = Follower::new(&writer.path(), None);
    writer.write("a1\na2\na3\n");
    let (_, first) = read_all(&mut follower);
    fs::write(writer.path(), "a1\nb2\n").unwrap();
    let (text, second) = read_all(&mut follower);
    assert_eq!(text, "a1\nb2\n");
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((second.file, first.again, second.again, second.lines), (first.file, 0, 1, 2));
    // As an editor saves: another inode with the same text and more.
    let copy = writer.folder.path().join("copy");
    fs::write(&copy, "a1\nb2\nb3\n").unwrap();
    fs::rename(&copy, writer.path()).unwrap();
    let (text, third) = read_all(&mut follower);
    assert_eq!((text.as_str(), third.unwrap().lines), ("b3\n", 3));
}
