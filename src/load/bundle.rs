//! Snapshot bundles, and host facts put together from separate files and flags.

use serde_json::value::RawValue;

use crate::diagnostic::Diagnostic;
use crate::host::Host;

/// Which listing a text is. Address and link listings, and routes and rules of both families, are told apart by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPart {
    /// `ip -j -d addr`
    Addresses,
    /// `ip -j -d link`
    Links,
    /// `ip -j [-6] route show table all`
    Routes,
    /// `ip -j [-6] rule`
    Rules,
    /// `ip -j neigh`
    Neighbours,
    /// `bridge -j -d link`
    BridgeLinks,
    /// `bridge -j fdb`
    BridgeFdb,
    /// `sysctl -a`
    Sysctls,
}

/// Why an input could not be used at all. One line, lower case, no final period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {message}")]
pub struct HostError {
    pub source_name: String,
    pub message: String,
}

/// A snapshot bundle, read.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// The value of `nft -j list ruleset`, unparsed.
    pub ruleset_json: Option<Box<RawValue>>,
    /// `nft -a list ruleset`
    pub ruleset_text: Option<String>,
    pub host: Host,
    pub iptables_save: Option<String>,
    pub ip6tables_save: Option<String>,
    pub iptables_legacy_save: Option<String>,
    pub ip6tables_legacy_save: Option<String>,
    /// When it was taken, RFC 3339.
    pub taken: Option<String>,
    pub hostname: Option<String>,
    pub kernel: Option<String>,
    /// Version of the nfpath that took it.
    pub nfpath: Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Whether a text is a snapshot bundle, by content.
pub fn is_bundle(_text: &str) -> bool {
    false
}

/// Reads a snapshot bundle.
pub fn read(_source: &str, _text: &str) -> Result<Bundle, HostError> {
    Ok(Bundle::default())
}

/// Puts a host together from raw listings: which listing, what to call it in messages, its text.
/// An input that cannot be used at all is a diagnostic here, and its list stays incomplete.
pub fn assemble(_inputs: &[(HostPart, &str, &str)]) -> (Host, Vec<Diagnostic>) {
    (Host::default(), Vec::new())
}

/// Adds one raw listing to a host.
pub fn add_part(
    _host: &mut Host,
    _part: HostPart,
    _source: &str,
    _text: &str,
) -> Result<Vec<Diagnostic>, HostError> {
    Ok(Vec::new())
}

/// `--local ADDR`: an address of this host, on which device is not said.
pub fn apply_flag_local(_host: &mut Host, _value: &str) -> Result<(), HostError> {
    Ok(())
}

/// `--iface NAME=ADDR/LEN[,ADDR/LEN]`: a device, its addresses and their connected routes.
pub fn apply_iface(_host: &mut Host, _value: &str) -> Result<(), HostError> {
    Ok(())
}

/// `--route PREFIX,dev=IF[,via=ADDR][,table=N][,metric=N]`; PREFIX may be `default`.
pub fn apply_route(_host: &mut Host, _value: &str) -> Result<(), HostError> {
    Ok(())
}

/// `--bridge NAME=PORT,PORT`: a bridge and its ports.
pub fn apply_bridge(_host: &mut Host, _value: &str) -> Result<(), HostError> {
    Ok(())
}

/// `--sysctl KEY=VALUE`
pub fn apply_sysctl(_host: &mut Host, _value: &str) -> Result<(), HostError> {
    Ok(())
}
