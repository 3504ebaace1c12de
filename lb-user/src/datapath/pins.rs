//! The folder in the BPF file system that outlives the daemon.
//!
//! ```text
//! <pin-dir>/layout-3/SERVICES ...   maps, by layout version
//! <pin-dir>/programs/baton_tc ...   the programs in use
//! <pin-dir>/links/eth1-tcx ...      what keeps them attached
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lb_common::LAYOUT_VERSION;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use tracing::info;

use super::error::DataPathError;

const MOUNT_POINT: &str = "/sys/fs/bpf";

pub(super) struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Makes the folders, and mounts the file system where it belongs if nobody has.
    pub(super) fn open(root: &Path) -> Result<Self, DataPathError> {
        let pins = Pins {
            root: root.to_owned(),
        };
        if root.starts_with(MOUNT_POINT) && !is_bpf(Path::new(MOUNT_POINT)) {
            let path = PathBuf::from(MOUNT_POINT);
            mount(
                Some("bpf"),
                &path,
                Some("bpf"),
                MsFlags::empty(),
                Some("mode=700"),
            )
            .map_err(|source| DataPathError::FileSystem {
                path,
                source: source.into(),
            })?;
            info!(path = MOUNT_POINT, "mounted the BPF file system");
        }
        let existing = root
            .ancestors()
            .find(|folder| folder.exists())
            .unwrap_or(Path::new("/"));
        if !is_bpf(existing) {
            return Err(DataPathError::PinFolder(root.to_owned()));
        }
        for folder in [pins.maps(), pins.programs(), pins.links()] {
            fs::create_dir_all(&folder).map_err(|source| DataPathError::Pin {
                action: "create",
                path: folder,
                source,
            })?;
        }
        Ok(pins)
    }

    pub(super) fn maps(&self) -> PathBuf {
        self.root.join(format!("layout-{LAYOUT_VERSION}"))
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(super) fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Maps of other layouts: no program uses them any more.
    pub(super) fn remove_other_layouts(&self) {
        let Ok(folders) = fs::read_dir(&self.root) else {
            return;
        };
        for folder in folders.flatten().map(|entry| entry.path()) {
            let name = folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with("layout-") && folder != self.maps() {
                info!(path = %folder.display(), "removing the maps of another layout");
                for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
                    let _ = fs::remove_file(file.path());
                }
                let _ = fs::remove_dir(&folder);
            }
        }
    }
}

/// Removes a pin that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), DataPathError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataPathError::Pin {
            action: "remove",
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

fn is_bpf(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC)
}
