//! What an election is made with, and what of it is refused.

use std::time::Duration;

use crate::hello::{MAX_INSTANCES, valid_name};

#[derive(Clone, Debug)]
pub struct Config {
    pub node: String,
    /// Random at each start: tells this incarnation from the last one.
    pub boot: u64,
    /// Names of the peers; empty: a lone node.
    pub peers: Vec<String>,
    pub instances: Vec<InstanceConfig>,
    pub timing: Timing,
}

#[derive(Clone, Debug)]
pub struct InstanceConfig {
    pub name: String,
    /// Higher is preferred; of equal ones the lower node name.
    pub priority: u32,
    /// Take the instance from a live holder of lower priority, once caught up.
    pub preempt: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A lone node claims after it.
    pub lone_hold: Duration,
    /// A node with peers waits so long for a sign of them before it claims, counted from [`crate::Input::Listening`].
    pub start_hold: Duration,
    pub hello_interval: Duration,
    /// A peer that is known by its hellos alone (BFD never came up) is dead after so much silence.
    pub hello_dead: Duration,
    /// A peer that BFD sees alive is waited for so long to say what it is. Then the lower of the two node names claims or
    /// keeps, and the other, a little later, releases: all without a hello.
    pub mute_limit: Duration,
    /// A drain ends after it even though a live peer has not taken over.
    pub drain_limit: Duration,
    /// A drain without any peer that could take over ends after it.
    pub drain_alone: Duration,
    /// Run so late, a peer may have taken over: this node's table is no longer the authority.
    pub freeze: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lone_hold: Duration::from_millis(200),
            start_hold: Duration::from_secs(1),
            hello_interval: Duration::from_millis(200),
            hello_dead: Duration::from_secs(1),
            mute_limit: Duration::from_secs(10),
            drain_limit: Duration::from_secs(20),
            drain_alone: Duration::from_secs(1),
            freeze: Duration::from_millis(300),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{0:?} is no valid name: 1 to 64 bytes without spaces")]
    Name(String),
    #[error("{0:?} is named twice")]
    Twice(String),
    #[error("{0} instances are more than {MAX_INSTANCES}")]
    TooMany(usize),
}

pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    if config.instances.len() > MAX_INSTANCES {
        return Err(ConfigError::TooMany(config.instances.len()));
    }
    let nodes: Vec<&String> = std::iter::once(&config.node).chain(&config.peers).collect();
    let instances: Vec<&String> = config.instances.iter().map(|i| &i.name).collect();
    for names in [nodes, instances] {
        for (index, name) in names.iter().enumerate() {
            if !valid_name(name) {
                return Err(ConfigError::Name((*name).clone()));
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(ConfigError::Twice((*name).clone()));
            }
        }
    }
    Ok(())
}
