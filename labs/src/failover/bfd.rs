//! BFD times of a run, and the configuration files with these times in them.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::lab::Lab;

/// Written `30msx5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdTimes {
    pub interval_ms: u32,
    pub multiplier: u8,
}

/// What the files of the lab say.
const WRITTEN: BfdTimes = BfdTimes {
    interval_ms: 30,
    multiplier: 5,
};

impl FromStr for BfdTimes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected interval and multiplier as in 30msx5");
        let (interval, multiplier) = text.split_once("msx").ok_or_else(wrong)?;
        let times = Self {
            interval_ms: interval.parse().map_err(|_| wrong())?,
            multiplier: multiplier.parse().map_err(|_| wrong())?,
        };
        let sane = (1..=10_000).contains(&times.interval_ms) && times.multiplier > 0;
        if sane { Ok(times) } else { Err(wrong()) }
    }
}

impl std::fmt::Display for BfdTimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}ms x {}", self.interval_ms, self.multiplier)
    }
}

impl BfdTimes {
    #[must_use]
    pub fn interval(self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    #[must_use]
    pub fn detection_ms(self) -> f64 {
        f64::from(self.interval_ms) * f64::from(self.multiplier)
    }

    /// Points the binds of router and balancers to copies in `folder` that carry these times.
    pub(super) fn apply(self, lab: &mut Lab, folder: &Path) -> Result<()> {
        if self == WRITTEN {
            return Ok(());
        }
        fs::create_dir_all(folder).context(|| folder.display().to_string())?;
        for (node, target) in [
            ("router", "/etc/bird/bird.conf"),
            ("lb1", "/etc/baton/baton.toml"),
            ("lb2", "/etc/baton/baton.toml"),
        ] {
            let bind = lab
                .topology
                .nodes
                .get_mut(node)
                .and_then(|config| {
                    config
                        .binds
                        .iter_mut()
                        .find(|bind| bind.target == Path::new(target))
                })
                .ok_or_else(|| Error::Missing(format!("node {node} binds no {target}")))?;
            let text = fs::read_to_string(&bind.source).context(|| bind.source.display().to_string())?;
            let text = self.rewrite(&text).map_err(|key| Error::Settings {
                path: bind.source.clone(),
                message: format!("`{key}` is not there"),
            })?;
            let copy = folder.join(node);
            fs::write(&copy, text).context(|| copy.display().to_string())?;
            bind.source = copy;
        }
        Ok(())
    }

    /// The text of a configuration, bird's or batond's, with these times; the error names what is missing.
    fn rewrite(self, text: &str) -> Result<String, String> {
        let (interval, multiplier) = (self.interval_ms, self.multiplier);
        let bird = text.contains("protocol bfd");
        let changes = if bird {
            vec![
                (
                    format!("min rx interval {} ms;", WRITTEN.interval_ms),
                    format!("min rx interval {interval} ms;"),
                ),
                (
                    format!("min tx interval {} ms;", WRITTEN.interval_ms),
                    format!("min tx interval {interval} ms;"),
                ),
                (
                    format!("multiplier {};", WRITTEN.multiplier),
                    format!("multiplier {multiplier};"),
                ),
            ]
        } else {
            vec![
                (
                    format!("interval = \"{}ms\"", WRITTEN.interval_ms),
                    format!("interval = \"{interval}ms\""),
                ),
                (
                    format!("multiplier = {}", WRITTEN.multiplier),
                    format!("multiplier = {multiplier}"),
                ),
            ]
        };
        changes.into_iter().try_fold(text.to_owned(), |text, (from, to)| {
            if text.contains(&from) {
                Ok(text.replace(&from, &to))
            } else {
                Err(from)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        assert_eq!(
            "10msx3".parse(),
            Ok(BfdTimes {
                interval_ms: 10,
                multiplier: 3
            })
        );
        for wrong in ["", "10x3", "msx3", "10msx", "0msx3", "10msx0", "10msx300"] {
            assert!(wrong.parse::<BfdTimes>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_files_of_the_lab_can_be_rewritten() {
        let times = BfdTimes {
            interval_ms: 10,
            multiplier: 3,
        };
        let bird = times
            .rewrite(include_str!("../../failover/router/bird.conf"))
            .unwrap();
        assert!(bird.contains("min rx interval 10 ms;") && bird.contains("min tx interval 10 ms;"));
        assert!(bird.contains("multiplier 3;"));
        for file in [
            include_str!("../../failover/lb1.toml"),
            include_str!("../../failover/lb2.toml"),
        ] {
            let text = times.rewrite(file).unwrap();
            assert!(text.contains("interval = \"10ms\"") && text.contains("multiplier = 3"));
        }
        assert!(times.rewrite("nothing of this").is_err());
    }
}
