//! Giving orders to the relay.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Counters, Direction, Impairment, Order};
use crate::error::{Context, Error, Result};

/// Time for an answer; the relay answers within microseconds unless it is gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A lab's wire. Links are named by either end (`lb1:eth1`). Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Wire {
    folder: PathBuf,
    links: Vec<[String; 2]>,
}

impl Wire {
    pub(crate) fn new(run_folder: &Path, links: &[[String; 2]]) -> Self {
        Self {
            folder: run_folder.to_owned(),
            links: links.to_vec(),
        }
    }

    /// Swallows everything on a link, or stops doing so. Returns the time of effect.
    ///
    /// # Errors
    /// There is no such link on the wire, or the relay does not answer.
    pub fn blackhole(&self, link: &str, on: bool) -> Result<u64> {
        self.blackhole_direction(link, Direction::Both, on)
    }

    /// As [`Wire::blackhole`], one way.
    ///
    /// # Errors
    /// As for [`Wire::blackhole`].
    pub fn blackhole_direction(&self, link: &str, direction: Direction, on: bool) -> Result<u64> {
        let links = vec![self.index(link)?];
        Ok(self
            .order(&Order::Blackhole {
                links,
                direction,
                on,
                for_ns: None,
            })?
            .at_ns)
    }

    /// Swallows everything on a link for a time that the relay itself keeps.
    ///
    /// # Errors
    /// As for [`Wire::blackhole`].
    pub fn blackhole_for(&self, link: &str, duration: Duration) -> Result<u64> {
        let links = vec![self.index(link)?];
        let for_ns = Some(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
        Ok(self
            .order(&Order::Blackhole {
                links,
                direction: Direction::Both,
                on: true,
                for_ns,
            })?
            .at_ns)
    }

    /// Cuts all links of a node off at one time, or heals them.
    ///
    /// # Errors
    /// As for [`Wire::blackhole`].
    pub fn blackhole_node(&self, node: &str, on: bool) -> Result<u64> {
        let links = self.links_of(node);
        Ok(self
            .order(&Order::Blackhole {
                links,
                direction: Direction::Both,
                on,
                for_ns: None,
            })?
            .at_ns)
    }

    /// # Errors
    /// As for [`Wire::blackhole`].
    pub fn impair(&self, link: &str, direction: Direction, impairment: Impairment) -> Result<u64> {
        let links = vec![self.index(link)?];
        Ok(self
            .order(&Order::Impair {
                links,
                direction,
                impairment,
            })?
            .at_ns)
    }

    /// Counters of a link: from the first end to the second, and back.
    ///
    /// # Errors
    /// As for [`Wire::blackhole`].
    pub fn counters(&self, link: &str) -> Result<[Counters; 2]> {
        let index = self.index(link)?;
        let answer = self.order(&Order::Counters)?;
        answer
            .counters
            .get(index)
            .copied()
            .ok_or_else(|| Error::Wire(format!("no counters of {link}")))
    }

    /// The ends of all links on the wire.
    #[must_use]
    pub fn links(&self) -> &[[String; 2]] {
        &self.links
    }

    pub(crate) fn attach(&self, node: &str) -> Result<u64> {
        Ok(self
            .order(&Order::Attach {
                links: self.links_of(node),
            })?
            .at_ns)
    }

    pub(crate) fn links_of(&self, node: &str) -> Vec<usize> {
        let ends_here = |end: &String| end.split_once(':').is_some_and(|(name, _)| name == node);
        (0..)
            .zip(&self.links)
            .filter(|(_, ends)| ends.iter().any(ends_here))
            .map(|(index, _)| index)
            .collect()
    }

    fn index(&self, link: &str) -> Result<usize> {
        self.links
            .iter()
            .position(|ends| ends.iter().any(|end| end == link))
            .ok_or_else(|| {
                Error::Wire(format!(
                    "{link} is not on the wire; add its link to `wires` in lab.toml"
                ))
            })
    }

    fn order(&self, order: &Order) -> Result<Answer> {
        let what = || "order to the relay".to_owned();
        let mut stream = connect(&self.folder).context(what)?;
        stream.set_read_timeout(Some(PATIENCE)).context(what)?;
        let mut line = serde_json::to_vec(order)
            .map_err(std::io::Error::from)
            .context(what)?;
        line.push(b'\n');
        stream.write_all(&line).context(what)?;
        let mut text = String::new();
        BufReader::new(stream).read_line(&mut text).context(what)?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(std::io::Error::from)
            .context(what)?;
        match answer.error {
            None => Ok(answer),
            Some(error) => Err(Error::Wire(error)),
        }
    }
}

/// A unix socket's path is limited to 107 bytes, a run folder's is not: go through its descriptor.
pub(super) fn short_path(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/wire.sock", folder.as_raw_fd()))
}

fn connect(run_folder: &Path) -> std::io::Result<UnixStream> {
    let folder = File::open(run_folder)?;
    UnixStream::connect(short_path(&folder))
}
