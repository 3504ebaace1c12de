//! One service: a VIP, a port, and who serves it.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    pub name: String,
    pub vip: String,
    pub port: u16,
    pub protocol: String,
    pub mode: String,
    pub select: String,
    pub instance: String,
    pub endpoints: Vec<Endpoint>,
    /// Announced when it has an endpoint that can serve.
    pub healthy: bool,
    pub flows: u64,
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    pub address: String,
    pub port: u16,
    pub weight: u32,
}
