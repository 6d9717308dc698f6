//! The arrows between crates, held against the picture in docs/architecture.md.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

/// The floors, highest first. A crate uses what stands below it; nothing points up. Crates on one
/// floor may use each other only where [`SIDEWAYS`] says so.
const FLOORS: &[&[&str]] = &[
    &["xtask", "claw-faults"],
    &["claw-cli"],
    &["claw-app"],
    &["claw-gateway", "claw-web"],
    &["claw-agent"],
    &["claw-delivery", "claw-backup", "claw-log"],
    ADAPTERS,
    &["claw-guard"],
    &["claw-channel", "claw-provider", "claw-tool", "claw-store"],
    &["claw-config", "claw-crypto", "claw-protocol", "claw-client"],
    &["claw-domain"],
];

/// One crate per foreign system; none knows another.
const ADAPTERS: &[&str] = &[
    "claw-channel-telegram",
    "claw-provider-anthropic",
    "claw-provider-openai",
    "claw-provider-demo",
    "claw-store-sqlite",
    "claw-store-memory",
    "claw-store-postgres",
    "claw-openclaw",
    "claw-tools",
];

/// Arrows along a floor: the gateway serves the pages, the client speaks the protocol.
const SIDEWAYS: &[(&str, &str)] = &[("claw-gateway", "claw-web"), ("claw-client", "claw-protocol")];

/// Who may know that adapters exist: `app` builds with them, the command line hands `claw-tools`
/// its own process for a helper, and so does the gateway that tests kill; a backup copies the one
/// store that is a file; `xtask` measures.
const KNOWS_ADAPTERS: &[&str] = &["claw-app", "xtask"];
const SINGLE: &[(&str, &str)] = &[
    ("claw-cli", "claw-tools"),
    ("claw-faults", "claw-tools"),
    ("claw-backup", "claw-store-sqlite"),
];

/// Fakes are for tests and for measuring.
const TESTKIT: &str = "claw-testkit";

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

/// What is wrong with an arrow, if anything.
fn fault(from: &str, to: &str) -> Option<String> {
    if to == TESTKIT {
        return (from != "xtask").then(|| format!("{from} ships {TESTKIT}"));
    }
    if from == TESTKIT {
        return (to != "claw-domain").then(|| format!("{TESTKIT} uses {to}"));
    }
    let (Some(above), Some(below)) = (floor(from), floor(to)) else {
        return Some(format!("{from} or {to} stands on no floor"));
    };
    if ADAPTERS.contains(&to) && !KNOWS_ADAPTERS.contains(&from) && !SINGLE.contains(&(from, to)) {
        return Some(format!("{from} knows the adapter {to}"));
    }
    if above > below || (above == below && !SIDEWAYS.contains(&(from, to))) {
        return Some(format!("{from} points up or sideways to {to}"));
    }
    None
}

fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
    let words = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output =
        Command::new(env!("CARGO")).args(words).current_dir(root).output().expect("cargo starts");
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

/// Every crate with the crates of ours that it ships with.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = |name: &str| packages.iter().any(|package| package["name"] == name);
    let uses = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies").iter();
        let shipped = all.filter(|dependency| dependency["kind"].is_null());
        shipped
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| ours(name))
            .map(str::to_owned)
            .collect()
    };
    packages
        .iter()
        .map(|package| (package["name"].as_str().expect("a name").to_owned(), uses(package)))
        .collect()
}

#[test]
fn no_arrow_points_up_and_only_app_knows_adapters() {
    let arrows = arrows();
    let faults: Vec<_> =
        arrows.iter().flat_map(|(from, all)| all.iter().filter_map(|to| fault(from, to))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The picture holds no crate that does not exist.
    for name in FLOORS.iter().copied().flatten() {
        assert!(arrows.contains_key(*name), "{name} is in the picture only");
    }
}

#[test]
fn the_check_sees_what_it_is_for() {
    assert!(fault("claw-domain", "claw-store").is_some(), "up");
    assert!(fault("claw-store-sqlite", "claw-store-memory").is_some(), "between adapters");
    assert!(fault("claw-agent", "claw-provider-anthropic").is_some(), "an adapter below the agent");
    assert!(fault("claw-gateway", TESTKIT).is_some(), "fakes in the shipped binary");
    assert!(fault("claw-new", "claw-domain").is_some(), "no floor");
    assert_eq!(fault("claw-agent", "claw-delivery"), None);
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_versions() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let path = package["manifest_path"].as_str().expect("a path");
        let manifest = std::fs::read_to_string(path).expect("the manifest reads");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{path} has lints of its own");
        let own_version = manifest.lines().find(|line| line.contains("version = \""));
        assert_eq!(own_version, None, "{path} names a version");
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest reads");
    assert!(manifest.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""));
}

#[test]
fn no_crate_is_there_for_later() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let main = package["targets"][0]["src_path"].as_str().expect("a path");
        let files = std::fs::read_dir(Path::new(main).parent().expect("a folder"))
            .expect("the folder reads")
            .count();
        let text = std::fs::read_to_string(main).expect("the file reads");
        let code = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(files > 1 || code > 20, "{} holds nothing yet", package["name"]);
    }
}
