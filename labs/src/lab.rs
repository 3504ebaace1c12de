//! A lab as it lies in its folder: topology, `lab.toml`, `expected.toml`. Reads, changes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::expected::Expected;
use crate::topology::{Endpoint, Link, Topology};

/// Name of the wire's namespace within a lab; no node may have it.
pub(crate) const WIRE: &str = "wire";

#[derive(Clone, Debug)]
pub struct Lab {
    pub topology: Topology,
    pub settings: Settings,
    pub expected: Expected,
    folder: PathBuf,
}

/// `lab.toml`: what the runner needs beyond the topology.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// One sentence for `lab list`.
    pub summary: String,
    /// Programs that must be on the PATH of the nodes.
    pub requires: Vec<String>,
    /// Links that pass through the wire, by their two ends.
    pub wires: Vec<[String; 2]>,
    /// Nodes that need certificates of one cluster in `../.run/pki` before the lab comes up.
    pub certificates: Vec<String>,
    /// Ends of links whose frames are captured during a test; tshark must find nothing malformed in them.
    pub capture: Vec<Endpoint>,
    /// Rules of tshark's `-d`, for protocols on ports of their own.
    pub decode: Vec<String>,
    /// What every capture must hold some of.
    pub speaks: Protocol,
    /// Seed of the wire's randomness.
    pub seed: u64,
}

/// A protocol that a lab is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Bgp,
    Bfd,
}

impl Protocol {
    /// A field that tshark fills in for every frame of it.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Bgp => "bgp.type",
            Self::Bfd => "bfd.sta",
        }
    }
}

impl Lab {
    /// Finds a lab by name, folder or topology file and checks everything in it.
    ///
    /// # Errors
    /// It does not exist or one of its files is wrong.
    pub fn load(name: impl AsRef<Path>) -> Result<Self> {
        let file = find(name.as_ref())?;
        let topology = Topology::load(&file)?;
        let folder = topology
            .folder()
            .canonicalize()
            .context(|| file.display().to_string())?;
        let settings = Settings::load(&folder.join("lab.toml"))?;
        let expected = Expected::load(&folder.join("expected.toml"))?;
        let lab = Self {
            topology,
            settings,
            expected,
            folder,
        };
        lab.check()?;
        Ok(lab)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.topology.name
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Logs, state and diagnostics of a run: `.run/<lab>` beside the labs.
    #[must_use]
    pub fn run_folder(&self) -> PathBuf {
        self.folder
            .parent()
            .unwrap_or(Path::new("/"))
            .join(".run")
            .join(self.name())
    }

    /// Certificates that all labs of this folder share.
    #[must_use]
    pub fn pki_folder(&self) -> PathBuf {
        self.folder
            .parent()
            .unwrap_or(Path::new("/"))
            .join(".run")
            .join("pki")
    }

    #[must_use]
    pub fn is_wired(&self, link: &Link) -> bool {
        let [a, b] = &link.ends;
        let same = |end: &Endpoint, text: &str| end.to_string() == text;
        self.settings
            .wires
            .iter()
            .any(|[x, y]| (same(a, x) && same(b, y)) || (same(a, y) && same(b, x)))
    }

    fn check(&self) -> Result<()> {
        let path = self.folder.join("lab.toml");
        let fault = |message: String| {
            Err(Error::Settings {
                path: path.clone(),
                message,
            })
        };
        if self.topology.nodes.contains_key(WIRE) {
            return fault(format!("no node may be called `{WIRE}`"));
        }
        let mut seen = BTreeSet::new();
        for [a, b] in &self.settings.wires {
            let known = |link: &Link| {
                let [x, y] = &link.ends;
                (x.to_string() == *a && y.to_string() == *b) || (x.to_string() == *b && y.to_string() == *a)
            };
            if !self.topology.links.iter().any(known) {
                return fault(format!("wires: {a} and {b} are not the ends of a link"));
            }
            if !seen.insert(a) || !seen.insert(b) {
                return fault(format!("wires: the link of {a} and {b} is named twice"));
            }
        }
        let ends: BTreeSet<&Endpoint> = self.topology.links.iter().flat_map(|link| &link.ends).collect();
        for end in &self.settings.capture {
            if !ends.contains(end) {
                return fault(format!("capture: {end} is not the end of a link"));
            }
            // A capture ends with the namespace it is made in.
            if self.expected.cuts(&end.node) {
                return fault(format!(
                    "capture: {end} loses its power in a step; name the other end"
                ));
            }
        }
        let path = self.folder.join("expected.toml");
        for node in self.expected.nodes() {
            if !self.topology.nodes.contains_key(node) {
                let message = format!("no such node: {node}");
                return Err(Error::Settings { path, message });
            }
        }
        Ok(())
    }
}

impl Settings {
    fn load(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|error| Error::Settings {
                path: path.to_owned(),
                message: error.to_string(),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(|| path.display().to_string()),
        }
    }
}

/// All labs of the labs folder, by name.
///
/// # Errors
/// There is no labs folder.
pub fn list() -> Result<Vec<PathBuf>> {
    let folder = labs_folder()?;
    let entries = std::fs::read_dir(&folder).context(|| folder.display().to_string())?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| topology_file(&entry.ok()?.path()))
        .collect();
    found.sort();
    Ok(found)
}

