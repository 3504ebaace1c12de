//! The topology: a genuine containerlab `*.clab.yml`, of which we accept a strict subset.
//!
//! `Topology::load` parses and checks the file as a whole; every error carries the line. What is
//! outside the subset is refused, never ignored: a lab must mean the same here and under
//! containerlab. The subset is `kind: linux` with `network-mode: none`, `cmd`, `exec`, `binds`,
//! `env`, `sysctls`, `image`, `labels`, the three levels of inheritance (`defaults`, `kinds`,
//! `groups`), and veth links in the brief and the extended form.
//!
//! Pure: reads files, changes nothing. Used by the runner and by `lab validate`.

mod endpoint;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

pub use endpoint::Endpoint;
use node::NodeSection;
pub use node::{Bind, NodeConfig};

use crate::error::{Context, Error, Result};

/// MTU of a link that names none, as containerlab has it.
const DEFAULT_MTU: u32 = 9500;

/// A checked topology; everything inherited is already merged into the nodes.
#[derive(Clone, Debug)]
pub struct Topology {
    pub name: String,
    pub path: PathBuf,
    pub nodes: BTreeMap<String, NodeConfig>,
    pub links: Vec<Link>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub ends: [Endpoint; 2],
    pub mtu: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    topology: Sections,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    defaults: NodeSection,
    #[serde(default)]
    kinds: BTreeMap<String, NodeSection>,
    #[serde(default)]
    groups: BTreeMap<String, NodeSection>,
    nodes: node::Sections,
    #[serde(default)]
    links: Vec<LinkSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkSection {
    #[serde(rename = "type")]
    kind: Option<Spanned<String>>,
    endpoints: Spanned<Vec<Spanned<Endpoint>>>,
    mtu: Option<Spanned<u32>>,
}

/// A fault at a line of the file.
pub(crate) struct Fault {
    line: u64,
    message: String,
}

impl Fault {
    pub(crate) fn at<T>(spanned: &Spanned<T>, message: impl Into<String>) -> Self {
        Self {
            line: spanned.referenced.line(),
            message: message.into(),
        }
    }
}

impl Topology {
    /// # Errors
    /// The file cannot be read, is not YAML, or is outside the subset.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context(|| path.display().to_string())?;
        Self::parse(&text, path)
    }

    /// # Errors
    /// As for [`Topology::load`]; `path` names the file in errors and is the base of binds.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let fault = |message: String| Error::Topology {
            path: path.to_owned(),
            message,
        };
        let file: File = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            fault(format!("{line}: {error}"))
        })?;
        Self::check(file, path).map_err(|f| fault(format!("{}: {}", f.line, f.message)))
    }

    fn check(file: File, path: &Path) -> Result<Self, Fault> {
        check_name(&file.name)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let sections = file.topology;
        for (name, section) in &sections.kinds {
            if name != "linux" {
                return Err(Fault {
                    line: section.line(),
                    message: format!("kind `{name}`: only `linux` is realised"),
                });
            }
        }
        let mut nodes = BTreeMap::new();
        for (name, section) in sections.nodes.0 {
            check_name(&name)?;
            let mut section = section.unwrap_or_default();
            let group = section.group.as_ref();
            let inherited = match group {
                Some(group) => Some(
                    sections
                        .groups
                        .get(&group.value)
                        .ok_or_else(|| Fault::at(group, format!("no such group: {}", group.value)))?,
                ),
                None => None,
            };
            section = section
                .inherit(inherited)
                .inherit(sections.kinds.get("linux"))
                .inherit(Some(&sections.defaults));
            let config = section.check(&name, base)?;
            nodes.insert(name.value, config);
        }
        let mut used = BTreeSet::new();
        let mut links = Vec::new();
        for section in sections.links {
            links.push(check_link(section, &nodes, &mut used)?);
        }
        Ok(Self {
            name: file.name.value,
            path: path.to_owned(),
            nodes,
            links,
        })
    }

    /// The folder that binds are relative to.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// The links of a node, each with its own end first.
    pub fn links_of<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a Link, usize)> {
        self.links.iter().flat_map(move |link| {
            (0..2)
                .filter(move |&end| link.ends.get(end).is_some_and(|e| e.node == node))
                .map(move |end| (link, end))
        })
    }
}

impl Link {
    /// `lb1:eth1-router:eth2`, in the order of the file.
    #[must_use]
    pub fn name(&self) -> String {
        let [a, b] = &self.ends;
        format!("{a}-{b}")
    }
}

fn check_link(
    section: LinkSection,
    nodes: &BTreeMap<String, NodeConfig>,
    used: &mut BTreeSet<Endpoint>,
) -> Result<Link, Fault> {
    if let Some(kind) = section.kind.filter(|kind| kind.value != "veth") {
        return Err(Fault::at(
            &kind,
            format!("link type `{}`: only `veth` is realised", kind.value),
        ));
    }
    for end in &section.endpoints.value {
        if !nodes.contains_key(&end.value.node) {
            return Err(Fault::at(
                end,
                format!("link to a node that does not exist: {}", end.value.node),
            ));
        }
        end.value.check().map_err(|message| Fault::at(end, message))?;
        if !used.insert(end.value.clone()) {
            return Err(Fault::at(end, format!("{} is the end of two links", end.value)));
        }
    }
    if let Some(mtu) = section
        .mtu
        .as_ref()
        .filter(|mtu| !(68..=65535).contains(&mtu.value))
    {
        return Err(Fault::at(mtu, format!("mtu {} is outside 68..65535", mtu.value)));
    }
    let mtu = section.mtu.map_or(DEFAULT_MTU, |mtu| mtu.value);
    let (referenced, defined) = (section.endpoints.referenced, section.endpoints.defined);
    let ends: Vec<Endpoint> = section.endpoints.value.into_iter().map(|end| end.value).collect();
    match <[Endpoint; 2]>::try_from(ends) {
        Ok(ends) => Ok(Link { ends, mtu }),
        Err(ends) => {
            let here = Spanned::new((), referenced, defined);
            Err(Fault::at(
                &here,
                format!("a link has two endpoints, not {}", ends.len()),
            ))
        }
    }
}

/// Names become parts of namespace and file names.
fn check_name(name: &Spanned<String>) -> Result<(), Fault> {
    let fits = name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && name.value.len() <= 32;
    if fits {
        Ok(())
    } else {
        Err(Fault::at(
            name,
            format!("name `{}`: up to 32 of a-z A-Z 0-9 - _ expected", name.value),
        ))
    }
}

#[cfg(test)]
mod tests;
