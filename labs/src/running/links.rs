//! The links of a running lab: veth pairs, and the relay between the two of a wired link.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{PATIENCE, Running};
use crate::binaries;
use crate::error::{Context, Error, Result};
use crate::lab::WIRE;
use crate::link::{self, VethEnd};
use crate::netns::{Netns, run};
use crate::topology::Link;
use crate::wire;

impl Running {
    pub(super) fn wire_netns(&self) -> Netns {
        Netns::of(self.lab.name(), WIRE)
    }

    /// The wire's namespace has no addresses and says nothing by itself.
    pub(super) fn make_wire_netns(&self) -> Result<()> {
        let netns = self.wire_netns();
        netns.create()?;
        let silence = || {
            ["all", "default"]
                .into_iter()
                .try_for_each(|name| fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1"))
        };
        netns.run(silence)?.context(|| "the wire's namespace".into())
    }

    /// The veth pairs that realise a link: one, or two with the wire between. The node's end is first
    /// in each; with a wire, pair `i` is the one of `link.ends[i]`.
    pub(super) fn pairs(&self, link: &Link) -> Vec<[VethEnd; 2]> {
        let name = self.lab.name();
        let ends = link.ends.clone().map(|end| VethEnd {
            netns: Netns::of(name, &end.node),
            address: Some(link::ethernet_address(name, &end)),
            interface: end.interface,
        });
        let texts = link.ends.clone().map(|end| end.to_string());
        let wired = self
            .lab
            .settings
            .wires
            .iter()
            .position(|wire| wire.iter().all(|end| texts.contains(end)));
        let Some(index) = wired else { return vec![ends] };
        let forward = self
            .lab
            .settings
            .wires
            .get(index)
            .is_some_and(|[first, _]| *first == texts[0]);
        let mut inner = wire::interfaces(index);
        if !forward {
            inner.reverse();
        }
        let netns = self.wire_netns();
        ends.into_iter()
            .zip(inner)
            .map(|(end, interface)| {
                [
                    end,
                    VethEnd {
                        netns: netns.clone(),
                        interface,
                        address: None,
                    },
                ]
            })
            .collect()
    }

    pub(super) fn start_wire(&self) -> Result<()> {
        let mut command = Command::new(binaries::lab()?);
        command.arg("wire").arg("--netns").arg(self.wire_netns().path());
        command.arg("--folder").arg(self.lab.run_folder());
        command.args(["--seed", &self.lab.settings.seed.to_string()]);
        command.args(["--links", &self.lab.settings.wires.len().to_string()]);
        // It stays behind with its error stream; the log takes it, a pipe would never end.
        let log = self.lab.run_folder().join("wire.log");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).context(|| log.display().to_string())?);
        let status = command.status().context(|| "starting the wire".into())?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Wire(
            fs::read_to_string(&log).unwrap_or_default().trim().to_owned(),
        ))
    }

    /// After a power cut the kernel removes the far end of a veth pair when it comes round to it.
    pub(super) fn wait_absent(&self, end: &VethEnd) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while run("ip", &["-n", end.netns.name(), "link", "show", &end.interface]).is_ok() {
            if Instant::now() >= deadline {
                let message = format!("{} of the earlier life is still there", end.interface);
                return Err(Error::Wire(message));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

pub(super) fn make_pair(pair: &[VethEnd; 2], mtu: u32) -> Result<()> {
    link::create([&pair[0], &pair[1]], mtu)?;
    let wired = pair[1].address.is_none();
    let far = if wired {
        link::WIRE_OFFLOADS
    } else {
        link::NODE_OFFLOADS
    };
    for (end, offloads) in pair.iter().zip([link::NODE_OFFLOADS, far]) {
        link::offloads_off(&end.netns, &end.interface, offloads)?;
        link::up(end)?;
    }
    Ok(())
}