/// The folder of a lab, found by name without reading its files.
///
/// # Errors
/// There is no such lab.
pub fn folder_of(name: impl AsRef<Path>) -> Result<PathBuf> {
    let mut folder = find(name.as_ref())?;
    folder.pop();
    folder.canonicalize().context(|| folder.display().to_string())
}

fn find(name: &Path) -> Result<PathBuf> {
    if name.is_file() {
        return Ok(name.to_owned());
    }
    let below = labs_folder().ok().map(|folder| folder.join(name));
    below
        .iter()
        .map(PathBuf::as_path)
        .chain([name])
        .find_map(topology_file)
        .ok_or_else(|| Error::Missing(format!("no lab called {}; `lab list` names them", name.display())))
}

/// The one `*.clab.yml` of a folder.
fn topology_file(folder: &Path) -> Option<PathBuf> {
    let name = folder.file_name()?.to_str()?;
    let file = folder.join(format!("{name}.clab.yml"));
    file.is_file().then_some(file)
}

/// `$BATON_LABS`, or `labs` in this folder or one above it, or where this crate was built.
fn labs_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BATON_LABS") {
        return Ok(folder.into());
    }
    let here = std::env::current_dir().context(|| "current folder".into())?;
    here.ancestors()
        .map(|folder| folder.join("labs"))
        .chain([PathBuf::from(env!("CARGO_MANIFEST_DIR"))])
        .find(|folder| folder.join("Cargo.toml").is_file())
        .ok_or_else(|| Error::Missing("no labs folder here; set BATON_LABS to it".into()))
}

#[cfg(test)]
mod tests {
    use super::Lab;

    /// Loads a lab of two nodes and a link with the given `lab.toml` and `expected.toml`.
    fn load(settings: &str, expected: &str) -> Result<Lab, String> {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("x");
        std::fs::create_dir(&folder).unwrap();
        let topology = "
name: x
topology:
  defaults: {kind: linux, network-mode: none}
  nodes: {a: {}, b: {}}
  links:
    - endpoints: [\"a:eth1\", \"b:eth1\"]
";
        std::fs::write(folder.join("x.clab.yml"), topology).unwrap();
        std::fs::write(folder.join("lab.toml"), settings).unwrap();
        std::fs::write(folder.join("expected.toml"), expected).unwrap();
        Lab::load(&folder).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wire_is_named_by_its_ends_in_either_order() {
        let lab = load("wires = [[\"b:eth1\", \"a:eth1\"]]", "").unwrap();
        assert!(lab.is_wired(&lab.topology.links[0]));
        assert!(!load("", "").is_ok_and(|lab| lab.is_wired(&lab.topology.links[0])));
    }

    #[test]
    fn what_is_wrong_beside_the_topology_is_named() {
        let step = |keys: &str| format!("[[step]]\ntitle = \"t\"\n{keys}\n");
        for (settings, expected, reason) in [
            ("wire = []", "", "unknown field"),
            ("wires = [[\"a:eth1\", \"b:eth2\"]]", "", "not the ends of a link"),
            (
                "wires = [[\"a:eth1\", \"b:eth1\"], [\"b:eth1\", \"a:eth1\"]]",
                "",
                "named twice",
            ),
            ("capture = [\"a:eth2\"]", "", "not the end of a link"),
            (
                "capture = [\"a:eth1\"]",
                &step("power-cut = \"a\""),
                "loses its power",
            ),
            (
                "",
                &step("frames = { filter = \"bgp\", since = \"m\" }"),
                "no mark `m`",
            ),
            (
                "",
                &step("frames = { filter = \"bgp\", values = [] }"),
                "`values` without",
            ),
            ("", &step("node = \"c\"\nrun = \"x\""), "no such node: c"),
            ("", &step("power-cut = \"c\""), "no such node: c"),
            ("", &step("node = \"a\""), "step 1 (t): a step has either"),
            (
                "",
                &step("node = \"a\"\nrun = \"x\"\nkill = \"a\""),
                "a step has either",
            ),
            ("", &step("node = \"a\"\nrun = \"'x\""), "unterminated"),
            (
                "",
                &step("node = \"a\"\nrun = \"x\"\ntexts = []"),
                "unknown field",
            ),
        ] {
            let error = load(settings, expected).unwrap_err();
            assert!(error.contains(reason), "{settings} {expected}: {error}");
        }
    }
}
