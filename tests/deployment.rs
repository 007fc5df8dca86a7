//! What is shipped for hosts and clusters, held against the programs that will read it: systemd, a real kube-apiserver, Prometheus.

use std::path::{Path, PathBuf};
use std::process::Command;

use flowlog_tests::service::{Service, program};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
}

fn read(name: &str) -> String {
    let path = configs().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs a command and returns what it printed; fails with that when it fails.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{text}");
    text
}

#[test]
fn a_real_api_server_accepts_the_manifests() {
    let kube = Service::start("kube");
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(program("kubectl"));
        run(command.env("KUBECONFIG", kube.folder().join("kubeconfig")).env("HOME", kube.folder()).args(arguments).current_dir(configs()))
    };
    // A dry run stores nothing, so the namespace that the others name has to be there.
    kubectl(&["apply", "-f", "kubernetes/namespace.yaml"]);
    let answer = kubectl(&["apply", "--dry-run=server", "--validate=strict", "-k", "kubernetes"]);
    for object in ["namespace/flowlog", "serviceaccount/flowlog", "configmap/flowlog", "service/flowlog", "daemonset.apps/flowlog"] {
        assert!(answer.contains(object), "{object} is missing in:\n{answer}");
    }
    // And for real: what the server stored is what was meant, defaults filled in, nothing dropped.
    kubectl(&["apply", "--validate=strict", "-k", "kubernetes"]);
    let capabilities = "{.spec.template.spec.containers[0].securityContext.capabilities}";
    let stored = kubectl(&["get", "daemonset", "flowlog", "-n", "flowlog", "-o", &format!("jsonpath={capabilities}")]);
    assert_eq!(stored, r#"{"add":["BPF","NET_ADMIN","PERFMON"],"drop":["ALL"]}"#);
    let profiles = "{.spec.template.spec.containers[0].securityContext['appArmorProfile.type','seLinuxOptions.type']}";
    let stored = kubectl(&["get", "daemonset", "flowlog", "-n", "flowlog", "-o", &format!("jsonpath={profiles}")]);
    assert_eq!(stored, "Unconfined spc_t");
    kubectl(&["patch", "daemonset", "flowlog", "-n", "flowlog", "--type=json", "--patch-file", "kubernetes/detach.yaml"]);
    let stored = kubectl(&["get", "daemonset", "flowlog", "-n", "flowlog", "-o", "jsonpath={.spec.template.spec.containers[0].args[0]}"]);
    assert_eq!(stored, "detach");
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_little_exposed() {
    let unit = read("systemd/flowlog.service");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("flowlog.service");
    // systemd wants the program to exist; everything else stays as shipped.
    std::fs::write(&file, unit.replace("/usr/local/bin/flowlog", "/bin/true")).expect("a file");
    let complaints = run(Command::new("systemd-analyze").arg("verify").arg(&file));
    assert!(!complaints.contains("flowlog.service"), "{complaints}");
    // The exposure level is systemd's own, in tenths: network and the three capabilities cost most of it.
    run(Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=30"]).arg(&file));
}

#[test]
fn the_unit_never_gives_up_starting() {
    let unit = read("systemd/flowlog.service");
    let (head, service) = unit.split_once("[Service]").expect("a section");
    assert!(head.contains("\nStartLimitIntervalSec=0\n"), "{head}");
    assert!(service.contains("\nRestart=always\n") && service.contains("\nRestartSec=3\n"), "{service}");
}

#[test]
fn unit_and_daemonset_give_the_same_capabilities() {
    let unit = read("systemd/flowlog.service");
    let unit = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a bounding set");
    let daemonset = read("kubernetes/daemonset.yaml");
    let added = daemonset.lines().find_map(|line| line.trim().strip_prefix("add: [")).expect("added capabilities").trim_end_matches(']');
    let added: Vec<String> = added.split(", ").map(|name| format!("CAP_{name}")).collect();
    assert_eq!(unit.split(' ').collect::<Vec<_>>(), added);
}

#[test]
fn the_pods_listen_where_the_service_looks_and_cilium_does_not() {
    let (daemonset, service) = (read("kubernetes/daemonset.yaml"), read("kubernetes/service.yaml"));
    let after = |text: &str, key: &str| -> String {
        let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("no {key}"));
        rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
    };
    let port = after(&daemonset, "--listen=");
    assert_ne!(port, "9965", "Cilium's hubble-metrics");
    for (text, key) in [(&daemonset, "containerPort:"), (&daemonset, "hostPort:"), (&service, "prometheus.io/port:"), (&service, " port:")]
    {
        assert_eq!(after(text, key), port, "{key}");
    }
}

#[test]
fn every_expression_of_the_dashboard_is_promql() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/flowlog.json")).expect("JSON");
    let mut rules = String::from("groups:\n- name: dashboard\n  rules:\n");
    let mut count = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression").replace("$__rate_interval", "5m").replace("$instance", ".*");
            count += 1;
            rules += &format!("  - record: panel:{count}\n    expr: {}\n", serde_json::Value::from(expression));
        }
    }
    assert!(count > 30, "{count} expressions");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dashboard.yaml");
    std::fs::write(&file, rules).expect("a file");
    run(Command::new("promtool").args(["check", "rules"]).arg(file));
}

