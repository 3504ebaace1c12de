//! The flags of kube-loxilb's users: BGP without a file of its own.
//!
//! They are merged with the file before anything is checked, at the start and at every reload, so that both say
//! the same or the configuration is refused. Neighbours from flags are told every VIP and import nothing, and
//! their packets carry the TTL that GoBGP's would.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use toml::Spanned;

use super::Finding;
use super::file;
use super::values::NeighborAddress;

/// What the command line says about BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BgpFlags {
    /// `--setBGP`.
    pub local_as: Option<u32>,
    /// `--extBGPPeers`.
    pub peers: ExternalPeers,
    /// `--listenBGPPort`.
    pub listen_port: Option<u16>,
}

/// `192.168.90.9:64512,[2001:db8::9]:4200000000`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalPeers(pub Vec<(IpAddr, u32)>);

impl FromStr for ExternalPeers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut peers = Vec::new();
        let mut known = BTreeSet::new();
        for item in text.split(',').map(str::trim) {
            let (address, number) = peer(item).map_err(|reason| format!("`{item}`: {reason}"))?;
            if !known.insert(address) {
                return Err(format!("`{item}`: {address} is named twice"));
            }
            peers.push((address, number));
        }
        Ok(ExternalPeers(peers))
    }
}

fn peer(item: &str) -> Result<(IpAddr, u32), String> {
    if item.is_empty() {
        return Err("is empty; write ADDRESS:AS, separated by commas".to_owned());
    }
    let (address, number): (IpAddr, &str) = match item.strip_prefix('[') {
        Some(rest) => {
            let (address, number) = rest
                .split_once("]:")
                .ok_or("an IPv6 address is written as [ADDRESS]:AS")?;
            let address: Ipv6Addr = address
                .parse()
                .map_err(|_| format!("`{address}` is no IPv6 address"))?;
            (address.into(), number)
        }
        None => {
            let (address, number) = item.rsplit_once(':').ok_or("has no AS; write ADDRESS:AS")?;
            let parsed: Result<Ipv4Addr, String> = address.parse().map_err(|_| match address.contains(':') {
                true => "an IPv6 address is written as [ADDRESS]:AS".to_owned(),
                false => format!("`{address}` is no IP address"),
            });
            (parsed?.into(), number)
        }
    };
    let number = number
        .parse()
        .map_err(|_| format!("`{number}` is no AS: it must be 1 to 4294967294"))?;
    Ok((address, number))
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn wrong<T>(at: Option<&Spanned<T>>, flag: &str, reason: String) -> Finding {
    Finding {
        span: at.map(Spanned::span).filter(|span| !span.is_empty()),
        key: flag.to_owned(),
        reason,
    }
}

impl BgpFlags {
    /// Adds the flags to the file, or says where the two contradict each other.
    pub(super) fn merge(&self, file: &mut file::File) -> Result<(), Vec<Finding>> {
        if *self == BgpFlags::default() {
            return Ok(());
        }
        let mut findings = Vec::new();
        match (&mut file.bgp, self.local_as) {
            (Some(bgp), Some(number)) if *bgp.local_as.get_ref() != number => {
                let reason = format!(
                    "is {number}, but the file has bgp.as = {}",
                    bgp.local_as.get_ref()
                );
                findings.push(wrong(Some(&bgp.local_as), "--setBGP", reason));
            }
            (Some(_), _) => {}
            (None, Some(number)) => file.bgp = Some(file::Bgp::new(unplaced(number))),
            (None, None) => {
                let reason = "needs --setBGP, or [bgp] in the file: which AS is this?".to_owned();
                let flag = match self.listen_port {
                    Some(_) => "--listenBGPPort",
                    None => "--extBGPPeers",
                };
                findings.push(wrong::<()>(None, flag, reason));
            }
        }
        if let Some(bgp) = &mut file.bgp {
            self.listen(bgp, &mut findings);
            self.neighbors(bgp, &mut findings);
        }
        if findings.is_empty() {
            Ok(())
        } else {
            Err(findings)
        }
    }

    /// Asking for a port is asking for a listener; without it there is none.
    fn listen(&self, bgp: &mut file::Bgp, findings: &mut Vec<Finding>) {
        let Some(port) = self.listen_port else { return };
        let written = !bgp.listen_port.span().is_empty();
        if (written || !bgp.listen.is_empty()) && *bgp.listen_port.get_ref() != port {
            let reason = format!(
                "is {port}, but the file has bgp.listen-port = {}",
                bgp.listen_port.get_ref()
            );
            findings.push(wrong(Some(&bgp.listen_port), "--listenBGPPort", reason));
            return;
        }
        bgp.listen_port = unplaced(port);
        if bgp.listen.is_empty() {
            let everywhere: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
            bgp.listen = everywhere.into_iter().map(unplaced).collect();
        }
    }

    fn neighbors(&self, bgp: &mut file::Bgp, findings: &mut Vec<Finding>) {
        for (address, number) in &self.peers.0 {
            let known = bgp.neighbor.iter().find_map(|neighbor| {
                let at = neighbor.get_ref().address.as_ref()?;
                matches!(at.get_ref(), NeighborAddress::Global(known) if known == address).then_some(at)
            });
            if known.is_some() {
                let reason = format!("neighbour {address} is in the file as well: name it once");
                findings.push(wrong(known, "--extBGPPeers", reason));
                continue;
            }
            let neighbor = file::Neighbor::external(*address, *number);
            bgp.neighbor.push(unplaced(neighbor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExternalPeers;

    #[test]
    fn peers_are_addresses_with_an_as() {
        let peers: ExternalPeers = " 192.168.90.9:64512 , [2001:db8::9]:4200000000".parse().unwrap();
        let shown: Vec<String> = peers
            .0
            .iter()
            .map(|(address, number)| format!("{address} {number}"))
            .collect();
        assert_eq!(shown, ["192.168.90.9 64512", "2001:db8::9 4200000000"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("", "``: is empty"),
            ("192.0.2.1:1,", "``: is empty"),
            ("192.0.2.1", "`192.0.2.1`: has no AS"),
            ("192.0.2.1:", "`` is no AS"),
            ("192.0.2.1:x", "`x` is no AS"),
            ("192.0.2.1:4294967296", "`4294967296` is no AS"),
            ("192.0.2:1", "`192.0.2` is no IP address"),
            ("2001:db8::9:1", "an IPv6 address is written as [ADDRESS]:AS"),
            ("[2001:db8::9]", "an IPv6 address is written as [ADDRESS]:AS"),
            ("[192.0.2.1]:1", "`192.0.2.1` is no IPv6 address"),
            (
                "192.0.2.1:1,192.0.2.1:2",
                "`192.0.2.1:2`: 192.0.2.1 is named twice",
            ),
        ] {
            let error = text.parse::<ExternalPeers>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
