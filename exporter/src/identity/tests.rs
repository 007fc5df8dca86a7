//! Looking addresses up, and what a file of identities may say.

use super::*;

fn table(text: &str, own: &[&str], node: &str) -> Identities {
    let file = read(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    let own = own.iter().map(|address| address.parse().unwrap()).collect();
    Identities::new(&[Source::File(file), Source::Host(own)], node)
}

fn who<'i>(identities: &'i Identities, address: &str) -> &'i Who {
    identities.of(address.parse().unwrap())
}

const SHOP: &str = "\
identities:
  10.0.1.7:
    namespace: shop
    pod: cart-7d9f
    labels: [app=cart, 'reserved:x', tier]
    workload: Deployment/cart
    service: shop/cart
    names: [cart.shop.example.]
    identity: 4711
    cluster: east
  10.0.1.0/24: {namespace: shop}
  10.0.0.0/8: {reserved: remote-node}
  0.0.0.0/0: {names: [everybody]}
  fd00::/8: {labels: {app: db}, node: n2}
  fd00::7: {pod: db-0, namespace: shop, node: n1}
";

#[test]
fn the_longest_network_that_holds_an_address_counts() {
    let identities = table(SHOP, &[], "n1");
    for (address, namespace, number) in [
        ("10.0.1.7", "shop", 4711),
        ("10.0.1.8", "shop", 0),
        ("10.2.0.1", "", 6),
        ("8.8.8.8", "", 9),
        ("2001:db8::1", "", 10),
        ("127.0.0.1", "", 9),
    ] {
        let endpoint = who(&identities, address).endpoint();
        assert_eq!((endpoint.namespace.as_ref(), endpoint.identity), (namespace, number), "{address}");
    }
    assert_eq!(who(&identities, "8.8.8.8").names().first().as_deref(), Some("everybody"));
    assert_eq!(who(&identities, "::ffff:10.0.1.7"), who(&identities, "10.0.1.7"));
}

#[test]
fn all_that_a_file_says_stands_in_the_endpoint() {
    let identities = table(SHOP, &[], "n1");
    let cart = who(&identities, "10.0.1.7");
    let endpoint = cart.endpoint();
    assert_eq!(endpoint.labels.iter().collect::<Vec<_>>(), ["k8s:app=cart", "k8s:tier", "reserved:x"]);
    assert_eq!((endpoint.pod_name.as_ref(), endpoint.cluster_name.as_ref()), ("cart-7d9f", "east"));
    assert_eq!((endpoint.workloads[0].kind.as_ref(), endpoint.workloads[0].name.as_ref()), ("Deployment", "cart"));
    let service = cart.service().unwrap();
    assert_eq!((service.namespace.as_ref(), service.name.as_ref()), ("shop", "cart"));
    assert_eq!(cart.names().first().as_deref(), Some("cart.shop.example"));
    assert_eq!(who(&identities, "fd00::1").endpoint().labels.first().as_deref(), Some("k8s:app=db"));
}

#[test]
fn pods_of_this_node_and_the_host_itself_are_local() {
    let identities = table(SHOP, &["10.9.9.9", "fd00::9"], "n1");
    for (address, local, host) in [
        ("10.0.1.7", true, false),
        ("10.0.1.8", false, false),
        ("fd00::7", true, false),
        ("fd00::1", false, false),
        ("10.9.9.9", true, true),
        ("fd00::9", true, true),
        ("8.8.8.8", false, false),
    ] {
        let who = who(&identities, address);
        assert_eq!((who.is_local(), who.is_this_host()), (local, host), "{address}");
    }
    assert!(!who(&table(SHOP, &[], "n2"), "fd00::7").is_local());
    assert_eq!(who(&identities, "10.9.9.9").endpoint().identity, 1);
    assert_eq!(who(&table("", &[], "n"), "127.0.0.1").endpoint().identity, 1);
}

#[test]
fn an_own_address_keeps_what_the_file_says_of_it() {
    let identities = table("identities: {10.0.0.1: {names: [gw.example]}}", &["10.0.0.1"], "n");
    let own = who(&identities, "10.0.0.1");
    assert_eq!((own.endpoint().identity, own.names().first().as_deref()), (1, Some("gw.example")));
    assert_eq!(own.endpoint().labels.first().as_deref(), Some("reserved:host"));
}

#[test]
fn a_new_table_has_a_higher_generation() {
    let first = table("", &[], "n").generation();
    assert!(table("", &[], "n").generation() > first);
}

#[test]
fn mistakes_are_refused_with_key_and_line() {
    for (text, message) in [
        ("identities:\n  10.0.0: {}", "line 2: identities.10.0.0: `10.0.0` is no address"),
        ("identities:\n  10.0.0.0/33: {}", "line 2: "),
        ("identities:\n  10.0.0.1/8: {}\n  10.2.0.0/8: {}", "in another spelling"),
        ("identities:\n  10.0.0.1: {namspace: x}", "line 2: identities.10.0.0.1.namspace: is not a known key; did you mean namespace?"),
        ("identities:\n  10.0.0.1: {workload: cart}", "write it like Deployment/cart"),
        ("identities:\n  10.0.0.1: {reserved: world}", "write one of host, remote-node"),
        ("identities:\n  10.0.0.1: {labels: app=cart}", "write [\"app=cart\"]"),
        ("identities:\n  10.0.0.1: {pod: a}\n  10.0.0.1: {pod: b}", "second time"),
        ("10.0.0.1: {pod: a}", "known here: identities"),
        ("identities: [", "not YAML"),
    ] {
        let problems = read(text.as_bytes()).expect_err(text).to_string();
        assert!(problems.contains(message), "{text}: {problems}");
    }
}

#[test]
fn the_example_is_valid() {
    assert_eq!(read(include_bytes!("../../../configs/identities.yaml")).map(|file| file.len()), Ok(4));
}