#[test]
fn every_shipped_configuration_passes_the_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = folder.path().join("configmap-flowlog.yaml");
    let configmap = read("kubernetes/configmap.yaml");
    let (_, text) = configmap.split_once("  flowlog.yaml: |\n").expect("the key of the ConfigMap");
    std::fs::write(&shipped, text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect::<Vec<_>>().join("\n"))
        .expect("a file");
    let mut files = vec![shipped, configs().join("../docker/flowlog.yaml")];
    for entry in std::fs::read_dir(configs()).expect("configs") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if path.extension().is_some_and(|end| end == "yaml") && text.contains("flowLogs:") {
            files.push(path);
        }
    }
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let output = flowlog_tests::program::run(&["check", file.to_str().expect("text")]);
        assert!(output.status.success(), "{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_image_holds_the_static_binary_alone_and_compose_mounts_what_exists() {
    let docker = configs().join("../docker");
    let dockerfile = std::fs::read_to_string(docker.join("Dockerfile")).expect("Dockerfile");
    let copies: Vec<&str> =
        dockerfile.lines().filter(|line| line.starts_with("COPY") || line.starts_with("ADD") || line.starts_with("RUN")).collect();
    assert_eq!(copies, ["COPY target/static/flowlog /usr/local/bin/flowlog"]);
    let compose = std::fs::read_to_string(docker.join("compose.yaml")).expect("compose.yaml");
    let mounts = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ."))
        .map(|rest| format!(".{}", rest.split(':').next().unwrap_or_default()));
    let mounts: Vec<String> = mounts.collect();
    assert!(mounts.len() >= 5, "{mounts:?}");
    for mount in mounts {
        assert!(docker.join(&mount).exists(), "{mount} does not exist");
    }
    // Docker's AppArmor profile lets nobody pin.
    assert!(compose.contains(r#""apparmor=unconfined""#));
    for service in ["flowlog", "loki", "grafana", "kafka", "minio"] {
        assert!(compose.contains(&format!("\n  {service}:\n")), "{service} is missing");
    }
    // In the container both files stand in one folder.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(docker.join("prometheus.yaml"), folder.path().join("prometheus.yaml")).expect("a copy");
    std::fs::copy(configs().join("alerts.yaml"), folder.path().join("alerts.yaml")).expect("a copy");
    run(Command::new("promtool").args(["check", "config"]).arg(folder.path().join("prometheus.yaml")));
}

/// All of the daemon's source, one text.
fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            into.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

#[test]
fn rules_and_dashboard_ask_only_for_series_that_the_daemon_has() {
    let text = read("alerts.yaml") + &read("grafana/flowlog.json");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names: std::collections::BTreeSet<&str> =
        text.split(|c| !word(c)).filter(|name| name.starts_with("hubble_") || name.starts_with("flowlog_")).collect();
    assert!(names.len() > 25, "{names:?}");
    let mut code = String::new();
    sources(&configs().join("../exporter/src"), &mut code);
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            // Hubble's families are written with or without their namespace.
            let bare = name.strip_prefix("hubble_").unwrap_or(name);
            !code.contains(&format!("\"{name}\"")) && !code.contains(&format!("\"{bare}\""))
        })
        .collect();
    assert!(missing.is_empty(), "nothing renders {missing:?}");
}

#[test]
fn the_file_that_observe_shows_has_what_the_alerts_ask_it_for() {
    for name in ["flowlog.yaml", "local.yaml", "kubernetes/configmap.yaml", "../docker/flowlog.yaml"] {
        let text = read(name);
        let (_, mask) = text.split_once("fieldMask:").unwrap_or_else(|| panic!("{name} has no mask"));
        let mask = &mask[..mask.find("extensions").unwrap_or(mask.len())];
        for field in ["verdict", "drop_reason_desc"] {
            assert!(mask.contains(field), "{name}: the first mask lacks {field}");
        }
    }
}
