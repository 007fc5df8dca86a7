//! Selectors by the text of `spec/hubble.md` §3.6, and against a naive model.

use super::*;

fn selects(selector: &str, labels: &[&str]) -> Option<bool> {
    Selector::parse(selector).ok().map(|s| s.matches(labels.iter().map(|l| Cow::Borrowed(*l))))
}

#[test]
fn every_operator_does_what_kubernetes_says() {
    let web = ["k8s:app=web", "k8s:n=7"];
    let table = [
        ("", true),
        ("app", true),
        ("!app", false),
        ("!tier", true),
        ("app=web", true),
        ("app==web", true),
        ("app!=web", false),
        ("tier!=web", true),
        ("app in (api, web)", true),
        ("app notin (api,web)", false),
        ("tier notin (a)", true),
        ("n>6", true),
        ("n>7", false),
        ("n<8", true),
        ("app>1", false),
        ("tier>1", false),
        ("app=web,n=7", true),
        ("app=web, !n", false),
        ("app>1,2", false),
        ("app\t=\nweb", true),
    ];
    for (selector, expected) in table {
        assert_eq!(selects(selector, &web), Some(expected), "{selector}");
    }
}

#[test]
fn empty_values_mean_present_and_empty() {
    for selector in ["app=", "app in ()", "app in (,)", "app in (x,)", "app in (,x)", "app in (x,,y)"] {
        assert_eq!(selects(selector, &["k8s:app"]), Some(true), "{selector}");
        assert_eq!(selects(selector, &["k8s:app=web"]), Some(false), "{selector}");
        assert_eq!(selects(selector, &[]), Some(false), "{selector}");
    }
}

#[test]
fn sources_select_and_any_selects_all() {
    let labels = ["k8s:app=web", "container:tier=front", "plain=1", ":bare=2", "$host", "reserved:=world"];
    let table = [
        ("k8s:app=web", true),
        ("container:app=web", false),
        ("any:app=web", true),
        ("unspec:app=web", true),
        ("any.app=web", false),
        ("plain=1", true),
        ("any:plain=1", true),
        ("bare=2", true),
        ("reserved:host", true),
        ("reserved:world", true),
        ("host", true),
    ];
    for (selector, expected) in table {
        assert_eq!(selects(selector, &labels), Some(expected), "{selector}");
    }
    assert_eq!(selects("k8s:plain", &labels), Some(false), "a label without a source has none that could be named");
}

#[test]
fn the_first_label_with_the_key_decides() {
    let one = ["k8s:app=api", "container:app=web"];
    let other = ["container:app=web", "k8s:app=api"];
    assert_eq!((selects("app=web", &one), selects("app!=web", &one)), (Some(false), Some(true)));
    assert_eq!((selects("app=web", &other), selects("app!=web", &other)), (Some(true), Some(false)));
    assert_eq!(selects("container:app=web", &one), Some(true));
}

#[test]
fn a_wider_network_selects_a_narrower_label() {
    let labels = ["cidr:10.1.0.0/16", "cidr:2001-db8--0/32", "reserved:world"];
    let table = [
        ("cidr:10.0.0.0/8", true),
        ("cidr:0.0.0.0/0", true),
        ("cidr:10.1.2.0/24", false),
        ("cidr:2001-db8--0/32", true),
        ("cidr:2001-db8--0/16", true),
        ("any:10.1.0.0/16", true),
        ("any:10.0.0.0/8", false),
        ("cidr:nonsense/8", false),
        ("!cidr:nonsense/8", true),
    ];
    for (selector, expected) in table {
        assert_eq!(selects(selector, &labels), Some(expected), "{selector}");
    }
}

#[test]
fn what_kubernetes_refuses_is_refused() {
    let long = |n: usize| "a".repeat(n);
    for selector in [
        "app in",
        "app in (",
        "app in (a",
        "app in a",
        "app in (a b)",
        "app in (in x)",
        "app=web=x",
        "=web",
        "!",
        "!!app",
        "!app=web",
        "!app in (a)",
        "a b",
        "app=we b",
        "app,",
        ",app",
        "app,,b",
        " ",
        "app = ",
        "k8s:app:x=web",
        ":app=web",
        "$host",
        "app>x",
        "app>-3",
        "app>+3",
        "app>1.5",
        "app>",
        "app=-x",
        "app=x-",
        "app=a/b",
        "k8s:UPPER.x/y",
        "K8s:a/b",
        "a/b/c",
        "app>=5",
        "app\u{b}=x",
        "é",
    ] {
        let expected = if selector == "app = " { Some(true) } else { None };
        assert_eq!(selects(selector, &["k8s:app"]), expected, "{selector:?}");
    }
    assert!(Selector::parse(&long(59)).is_ok());
    assert!(Selector::parse(&long(60)).is_err());
    assert!(Selector::parse(&format!("k8s:{}", long(59))).is_ok());
    assert!(Selector::parse(&format!("k8s:{}", long(60))).is_err());
    assert!(Selector::parse(&format!("x/{}", long(63))).is_ok());
    assert!(Selector::parse(&format!("app={}", long(63))).is_ok());
    assert!(Selector::parse(&format!("app={}", long(64))).is_err());
}

#[test]
fn odd_keys_are_keys() {
    for selector in
        ["in", "notin", "in in (in)", "notin notin (notin)", "-app", "app.kubernetes.io/name=x", "io.kubernetes.pod.namespace=prod"]
    {
        assert!(Selector::parse(selector).is_ok(), "{selector}");
    }
}

proptest::proptest! {
    #[test]
    fn no_selector_panics(selector in r"[a-c:=!<>(), /.\-0-9\x00]{0,24}", labels in proptest::collection::vec("[a-c:=/.0-9$-]{0,8}", 0..4)) {
        if let Ok(parsed) = Selector::parse(&selector) {
            parsed.matches(labels.iter().map(|l| Cow::Borrowed(l.as_str())));
        }
    }

    #[test]
    fn equality_agrees_with_a_naive_model(
        labels in proptest::collection::vec(("(k8s|container|any)", "[ab]", "[xy]"), 0..6),
        source in proptest::option::of("(k8s|container)"), key in "[ab]", value in "[xy]", negative: bool,
    ) {
        let texts: Vec<String> = labels.iter().map(|(s, k, v)| format!("{s}:{k}={v}")).collect();
        let selector = format!("{}{key}{}{value}", source.as_ref().map(|s| format!("{s}:")).unwrap_or_default(), if negative { "!=" } else { "=" });
        let first = labels.iter().find(|(s, k, _)| *k == key && source.as_ref().is_none_or(|w| w == s));
        let expected = first.is_some_and(|(_, _, v)| *v == value) != negative;
        assert_eq!(Selector::parse(&selector).unwrap().matches(texts.iter().map(|t| Cow::Borrowed(t.as_str()))), expected);
    }
}
