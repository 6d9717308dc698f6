//! What people read when they ask for help.

#[expect(dead_code, reason = "shared by several test binaries")]
mod process;
#[expect(dead_code, reason = "shared by several test binaries")]
mod support;

use support::Rig;

#[test]
fn help_says_what_can_be_typed() {
    let rig = Rig::new();
    let commands = [
        "",
        "gateway",
        "gateway run",
        "gateway status",
        "gateway stop",
        "gateway call",
        "gateway health",
        "agent",
        "status",
        "health",
        "dashboard",
        "config",
        "config show",
        "config get",
        "config set",
        "config unset",
        "config validate",
        "config schema",
        "config file",
        "pairing",
        "pairing list",
        "pairing approve",
        "sessions",
        "sessions list",
        "sessions reset",
        "why",
        "inbox",
        "inbox list",
        "outbox",
        "outbox list",
        "outbox retry",
        "outbox drop",
        "events",
        "events verify",
        "events export",
        "events import",
        "store",
        "store migrate",
        "backup",
        "backup create",
        "backup list",
        "backup verify",
        "backup restore",
        "import",
        "import openclaw",
        "export",
        "export openclaw",
        "doctor",
        "completion",
    ];
    let help: Vec<_> = commands
        .into_iter()
        .map(|command| {
            let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
            format!("$ rusty-claw {}\n{}", words.join(" "), rig.prints(&words))
        })
        .collect();
    insta::assert_snapshot!("help", help.join("\n"));
}

#[test]
fn the_version_is_printed_bare() {
    let rig = Rig::new();
    let expected = format!("{}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(rig.prints(&["-V"]), expected);
    assert_eq!(rig.prints(&["--version"]), expected);
}

#[test]
fn a_completion_script_knows_the_commands() {
    let rig = Rig::new();
    assert!(rig.prints(&["completion"]).starts_with("#compdef rusty-claw"));
    for shell in ["bash", "zsh", "fish"] {
        let script = rig.prints(&["completion", "-s", shell]);
        assert!(script.contains("dashboard"), "{shell}");
    }
}
