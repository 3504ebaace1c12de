//! A node of the topology: what the file may say about it, and what that means once the levels of
//! inheritance (`defaults`, `kinds`, `groups`, the node) are merged.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::Fault;
use crate::words;

/// A node with everything inherited.
#[derive(Clone, Debug, Default)]
pub struct NodeConfig {
    /// Main process; `None`: the node only forwards and runs what is executed in it.
    pub command: Option<Vec<String>>,
    /// Run in order when the links are there.
    pub exec: Vec<Vec<String>>,
    pub binds: Vec<Bind>,
    pub environment: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
}

/// A scalar where containerlab's schema admits several types.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }
}

/// The node's section, as written.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct NodeSection {
    kind: Option<Spanned<String>>,
    /// Used by containerlab alone: here every node has the root file system of the host.
    #[serde(rename = "image")]
    _image: Option<String>,
    pub(super) group: Option<Spanned<String>>,
    network_mode: Option<Spanned<String>>,
    cmd: Option<Spanned<String>>,
    exec: Vec<Spanned<String>>,
    binds: Vec<Spanned<String>>,
    env: BTreeMap<String, Scalar>,
    sysctls: BTreeMap<String, Scalar>,
    #[serde(rename = "labels")]
    _labels: BTreeMap<String, Scalar>,
}

/// The sections of all nodes, each with the line of its name.
pub(super) struct Sections(pub(super) Vec<(Spanned<String>, Option<NodeSection>)>);

impl<'de> Deserialize<'de> for Sections {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Sections;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("nodes by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sections, A::Error> {
                let mut sections = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    sections.push(entry);
                }
                Ok(Sections(sections))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

impl NodeSection {
    /// The first line that the section says something on; 0 if it says nothing.
    pub(super) fn line(&self) -> u64 {
        [&self.kind, &self.network_mode, &self.cmd, &self.group]
            .into_iter()
            .flatten()
            .chain(&self.exec)
            .chain(&self.binds)
            .map(|spanned| spanned.referenced.line())
            .min()
            .unwrap_or(0)
    }

    /// Fills in what a less specific level says; lists add up, that level first.
    pub(super) fn inherit(mut self, from: Option<&Self>) -> Self {
        let Some(from) = from else { return self };
        self.kind = self.kind.or_else(|| from.kind.clone());
        self.network_mode = self.network_mode.or_else(|| from.network_mode.clone());
        self.cmd = self.cmd.or_else(|| from.cmd.clone());
        self.exec = from.exec.iter().cloned().chain(self.exec).collect();
        self.binds = from.binds.iter().cloned().chain(self.binds).collect();
        for (name, value) in &from.env {
            self.env.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (name, value) in &from.sysctls {
            self.sysctls.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    pub(super) fn check(self, name: &Spanned<String>, base: &Path) -> Result<NodeConfig, Fault> {
        match &self.kind {
            Some(kind) if kind.value == "linux" => {}
            Some(kind) => {
                return Err(Fault::at(
                    kind,
                    format!("kind `{}`: only `linux` is realised", kind.value),
                ));
            }
            None => {
                return Err(Fault::at(
                    name,
                    format!("node {} has no kind; write `kind: linux`", name.value),
                ));
            }
        }
        match &self.network_mode {
            Some(mode) if mode.value == "none" => {}
            Some(mode) => {
                return Err(Fault::at(
                    mode,
                    format!("network-mode `{}`: only `none` is realised", mode.value),
                ));
            }
            None => {
                return Err(Fault::at(
                    name,
                    format!("node {} needs `network-mode: none`", name.value),
                ));
            }
        }
        let command = self.cmd.as_ref().map(split).transpose()?;
        let exec = self.exec.iter().map(split).collect::<Result<_, _>>()?;
        let mut binds: Vec<Bind> = Vec::new();
        for text in &self.binds {
            let bind = Bind::check(text, base)?;
            // A more specific level overrides the same target.
            binds.retain(|earlier| earlier.target != bind.target);
            binds.push(bind);
        }
        let flat = |map: &BTreeMap<String, Scalar>| map.iter().map(|(k, v)| (k.clone(), v.text())).collect();
        Ok(NodeConfig {
            command,
            exec,
            binds,
            environment: flat(&self.env),
            sysctls: flat(&self.sysctls),
        })
    }
}

impl Bind {
    fn check(text: &Spanned<String>, base: &Path) -> Result<Self, Fault> {
        let fault = |message: String| Fault::at(text, format!("bind `{}`: {message}", text.value));
        let mut parts = text.value.splitn(3, ':');
        let (Some(source), Some(target)) = (parts.next(), parts.next()) else {
            return Err(fault("expected source:target or source:target:ro".into()));
        };
        let read_only = match parts.next() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(other) => return Err(fault(format!("option `{other}`: only ro and rw are realised"))),
        };
        let source = base.join(source);
        // What the runner makes before a lab comes up need not be there when the file is read.
        let made = source.components().any(|part| part.as_os_str() == ".run");
        if !made && !source.exists() {
            return Err(fault(format!("{} does not exist", source.display())));
        }
        let target = PathBuf::from(target);
        let plain = target
            .components()
            .all(|part| !matches!(part, std::path::Component::ParentDir));
        if !target.is_absolute() || !plain {
            return Err(fault("the target must be an absolute path".into()));
        }
        Ok(Self {
            source,
            target,
            read_only,
        })
    }
}

fn split(line: &Spanned<String>) -> Result<Vec<String>, Fault> {
    let words = words::split(&line.value).map_err(|reason| Fault::at(line, reason))?;
    if words.is_empty() {
        return Err(Fault::at(line, "an empty command"));
    }
    Ok(words)
}
