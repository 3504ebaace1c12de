//! A prefix that is announced for the VIPs inside it.

use std::net::IpAddr;

use ipnet::IpNet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    pub prefix: IpNet,
    /// Name of the instance whose VIPs it stands for, and whose role it follows.
    pub instance: String,
    /// The VIPs inside are not announced themselves.
    pub summary_only: bool,
}

impl Aggregate {
    /// Whether it stands for this VIP.
    pub fn contains(&self, vip: IpAddr, instance: &str) -> bool {
        self.instance == instance && self.prefix.contains(&vip)
    }
}
