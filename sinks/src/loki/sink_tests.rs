//! A batch on its way to a Loki that misbehaves.

use super::*;
use crate::loki::config::Auth;
use crate::loki::labels::Label;
use crate::loki::stub_for_tests::{Reply, Stub};
use crate::secret::{Secret, SecretSource};
use crate::spool::{self, SpoolId};

const START: i64 = 1_700_000_000_000_000_000;

fn options(url: &str) -> Options {
    let mut options = Options::new(url);
    options.fixed = vec![("job".into(), "flowlog".into())];
    options.labels = vec![Label { name: "source_ns".into(), path: "source.namespace".into() }];
    options
}

/// A batch of these lines, whose namespaces take turns.
fn freeze(sink: &LokiSink, lines: &[&str], namespaces: &[&str]) -> Frozen {
    let mut filling = Filling::default();
    for (place, line) in lines.iter().enumerate() {
        let labels = labels::blob(&[("source.namespace", namespaces[place % namespaces.len()]), ("source.pod_name", "web")]);
        let sequence = place as u64 + 1;
        let record = Record {
            spool: SpoolId([7; 16]),
            sequence,
            time: START,
            nudge: sequence as u32,
            commit_time: START,
            key: b"",
            labels: &labels,
            line: line.as_bytes(),
        };
        filling.add(sink, &record);
    }
    filling.finish().frozen
}

/// Sends until there is an outcome that is not a retry; returns it with the retries before it.
async fn deliver(sink: &LokiSink, frozen: &Frozen) -> (Outcome, Vec<Outcome>) {
    let mut retries = Vec::new();
    loop {
        match sink.send(frozen).await {
            retry @ Outcome::Retry { .. } => retries.push(retry),
            outcome => return (outcome, retries),
        }
        assert!(retries.len() < 100, "{retries:?}");
    }
}

fn lines(stub: &Stub) -> Vec<String> {
    stub.kept().into_iter().map(|(_, _, line)| line).collect()
}

#[tokio::test]
async fn a_batch_whose_time_decided_about_a_timestamp_is_the_same_after_a_crash() {
    const HOUR: i64 = 3600 * 1_000_000_000;
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = spool::Writer::open(folder.path(), &spool::Options::new("n", "boot")).unwrap();
    let commit = |writer: &mut spool::Writer, count: u64, ahead: i64| {
        for _ in 0..count {
            writer.append(START, b"", b"", b"line").unwrap();
        }
        writer.commit(spool::Commit { time: START + ahead, ..Default::default() }).unwrap();
        while writer.durable().next < writer.next_sequence() {
            std::thread::yield_now();
        }
    };
    commit(&mut writer, 3, HOUR);
    let sink = LokiSink::new(options("http://127.0.0.1:1")).unwrap();
    let (mut reader, _) = writer.spool().reader("loki", spool::WhenFull::Hold).unwrap();
    let start = reader.cursor();
    let mut freeze = |cut: Option<&Cut>, now: i64| {
        reader.seek(&start);
        let Step::Batch(batch) = sink.freeze(&mut reader, &sink.limits(), cut, now).unwrap() else { panic!("no batch") };
        let push = &batch.frozen.lanes[0].pushes[0];
        (batch.cut, push.timestamp(0), push.body(0..push.len()).unwrap())
    };
    let (cut, timestamp, body) = freeze(None, START);
    assert_eq!(timestamp, START);
    let cut = cut.expect("a cut");
    commit(&mut writer, 2, 2 * HOUR);
    let later = START + HOUR;
    assert_eq!(freeze(Some(&cut), later), (Some(cut), START, body));
    // Without the cut it would be another entry, and one whose timestamp needs no cut.
    let (cut, timestamp, _) = freeze(None, START + 2 * HOUR);
    assert_eq!((cut, timestamp), (None, START + HOUR + 1));
}

const DELIVERED: Outcome = Outcome::Delivered { state: None };

