//! Reports of sos(8) in the place of a snapshot: as a directory, as archives, damaged, and hostile.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::testdata;

const FLOW: &str = "tcp:10.0.0.7:4000->192.168.9.2:80";

fn nfpath(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nfpath"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .expect("the program runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A report with the listings of a small host.
fn report(folder: &Path) -> PathBuf {
    let commands = folder.join("sosreport-box/sos_commands");
    for plugin in ["networking", "firewall_tables", "kernel", "host"] {
        fs::create_dir_all(commands.join(plugin)).expect("a folder");
    }
    for file in support::files_below(&testdata("ip-text"), "") {
        let name = file.file_name().expect("a name");
        fs::copy(&file, commands.join("networking").join(name)).expect("copied");
    }
    fs::copy(
        testdata("small/dnat-loopback/ruleset.json"),
        commands.join("firewall_tables/nft_-j_list_ruleset"),
    )
    .expect("copied");
    let sysctls = "kernel.x = 1\nnet.ipv4.ip_forward = 1\nnet.ipv4.conf.all.forwarding = 1\nnet.ipv4.conf.lo.forwarding = 1\nnet.ipv4.tcp_fastopen_key = c0ffee\n";
    fs::write(commands.join("kernel/sysctl_-a"), sysctls).expect("written");
    fs::write(
        commands.join("kernel/uname_-a"),
        "Linux box 6.18.0 #1 SMP\n",
    )
    .expect("written");
    fs::write(commands.join("host/hostname"), "box\n").expect("written");
    commands
}

fn packed(folder: &Path, name: &str, how: &str) {
    let status = Command::new("tar")
        .args([how, name, "sosreport-box"])
        .current_dir(folder)
        .status()
        .expect("tar runs");
    assert!(status.success(), "tar {how}");
}

#[test]
fn a_directory_and_its_archives_say_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    report(folder.path());
    packed(folder.path(), "report", "-cf");
    let plain = nfpath(&["explain", "sosreport-box", "--flow", FLOW], folder.path());
    let text = String::from_utf8_lossy(&plain.stdout).replace("sosreport-box", "report");
    assert!(
        text.contains("(box, Linux 6.18.0)"),
        "{text}{}",
        stderr(&plain)
    );
    // the listing has no text beside it, which is worth a word
    let said = "part ruleset-text: could not be taken: the report has no firewall_tables/nft_-a_list_ruleset";
    assert!(stderr(&plain).contains(said), "{}", stderr(&plain));
    assert_eq!(stderr(&plain).lines().count(), 1, "{}", stderr(&plain));
    for how in ["-cf", "-czf", "-cJf"] {
        packed(folder.path(), "report", how);
        let archive = nfpath(&["explain", "report", "--flow", FLOW], folder.path());
        assert_eq!(String::from_utf8_lossy(&archive.stdout), text, "{how}");
    }
    // and as the facts of another ruleset
    let other = testdata("small/dnat-loopback/ruleset.json");
    let other = other.to_str().expect("a plain name");
    let args = ["explain", other, "--context", "report", "--flow", FLOW];
    let context = nfpath(&args, folder.path());
    let of_host = |text: &str| {
        text.lines()
            .find(|l| l.contains("request"))
            .map(str::to_owned)
    };
    assert_eq!(
        of_host(&String::from_utf8_lossy(&context.stdout)),
        of_host(&text)
    );
}

#[test]
fn what_a_report_lacks_is_named_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let commands = report(folder.path());
    fs::remove_file(commands.join("networking/ip_-4_rule_list")).expect("removed");
    fs::write(
        commands.join("networking/ip_route_show_table_all"),
        "bash: ip: command not found\n",
    )
    .expect("written");
    let output = nfpath(&["explain", "sosreport-box", "--flow", FLOW], folder.path());
    let said = stderr(&output);
    for wanted in [
        "part rules: could not be taken: the report has no networking/ip_-4_rule_list",
        "part routes: not JSON",
    ] {
        assert_eq!(said.matches(wanted).count(), 1, "{wanted}: {said}");
    }
}

#[test]
fn damaged_and_other_archives_are_one_clear_line() {
    let folder = tempfile::tempdir().expect("a folder");
    report(folder.path());
    packed(folder.path(), "whole", "-czf");
    let whole = fs::read(folder.path().join("whole")).expect("read");
    fs::write(folder.path().join("cut"), &whole[..whole.len() / 2]).expect("written");
    fs::write(
        folder.path().join("noise"),
        [&[0x1f, 0x8b][..], &[7; 600]].concat(),
    )
    .expect("written");
    fs::write(folder.path().join("inside"), "x").expect("written");
    fs::create_dir_all(folder.path().join("empty/sos_commands")).expect("a folder");
    for (name, wanted) in [("noise", "no report of sos"), ("empty", "no report of sos")] {
        let output = nfpath(&["explain", name, "--flow", FLOW], folder.path());
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1);
    }
    let cut = nfpath(&["explain", "cut", "--flow", FLOW], folder.path());
    let said = stderr(&cut);
    assert!(
        said.contains("cut off") || said.contains("ends within it") || said.contains("to its end"),
        "{said}"
    );
}

#[test]
fn a_report_does_not_lead_out_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let commands = report(folder.path());
    let secret = folder.path().join("secret");
    fs::write(&secret, "9:\tfrom all lookup 77\n").expect("written");
    let rules = commands.join("networking/ip_-4_rule_list");
    fs::remove_file(&rules).expect("removed");
    std::os::unix::fs::symlink(&secret, &rules).expect("a link");
    packed(folder.path(), "report", "-cf");
    for name in ["sosreport-box", "report"] {
        let output = nfpath(&["explain", name, "--flow", FLOW], folder.path());
        let said = stderr(&output);
        assert!(said.contains("part rules: could not be taken"), "{said}");
    }
    let before: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .flatten()
        .collect();
    assert_eq!(before.len(), 3, "nothing was unpacked: {before:?}");
}
