//! Reading `sysctl -a`: one `key = value` a line.
//!
//! Keys come in two spellings: dotted, in which a slash stands for a dot within a name (`net.ipv4.conf.eth0/10.forwarding`), and
//! with slashes, in which a dot is a dot (`net/ipv4/conf/eth0.10/forwarding`). The domain has the first.

use compact_str::CompactString;

use crate::diagnostic::Diagnostic;

/// The dotted spelling of a key.
pub fn dotted(key: &str) -> CompactString {
    let key = key.trim();
    let key = key.strip_prefix("/proc/sys/").unwrap_or(key);
    // The separator is whichever of the two comes first.
    match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'/') => key
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        Some(_) | None => key.into(),
    }
}

/// Reads the lines; those that say that a key could not be read are skipped, any other line without `=` is a diagnostic.
pub fn read(source: &str, text: &str) -> (Vec<(CompactString, CompactString)>, Vec<Diagnostic>) {
    let mut values = Vec::new();
    let mut diagnostics = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("sysctl:") {
            continue;
        }
        match line.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                values.push((dotted(key), value.trim().into()))
            }
            Some(_) | None => {
                diagnostics.push(Diagnostic::warning(
                    source,
                    format!(
                        "line {}: expected `key = value`, found `{line}`",
                        number + 1
                    ),
                ));
            }
        }
    }
    (values, diagnostics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_the_same_key() {
        assert_eq!(
            dotted("net.ipv4.conf.eth0/10.rp_filter"),
            "net.ipv4.conf.eth0/10.rp_filter"
        );
        assert_eq!(
            dotted("net/ipv4/conf/eth0.10/rp_filter"),
            "net.ipv4.conf.eth0/10.rp_filter"
        );
        assert_eq!(
            dotted("/proc/sys/net/ipv4/ip_forward"),
            "net.ipv4.ip_forward"
        );
    }

    #[test]
    fn lines_are_read_and_noise_is_told_apart() {
        let text = "net.ipv4.ip_forward = 1\nnet.ipv4.tcp_rmem = 4096\t131072\nsysctl: permission denied on key 'x'\n# c\nnonsense\nempty =\n";
        let (values, diagnostics) = read("file", text);
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            values,
            [
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv4.tcp_rmem", "4096\t131072"),
                ("empty", "")
            ]
        );
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(
            diagnostics[0].message,
            "line 5: expected `key = value`, found `nonsense`"
        );
    }
}
