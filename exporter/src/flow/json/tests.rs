//! What is accepted and what is refused, by the rules of the Hubble digest §2.2.

use super::*;
use crate::mask::{Encoder, Mask, Redaction};

const STRICT: Options = Options { unknown: crate::flow::json::OnUnknown::Refuse, max_bytes: usize::MAX };

fn written(line: &str, options: Options) -> Result<String> {
    let event = decode(line.as_bytes(), options)?;
    let mut out = Vec::new();
    Encoder::compile(&Mask::everything(), Redaction::none()).encode(&event, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

/// What becomes of a flow with these members.
fn flow(members: &str) -> Result<String> {
    let line = written(&format!("{{\"flow\":{{{members}}}}}"), STRICT)?;
    Ok(line.trim_start_matches("{\"flow\":{").split("}").next().unwrap_or_default().to_owned())
}

#[test]
fn every_form_that_protojson_accepts_is_accepted() {
    for (given, canonical) in [
        (r#""proxyPort":80"#, r#""proxy_port":80"#),
        (r#""proxy_port":"80""#, r#""proxy_port":80"#),
        (r#""proxy_port":80.0"#, r#""proxy_port":80"#),
        (r#""proxy_port":"8e1""#, r#""proxy_port":80"#),
        (r#""proxy_port":0"#, ""),
        (r#""proxy_port":null"#, ""),
        (r#""socket_cookie":18446744073709551615"#, r#""socket_cookie":"18446744073709551615""#),
        (r#""cgroupId":"1.0""#, r#""cgroup_id":"1""#),
        (r#""verdict":"DROPPED""#, r#""verdict":"DROPPED""#),
        (r#""verdict":2"#, r#""verdict":"DROPPED""#),
        (r#""verdict":2.0"#, r#""verdict":"DROPPED""#),
        (r#""verdict":-2147483648"#, r#""verdict":-2147483648"#),
        (r#""isReply":false"#, r#""is_reply":false"#),
        (r#""is_reply":null"#, ""),
        (r#""node_labels":[]"#, ""),
        (r#""node_labels" : [ "a" , "b" ] "#, r#""node_labels":["a","b"]"#),
        (r#""node_labels":["\u0061","<"]"#, r#""node_labels":["a","\u003c"]"#),
        (r#""n\u006fde_name":"x""#, r#""node_name":"x""#),
        (r#""Summary":"\ud83d\ude00\/""#, r#""Summary":"😀/""#),
        (" \"uuid\"\t:\n\"u\"\r", r#""uuid":"u""#),
        ("", ""),
    ] {
        assert_eq!(flow(given).as_deref(), Ok(canonical), "{given}");
    }
}

#[test]
fn everything_else_is_refused() {
    for given in [
        r#""proxy_port":"""#,
        r#""proxy_port":" 80""#,
        r#""proxy_port":"80 ""#,
        r#""proxy_port":"007""#,
        r#""proxy_port":007"#,
        r#""proxy_port":+7"#,
        r#""proxy_port":-1"#,
        r#""proxy_port":1.5"#,
        r#""proxy_port":4294967296"#,
        r#""proxy_port":true"#,
        r#""proxy_port":{}"#,
        r#""socket_cookie":18446744073709551616"#,
        r#""socket_cookie":"0x10""#,
        r#""verdict":"2""#,
        r#""verdict":"dropped""#,
        r#""verdict":2147483648"#,
        r#""verdict":true"#,
        r#""reply":"true""#,
        r#""reply":1"#,
        r#""reply":truex"#,
        r#""is_reply":{"value":true}"#,
        r#""uuid":1"#,
        r#""node_labels":["a",null]"#,
        r#""node_labels":"a""#,
        r#""node_labels":["a",]"#,
        r#""source":{"workloads":[null]}"#,
        r#""source":[]"#,
        r#""time":"2026-01-02t03:04:05z""#,
        r#""time":1"#,
        r#""time":"""#,
        r#""Summary":"\ud83d""#,
        r#""Summary":"\ude00\ud83d""#,
        r#""Summary":"\x""#,
        r#""Summary":"\u12g4""#,
        "\"Summary\":\"\n\"",
        r#""uuid":"a","uuid":"b""#,
        r#""uuid":null,"uuid":"b""#,
        r#""node_name":"a","nodeName":"b""#,
        r#""l4":{"TCP":{},"UDP":{}}"#,
        r#""uuid":"a",,"#,
        r#","uuid":"a""#,
        r#""uuid":"a","#,
        r#""uuid" "a""#,
        r#"uuid:"a""#,
        r#""nope":1"#,
        r#""summary":"x""#,
        r#""extensions":{"value":{}}"#,
        r#""extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":1}"#,
        r#""extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":1,"a":2}}"#,
        r#""extensions":{"@type":"x/y.Z"}"#,
    ] {
        assert!(flow(given).is_err(), "{given}");
    }
    for line in ["", "null", "[]", "{}}", "{\"flow\":{}", "{} x", "\u{feff}{}", "{\"flow\":{},\"lost_events\":{}}"] {
        assert!(written(line, STRICT).is_err(), "{line}");
    }
}

#[test]
fn a_null_beside_a_oneofs_member_is_no_second_member() {
    assert_eq!(flow(r#""l4":{"TCP":null,"UDP":{}}"#).unwrap(), r#""l4":{"UDP":{"#);
    assert_eq!(written(r#"{"flow":{},"lost_events":null}"#, STRICT).unwrap(), r#"{"flow":{}}"#);
}

#[test]
fn what_is_unknown_is_kept_at_the_end_of_its_message() {
    let line = r#"{"new_thing":[1, {"a":"<"}],"flow":{"later":{"x" : null},"uuid":"u","verdict":"LATER","l4":{"TCP":{"flags":{"AE":true,"SYN":true}}}}}"#;
    assert_eq!(
        written(line, Options::default()).unwrap(),
        r#"{"flow":{"uuid":"u","l4":{"TCP":{"flags":{"SYN":true,"AE":true}}},"later":{"x":null},"verdict":"LATER"},"new_thing":[1,{"a":"\u003c"}]}"#
    );
    // An enum's unknown name follows the mask like the field it was given for; an unknown field is in no mask.
    let masked = Encoder::compile(&Mask::parse(&["verdict"]).unwrap(), Redaction::none());
    let mut out = Vec::new();
    masked.encode(&decode(line.as_bytes(), Options::default()).unwrap(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"flow":{"verdict":"LATER"}}"#);
    let error = decode(br#"{"flow":{"later":1}}"#, STRICT).unwrap_err();
    assert_eq!(*error, Error { at: 9, problem: Problem::UnknownField("later".into()) });
    let error = decode(br#"{"flow":{"verdict":"LATER"}}"#, STRICT).unwrap_err();
    assert_eq!(*error, Error { at: 19, problem: Problem::UnknownName("LATER".into()) });
}

#[test]
fn a_line_torn_anywhere_is_refused_and_says_so() {
    let line = r#"{"flow":{"time":"2026-01-02T03:04:05Z","reply":true,"node_labels":["a","é\n"],"l7":{"latency_ns":"12","http":{"headers":[{"key":"k"}]}},"x":[1.5e3,null]},"node_name":"n"}"#;
    assert!(decode(line.as_bytes(), Options::default()).is_ok());
    for end in 0..line.len() {
        let error = decode(&line.as_bytes()[..end], Options::default()).unwrap_err();
        assert!(error.at <= end, "{error} of {end}");
    }
    let torn = |line: &str| decode(line.as_bytes(), STRICT).unwrap_err().problem;
    assert_eq!(torn(r#"{"flow":{"uuid":"abc"#), Problem::Torn);
    assert_eq!(torn(r#"{"flow":{"#), Problem::Torn);
}

#[test]
fn nothing_nests_without_bound() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        assert_eq!(decode(deep.as_bytes(), Options::default()).unwrap_err().problem, Problem::TooDeep(128));
        let deep = format!(
            r#"{{"flow":{{"extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"a":{}1{}}}}}}}}}"#,
            open.repeat(127),
            close.repeat(127)
        );
        assert_eq!(decode(deep.as_bytes(), STRICT).unwrap_err().problem, Problem::TooDeep(128));
    }
}

#[test]
fn a_line_longer_than_asked_for_is_not_read() {
    let options = Options { max_bytes: 10, ..Options::default() };
    assert!(decode(b"{\"flow\":{}", options).unwrap_err().problem == Problem::Torn);
    assert_eq!(decode(b"{\"flow\":{}}", options).unwrap_err().problem, Problem::TooLong { bytes: 11, limit: 10 });
}

#[test]
fn an_extension_is_written_with_sorted_keys_and_gos_numbers() {
    let given = r#"{"flow":{"extensions":{"value":{"b":1.0,"a":[1e21,0.000001,"<",null,true,{"z":1,"y":-0.5}]},"@type":"type.googleapis.com/google.protobuf.Struct"}}}"#;
    let canonical = r#"{"flow":{"extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"a":[1e+21,0.000001,"\u003c",null,true,{"y":-0.5,"z":1}],"b":1}}}}"#;
    assert_eq!(written(given, STRICT).unwrap(), canonical);
    assert_eq!(written(canonical, STRICT).unwrap(), canonical);
    let other = r#"{"flow":{"extensions":{"@type":"type.googleapis.com/x.Y","b":1.0,"a":2}}}"#;
    assert_eq!(written(other, Options::default()).unwrap(), other);
    assert_eq!(written(r#"{"flow":{"extensions":{}}}"#, STRICT).unwrap(), r#"{"flow":{"extensions":{}}}"#);
}
