//! Changes of the file as ConfigMaps, editors and shells make them; each test waits for what it expects and times out far beyond it.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn config(window: u64) -> String {
    format!("flowLogs:\n- name: a\n  filePath: /x\n  window: {window}s\n")
}

/// Fast enough for a test, and a poll so slow that it cannot be what noticed.
fn only_events() -> Timing {
    Timing {
        poll: Duration::from_secs(3600),
        poll_without_watch: Duration::from_secs(3600),
        quiet: Duration::from_millis(5),
        second_look: Duration::from_millis(300),
    }
}

fn start(path: &Path, timing: Timing) -> (Watch, Receiver<Update>) {
    let applied = fs::read(path).ok().map(|text| canonical::sha256(&text));
    let started = watch(path, false, applied, timing).unwrap();
    // The thread has to be listening before the file changes, or the first look would find the change.
    std::thread::sleep(Duration::from_millis(200));
    started
}

/// The window of the next accepted file.
fn next_window(updates: &Receiver<Update>) -> u64 {
    match updates.recv_timeout(LONG) {
        Ok(Update::Accepted(checked)) => checked.file.flow_logs[0].window.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hundred_swaps_of_a_configmap_are_each_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let swap = |n: u64| {
        // As kubelet's atomic writer does it: a new folder, a link to it renamed over the old one, the old folder removed.
        let data = format!("..2026_{n}");
        fs::create_dir(folder.path().join(&data)).unwrap();
        fs::write(folder.path().join(&data).join("flowlog.yaml"), config(n)).unwrap();
        symlink(&data, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        if n > 1 {
            fs::remove_dir_all(folder.path().join(format!("..2026_{}", n - 1))).unwrap();
        }
    };
    swap(1);
    let path = folder.path().join("flowlog.yaml");
    symlink("..data/flowlog.yaml", &path).unwrap();
    let (_watch, updates) = start(&path, only_events());
    for n in 2..=101 {
        swap(n);
        assert_eq!(next_window(&updates), n);
    }
}

#[test]
fn an_editor_that_renames_and_a_shell_that_truncates_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlog.yaml");
    fs::write(&path, config(1)).unwrap();
    let (_watch, updates) = start(&path, only_events());
    for n in (2..=20).step_by(2) {
        fs::write(folder.path().join(".flowlog.yaml.swp"), config(n)).unwrap();
        fs::rename(folder.path().join(".flowlog.yaml.swp"), &path).unwrap();
        assert_eq!(next_window(&updates), n);
        fs::write(&path, config(n + 1)).unwrap();
        assert_eq!(next_window(&updates), n + 1);
    }
}

#[test]
fn an_empty_file_counts_only_at_the_second_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlog.yaml");
    fs::write(&path, config(1)).unwrap();
    let (_watch, updates) = start(&path, only_events());
    fs::write(&path, "").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    fs::write(&path, config(2)).unwrap();
    assert_eq!(next_window(&updates), 2, "the empty moment was not taken for a configuration");
    fs::write(&path, "").unwrap();
    match updates.recv_timeout(LONG) {
        Ok(Update::Accepted(checked)) => assert!(checked.file.flow_logs.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlog.yaml");
    fs::write(&path, config(1)).unwrap();
    let (_watch, updates) = start(&path, only_events());
    fs::remove_file(&path).unwrap();
    assert!(matches!(updates.recv_timeout(LONG), Ok(Update::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound));
    fs::write(&path, config(2)).unwrap();
    assert_eq!(next_window(&updates), 2);
}

#[test]
fn a_folder_that_is_deleted_and_made_again_is_found_by_the_poll() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("etc");
    let path = folder.join("flowlog.yaml");
    fs::create_dir(&folder).unwrap();
    fs::write(&path, config(1)).unwrap();
    let timing = Timing {
        poll: Duration::from_millis(50),
        poll_without_watch: Duration::from_millis(50),
        second_look: Duration::from_millis(10),
        ..only_events()
    };
    let (_watch, updates) = start(&path, timing);
    fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(updates.recv_timeout(LONG), Ok(Update::Unreadable(_))));
    fs::create_dir(&folder).unwrap();
    fs::write(&path, config(2)).unwrap();
    assert_eq!(next_window(&updates), 2);
}

#[test]
fn a_link_into_another_folder_is_followed() {
    let (links, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = files.path().join("real.yaml");
    fs::write(&target, config(1)).unwrap();
    let path = links.path().join("flowlog.yaml");
    symlink(&target, &path).unwrap();
    let (_watch, updates) = start(&path, only_events());
    fs::write(&target, config(2)).unwrap();
    assert_eq!(next_window(&updates), 2);
}

#[test]
fn a_bad_file_is_rejected_once_with_line_and_key_and_the_next_good_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlog.yaml");
    fs::write(&path, config(1)).unwrap();
    let (watch, updates) = start(&path, only_events());
    fs::write(&path, "flowLogs:\n- name: a\n  filePath: /x\n  window: soon\n").unwrap();
    match updates.recv_timeout(LONG) {
        Ok(Update::Rejected { problems, .. }) => assert!(problems.to_string().starts_with("line 4: flowLogs[0].window"), "{problems}"),
        other => panic!("{other:?}"),
    }
    // Touching it without a change says nothing; asking for a reload says it again.
    fs::File::options().append(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    assert!(matches!(updates.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout)));
    watch.reload();
    assert!(matches!(updates.recv_timeout(LONG), Ok(Update::Rejected { .. })));
    fs::write(&path, config(3)).unwrap();
    assert_eq!(next_window(&updates), 3);
}

#[test]
fn a_content_that_does_not_run_yet_is_handed_over_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowlog.yaml");
    fs::write(&path, config(5)).unwrap();
    let (_watch, updates) = watch(&path, false, None, only_events()).unwrap();
    assert_eq!(next_window(&updates), 5);
}