#[tokio::test]
async fn each_namespace_is_a_stream_in_a_push_of_its_own_and_empty_values_are_no_label() {
    let stub = Stub::start(vec![], Reply::Store).await;
    let sink = LokiSink::new(options(&stub.url())).unwrap();
    let frozen = freeze(&sink, &["a", "b", "c", "d", "e", "f"], &["shop", "", "ba\"r"]);
    assert_eq!(deliver(&sink, &frozen).await, (DELIVERED, vec![]));
    let kept: Vec<(String, i64, String)> = stub.kept();
    let entry = |labels: &str, sequence: i64, line: &str| (labels.to_owned(), START + sequence, line.to_owned());
    assert_eq!(
        kept,
        [
            entry(r#"{job="flowlog", source_ns="ba\"r"}"#, 3, "c"),
            entry(r#"{job="flowlog", source_ns="ba\"r"}"#, 6, "f"),
            entry(r#"{job="flowlog", source_ns="shop"}"#, 1, "a"),
            entry(r#"{job="flowlog", source_ns="shop"}"#, 4, "d"),
            entry(r#"{job="flowlog"}"#, 2, "b"),
            entry(r#"{job="flowlog"}"#, 5, "e"),
        ]
    );
    assert_eq!(stub.bodies().len(), 3);
    assert_eq!(sink.active_streams(), 3);
}

#[tokio::test]
async fn whatever_fails_first_the_same_bytes_go_again_until_they_are_stored() {
    for (reply, wait) in [
        (Reply::Refuse(429, "retry-after: 7\r\n", "Ingestion rate limit exceeded"), Some(7)),
        (Reply::Refuse(429, "", "Ingestion rate limit exceeded"), None),
        (Reply::Refuse(500, "", "boom"), None),
        (Reply::Refuse(503, "retry-after: 2\r\n", ""), Some(2)),
        (Reply::Refuse(260, "", "blocked"), Some(60)),
        (Reply::Refuse(401, "", "no org id"), Some(60)),
        (Reply::Refuse(400, "", "tenant ID 'a/b' contains unsupported character '/'"), Some(60)),
        (Reply::Cut, None),
        (Reply::StoreAndCut, None),
    ] {
        let stub = Stub::start(vec![reply.clone(), reply.clone()], Reply::Store).await;
        let sink = LokiSink::new(options(&stub.url())).unwrap();
        let (outcome, retries) = deliver(&sink, &freeze(&sink, &["a", "b"], &["shop"])).await;
        assert_eq!(outcome, DELIVERED, "{reply:?}");
        assert!(!retries.is_empty(), "{reply:?}");
        for retry in retries {
            let Outcome::Retry { after, .. } = retry else { panic!("{retry:?}") };
            assert_eq!(after.map(|after| after.as_secs()), wait, "{reply:?}");
        }
        assert_eq!(lines(&stub), ["a", "b"], "{reply:?}");
        let bodies = stub.bodies();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{reply:?}");
    }
}

#[tokio::test]
async fn a_refused_line_is_singled_out_and_the_others_are_stored_once() {
    let stub = Stub::start(vec![], Reply::RefuseLinesWith("bad")).await;
    let sink = LokiSink::new(options(&stub.url())).unwrap();
    let given: Vec<String> = (1..=100).map(|n| if n == 37 || n == 38 { format!("bad {n}") } else { format!("line {n:03}") }).collect();
    let borrowed: Vec<&str> = given.iter().map(String::as_str).collect();
    let (outcome, _) = deliver(&sink, &freeze(&sink, &borrowed, &["shop"])).await;
    let reason = || "max entry size exceeded".to_owned();
    assert_eq!(outcome, Outcome::Partial { rejected: vec![(37, reason()), (38, reason())] });
    let wanted: Vec<String> = given.into_iter().filter(|line| !line.starts_with("bad")).collect();
    assert_eq!(lines(&stub), wanted);
}

#[tokio::test]
async fn what_loki_could_not_take_is_refused_before_it_is_sent() {
    let stub = Stub::start(vec![], Reply::Store).await;
    let mut settings = options(&stub.url());
    settings.max_line_bytes = 10;
    let sink = LokiSink::new(settings).unwrap();
    let (outcome, _) = deliver(&sink, &freeze(&sink, &["short", "far too long"], &["shop"])).await;
    assert_eq!(outcome, Outcome::Partial { rejected: vec![(2, "the line is 12 bytes long, Loki takes 10".to_owned())] });
    assert_eq!(lines(&stub), ["short"]);
}

#[tokio::test]
async fn a_push_the_server_finds_too_large_goes_in_parts_and_later_ones_are_cut_smaller() {
    let too_large = Reply::Refuse(500, "", "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5 vs. 4)");
    let stub = Stub::start(vec![too_large], Reply::Store).await;
    let sink = LokiSink::new(options(&stub.url())).unwrap();
    let line = "x".repeat(5000);
    let given: Vec<&str> = (0..100).map(|_| line.as_str()).collect();
    let frozen = freeze(&sink, &given, &["shop"]);
    assert_eq!(deliver(&sink, &frozen).await, (DELIVERED, vec![]));
    assert_eq!(stub.kept().len(), 100);
    assert_eq!(stub.bodies().len(), 3);
    assert!(freeze(&sink, &given, &["shop"]).lanes[0].pushes.len() >= 2);
}

#[tokio::test]
async fn one_stream_that_fails_does_not_send_the_others_again() {
    let stub = Stub::start(vec![Reply::Refuse(500, "", "boom")], Reply::Store).await;
    let sink = LokiSink::new(options(&stub.url())).unwrap();
    let (outcome, retries) = deliver(&sink, &freeze(&sink, &["a", "b", "c"], &["x", "y", "z"])).await;
    assert_eq!((outcome, retries.len()), (DELIVERED, 1));
    assert_eq!(stub.bodies().len(), 4);
    assert_eq!(stub.kept().len(), 3);
}

#[tokio::test]
async fn tenant_and_credentials_go_with_each_push_and_a_rotated_token_is_used_at_once() {
    let stub = Stub::start(vec![], Reply::Store).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    let mut settings = options(&stub.url());
    settings.tenant = Some("audit".into());
    settings.auth = Auth::Bearer(token.path().to_owned());
    let sink = LokiSink::new(settings.clone()).unwrap();
    for word in ["first", "second"] {
        std::fs::write(token.path(), format!("{word}\n")).unwrap();
        assert_eq!(deliver(&sink, &freeze(&sink, &["a"], &["x"])).await.0, DELIVERED);
    }
    settings.auth = Auth::Basic { username: "me".into(), password: SecretSource::Given(Secret::new("pass")) };
    let sink = LokiSink::new(settings).unwrap();
    assert_eq!(deliver(&sink, &freeze(&sink, &["a"], &["x"])).await.0, DELIVERED);
    let heads = stub.heads();
    let wanted = ["authorization: bearer first\r\n", "authorization: bearer second\r\n", "authorization: basic bwu6cgfzcw==\r\n"];
    for (head, wanted) in heads.iter().zip(wanted) {
        assert!(head.contains(wanted) && head.contains("x-scope-orgid: audit\r\n"), "{head}");
        assert!(head.starts_with("post /loki/api/v1/push http/1.1"), "{head}");
        assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    }
    assert_eq!(heads.len(), 3);
}

#[tokio::test]
async fn a_missing_token_file_holds_the_data_and_names_the_file() {
    let stub = Stub::start(vec![], Reply::Store).await;
    let mut settings = options(&stub.url());
    settings.auth = Auth::Bearer("/nonexistent/token".into());
    let sink = LokiSink::new(settings).unwrap();
    let Outcome::Retry { why, .. } = sink.send(&freeze(&sink, &["a"], &["x"])).await else { panic!("sent without a token") };
    assert!(why.contains("/nonexistent/token"), "{why}");
    assert_eq!(stub.bodies().len(), 0);
}

#[tokio::test]
async fn the_check_says_what_is_wrong_and_what_to_do() {
    for (reply, wanted) in [
        (Reply::Refuse(422, "", "at least one valid stream is required"), None),
        (Reply::Refuse(204, "", ""), None),
        (Reply::Refuse(401, "", "no org id"), Some("set tenant, basicAuth or bearerTokenFile")),
        (Reply::Refuse(404, "", "404 page not found"), Some("check the sink's url")),
        (Reply::Refuse(503, "", "Ingester not ready"), Some("Ingester not ready")),
    ] {
        let stub = Stub::start(vec![], reply.clone()).await;
        let result = LokiSink::new(options(&stub.url())).unwrap().check().await;
        match (result, wanted) {
            (Ok(()), None) => {}
            (Err(Health(why)), Some(wanted)) => assert!(why.contains(wanted), "{why}"),
            (result, _) => panic!("{reply:?}: {result:?}"),
        }
    }
    let nobody = LokiSink::new(options("http://127.0.0.1:1")).unwrap().check().await.unwrap_err();
    assert!(nobody.0.contains("127.0.0.1:1") && nobody.0.contains("refused"), "{nobody}");
}
