//! A packet as it is asked for on the command line.

/// A word for a shell: in quotes where a shell would make something else of it.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What `nfpath explain` takes to ask about a packet: `--flow 'icmp:10.0.0.2->10.0.0.1' --iif eth0 --icmp-type 3/4`.
pub fn flags(
    flow: &str,
    iif: Option<&str>,
    tcp_flags: Option<u8>,
    icmp: Option<(u8, u8)>,
) -> String {
    let mut words = format!("--flow '{flow}'");
    if let Some(iif) = iif {
        words += &format!(" --iif {}", shell(iif));
    }
    if let Some(flags) = tcp_flags {
        words += &format!(" --tcp-flags {flags:#x}");
    }
    if let Some((kind, code)) = icmp {
        words += &format!(" --icmp-type {kind}/{code}");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_expand_is_quoted() {
        assert_eq!(shell("eth0.100"), "eth0.100");
        assert_eq!(shell("ppp*"), "'ppp*'");
        assert_eq!(shell("a'b"), r"'a'\''b'");
        assert_eq!(shell("$x"), "'$x'");
    }
}
