//! What must be there before a lab comes up; what is missing is named, not found out half-way.

use crate::binaries;
use crate::certificates;
use crate::error::{Error, Result};
use crate::lab::Lab;

/// Checks programs, makes certificates, checks binds.
pub(super) fn meet(lab: &Lab) -> Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Error::Missing("labs make namespaces and need root".into()));
    }
    let mut wanted = vec!["ip".to_owned()];
    wanted.extend(lab.settings.requires.iter().cloned());
    let mains = lab
        .topology
        .nodes
        .values()
        .filter_map(|node| node.command.as_ref()?.first());
    wanted.extend(mains.cloned());
    let missing = binaries::missing(&wanted)?;
    if !missing.is_empty() {
        let list = missing.join(", ");
        return Err(Error::Missing(format!(
            "lab {} needs programs that are not there: {list} (`tools/setup peers`, `cargo build`)",
            lab.name()
        )));
    }
    if !lab.settings.certificates.is_empty() {
        certificates::make(&lab.pki_folder(), &lab.settings.certificates)?;
    }
    let mut binds = lab.topology.nodes.values().flat_map(|node| &node.binds);
    match binds.find(|bind| !bind.source.exists()) {
        None => Ok(()),
        Some(bind) => Err(Error::Missing(format!(
            "{} does not exist, but a node binds it",
            bind.source.display()
        ))),
    }
}
