//! Where the packet path is attached, and the links that keep it there.

use std::fs;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, Xdp, XdpMode};
use tracing::{info, warn};

use super::error::DataPathError;
use super::pins::{Pins, remove};
use crate::desired::Hook;

/// What an interface ended up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    Tcx,
    Xdp,
    XdpGeneric,
}

impl Attached {
    pub(super) const ALL: [Attached; 3] = [Attached::Tcx, Attached::Xdp, Attached::XdpGeneric];

    pub fn name(self) -> &'static str {
        match self {
            Attached::Tcx => "tcx",
            Attached::Xdp => "xdp",
            Attached::XdpGeneric => "xdp-generic",
        }
    }

    /// Whether XDP programs may redirect to the interface.
    pub fn is_native_xdp(self) -> bool {
        self == Attached::Xdp
    }
}

/// Drivers of virtual machines: XDP there costs segmentation offload.
const VIRTUAL: [&str; 6] = ["virtio_net", "vmxnet3", "hv_netvsc", "xen_netfront", "gve", "ena"];

/// What suits an interface: XDP on hardware, tcx on everything else.
pub(super) fn suggested(interface: &str) -> Attached {
    let driver = fs::read_link(format!("/sys/class/net/{interface}/device/driver"));
    let driver = driver
        .as_deref()
        .ok()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match driver {
        Some(driver) if !VIRTUAL.contains(&driver) => Attached::Xdp,
        _ => Attached::Tcx,
    }
}

pub(super) struct Hooks<'a> {
    pub(super) pins: &'a Pins,
    pub(super) xdp: &'a mut Xdp,
    pub(super) tc: &'a mut SchedClassifier,
}

impl Hooks<'_> {
    /// Attaches to the interface, or hands an existing link the new program: no packet is missed.
    pub(super) fn attach(&mut self, interface: &str, hook: Hook) -> Result<Attached, DataPathError> {
        let attached = match hook {
            Hook::Tcx => self.attach_by(interface, Attached::Tcx)?,
            Hook::Xdp => self.attach_by(interface, Attached::Xdp)?,
            Hook::XdpGeneric => self.attach_by(interface, Attached::XdpGeneric)?,
            Hook::Auto => match suggested(interface) {
                Attached::Xdp => self.attach_by(interface, Attached::Xdp).or_else(|error| {
                    warn!(interface, %error, "native XDP is not to be had, using tcx");
                    self.attach_by(interface, Attached::Tcx)
                })?,
                other @ (Attached::Tcx | Attached::XdpGeneric) => self.attach_by(interface, other)?,
            },
        };
        // The other hooks of a former configuration, once this one works.
        for other in Attached::ALL.into_iter().filter(|other| *other != attached) {
            remove(&self.pins.links().join(format!("{interface}-{}", other.name())))?;
        }
        info!(interface, hook = attached.name(), "attached");
        Ok(attached)
    }

    fn attach_by(&mut self, interface: &str, hook: Attached) -> Result<Attached, DataPathError> {
        let path = self.pins.links().join(format!("{interface}-{}", hook.name()));
        if let Ok(pinned) = PinnedLink::from_pin(&path) {
            match self.replace(pinned, hook) {
                Ok(()) => return Ok(hook),
                // The interface it was made for is gone.
                Err(reason) => {
                    info!(interface, reason, "link is stale, attaching anew");
                    remove(&path)?;
                }
            }
        }
        let refused = |reason: String| DataPathError::Attach {
            interface: interface.to_owned(),
            hook: hook.name(),
            reason,
        };
        let link = self.create(interface, hook).map_err(refused)?;
        link.pin(&path)
            .map_err(|error| refused(format!("pinning the link: {error}")))?;
        Ok(hook)
    }

    /// Gives a pinned link this program.
    fn replace(&mut self, pinned: PinnedLink, hook: Attached) -> Result<(), String> {
        let link = FdLink::from(pinned);
        match hook {
            Attached::Tcx => {
                let link = link.try_into().map_err(text)?;
                let id = self.tc.attach_to_link(link).map_err(text)?;
                self.tc.take_link(id).map(drop).map_err(text)
            }
            Attached::Xdp | Attached::XdpGeneric => {
                let link = link.try_into().map_err(text)?;
                let id = self.xdp.attach_to_link(link).map_err(text)?;
                self.xdp.take_link(id).map(drop).map_err(text)
            }
        }
    }

    fn create(&mut self, interface: &str, hook: Attached) -> Result<FdLink, String> {
        match hook {
            Attached::Tcx => {
                let options = TcAttachOptions::TcxOrder(LinkOrder::default());
                let id = self
                    .tc
                    .attach_with_options(interface, TcAttachType::Ingress, options)
                    .map_err(text)?;
                FdLink::try_from(self.tc.take_link(id).map_err(text)?).map_err(text)
            }
            Attached::Xdp | Attached::XdpGeneric => {
                let mode = if hook == Attached::Xdp {
                    XdpMode::Driver
                } else {
                    XdpMode::Skb
                };
                let id = self.xdp.attach(interface, mode).map_err(text)?;
                FdLink::try_from(self.xdp.take_link(id).map_err(text)?).map_err(text)
            }
        }
    }

    /// Detaches from interfaces that are no longer configured.
    pub(super) fn remove_others(&self, interfaces: &[String]) -> Result<(), DataPathError> {
        let wanted: Vec<String> = interfaces
            .iter()
            .flat_map(|interface| Attached::ALL.map(|hook| format!("{interface}-{}", hook.name())))
            .collect();
        for link in fs::read_dir(self.pins.links()).into_iter().flatten().flatten() {
            let name = link.file_name().to_string_lossy().into_owned();
            if !wanted.contains(&name) {
                info!(link = name, "detaching");
                remove(&link.path())?;
            }
        }
        Ok(())
    }
}

/// The whole chain of causes in one line.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
