//! `batonctl get neighbor`, `describe neighbor` and `neighbor enable|disable|refresh`.

use api::{Neighbor, NeighborSettings, path};

use crate::client::{Client, encoded};
use crate::failure::Failure;
use crate::output::{Format, age, line, or_dash, select, show, table, yes};
use crate::{Family, Output};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// Address, or interface of an unnumbered neighbor; all without it.
    address: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let neighbors: Vec<Neighbor> = client.get(path::NEIGHBORS)?;
        let neighbors = select(
            neighbors,
            "neighbor",
            self.address.as_ref(),
            |neighbor, wanted| neighbor.address == wanted,
        )?;
        let format = self.output.output;
        show(format, &neighbors, |neighbors| match format {
            Format::Wide => wide(neighbors),
            Format::Table | Format::Json => narrow(neighbors),
        })
    }
}

fn narrow(neighbors: &[Neighbor]) -> String {
    table(
        [
            "ADDRESS",
            "AS",
            "STATE",
            "SINCE",
            "BFD",
            "HOLD",
            "SENT",
            "RECEIVED",
            "ACCEPTED",
            "FLAPS",
            "LAST-ERROR",
        ],
        neighbors.iter().map(row),
    )
}

fn row(neighbor: &Neighbor) -> [String; 11] {
    [
        neighbor.address.clone(),
        autonomous_system(neighbor),
        state(neighbor),
        age(neighbor.since_ms),
        or_dash(&neighbor.bfd),
        neighbor.hold_time_ms.map_or("-".to_owned(), age),
        neighbor.advertised.to_string(),
        neighbor.received.to_string(),
        neighbor.accepted.to_string(),
        neighbor.flaps.to_string(),
        or_dash(neighbor.last_error.as_deref().unwrap_or("")),
    ]
}

fn wide(neighbors: &[Neighbor]) -> String {
    table(
        [
            "ADDRESS",
            "AS",
            "STATE",
            "SINCE",
            "BFD",
            "HOLD",
            "ROUTER-ID",
            "LOCAL",
            "FAMILIES",
            "HOPS",
            "AUTH",
            "IMPORT",
            "EXPORT",
            "SENT",
            "RECEIVED",
            "ACCEPTED",
            "STALE",
            "UPDATES-IN/OUT",
            "FLAPS",
            "DESCRIPTION",
            "LAST-ERROR",
        ],
        neighbors.iter().map(wide_row),
    )
}

fn wide_row(neighbor: &Neighbor) -> [String; 21] {
    let configured = &neighbor.configured;
    let text = |text: &Option<String>| or_dash(text.as_deref().unwrap_or(""));
    [
        neighbor.address.clone(),
        autonomous_system(neighbor),
        state(neighbor),
        age(neighbor.since_ms),
        or_dash(&neighbor.bfd),
        neighbor.hold_time_ms.map_or("-".to_owned(), age),
        text(&neighbor.router_id),
        text(&neighbor.local),
        or_dash(&neighbor.families.join(",")),
        or_dash(&configured.hops),
        or_dash(&configured.authentication),
        text(&configured.import),
        text(&configured.export),
        neighbor.advertised.to_string(),
        neighbor.received.to_string(),
        neighbor.accepted.to_string(),
        neighbor.stale.to_string(),
        format!("{}/{}", neighbor.updates_in, neighbor.updates_out),
        neighbor.flaps.to_string(),
        or_dash(&neighbor.description),
        text(&neighbor.last_error),
    ]
}

/// The number when it is known, otherwise what is expected.
fn autonomous_system(neighbor: &Neighbor) -> String {
    match neighbor.remote_as {
        0 => or_dash(&neighbor.remote_as_expected),
        number => number.to_string(),
    }
}

/// An operator's word and an idle hold say more than `idle`.
fn state(neighbor: &Neighbor) -> String {
    match (neighbor.enabled, neighbor.idle_hold_ms) {
        (false, _) => "disabled".to_owned(),
        (true, Some(_)) => "idle-hold".to_owned(),
        (true, None) => neighbor.state.clone(),
    }
}

#[derive(clap::Args)]
pub(crate) struct Describe {
    /// Address, or interface of an unnumbered neighbor.
    address: String,
}

impl Describe {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let path = path::NEIGHBOR.replace("{neighbor}", &encoded(&self.address));
        let neighbor: Neighbor = client.get(&path).map_err(|failure| failure.absent("neighbor"))?;
        show(Format::Table, &neighbor, described)
    }
}

/// Sections of `name  value` lines.
fn described(neighbor: &Neighbor) -> String {
    let text = |text: &Option<String>| or_dash(text.as_deref().unwrap_or(""));
    let time = |time: Option<u64>| time.map_or("-".to_owned(), age);
    let mut lines = vec![
        line("neighbor", &neighbor.address),
        line("description", &or_dash(&neighbor.description)),
        line(
            "as",
            &format!(
                "{}, configured {}",
                autonomous_system(neighbor),
                or_dash(&neighbor.remote_as_expected)
            ),
        ),
        line(
            "state",
            &format!("{} for {}", state(neighbor), age(neighbor.since_ms)),
        ),
        line("dynamic", &yes(neighbor.dynamic)),
        line("bfd", &or_dash(&neighbor.bfd)),
        line("local", &text(&neighbor.local)),
        line("router-id", &text(&neighbor.router_id)),
        line(
            "timers",
            &format!(
                "hold {}, keepalive {}",
                time(neighbor.hold_time_ms),
                time(neighbor.keepalive_ms)
            ),
        ),
        line("families", &or_dash(&neighbor.families.join(", "))),
        line("capabilities", &or_dash(&neighbor.capabilities.join(", "))),
        line("last error", &text(&neighbor.last_error)),
    ];
    if let Some(left) = neighbor.idle_hold_ms {
        lines.push(line("idle hold", &format!("{} left", age(left))));
    }
    lines.extend(settings(&neighbor.configured));
    lines.extend(counters(neighbor));
    lines.join("\n")
}

fn settings(configured: &NeighborSettings) -> Vec<String> {
    let text = |text: &Option<String>| or_dash(text.as_deref().unwrap_or(""));
    vec![
        String::new(),
        "configured".to_owned(),
        line(
            "  port",
            &format!("{}, passive {}", configured.port, yes(configured.passive)),
        ),
        line(
            "  timers",
            &format!(
                "hold {}, connect retry {}",
                age(configured.hold_time_ms),
                age(configured.connect_retry_ms)
            ),
        ),
        line("  families", &or_dash(&configured.families.join(", "))),
        line("  hops", &or_dash(&configured.hops)),
        line("  authentication", &or_dash(&configured.authentication)),
        line("  bfd", &or_dash(&configured.bfd)),
        line("  role", &text(&configured.role)),
        line("  import policy", &text(&configured.import)),
        line("  export policy", &text(&configured.export)),
        line("  max prefixes", &configured.max_prefixes.to_string()),
        line(
            "  graceful restart",
            &format!(
                "helper {}, restarter {}",
                yes(configured.graceful_restart_helper),
                yes(configured.graceful_restart_restarter)
            ),
        ),
        line(
            "  extensions",
            &format!(
                "add-path {}, extended messages {}, graceful shutdown {}",
                yes(configured.add_path),
                yes(configured.extended_messages),
                yes(configured.graceful_shutdown)
            ),
        ),
    ]
}

fn counters(neighbor: &Neighbor) -> Vec<String> {
    let both = |name: &str, inward: u64, outward: u64| line(name, &format!("in {inward}, out {outward}"));
    vec![
        String::new(),
        "routes".to_owned(),
        line("  advertised", &neighbor.advertised.to_string()),
        line(
            "  received",
            &format!(
                "{}, accepted {}, stale {}",
                neighbor.received, neighbor.accepted, neighbor.stale
            ),
        ),
        String::new(),
        "counters".to_owned(),
        both("  messages", neighbor.messages_in, neighbor.messages_out),
        both("  updates", neighbor.updates_in, neighbor.updates_out),
        both(
            "  notifications",
            neighbor.notifications_in,
            neighbor.notifications_out,
        ),
        both("  bytes", neighbor.bytes_in, neighbor.bytes_out),
        line("  refreshes", &format!("in {}", neighbor.refreshes_in)),
        line(
            "  connections",
            &format!(
                "opened {}, accepted {}, collisions {}",
                neighbor.connects, neighbor.accepts, neighbor.collisions
            ),
        ),
        line(
            "  sessions",
            &format!("established {}, lost {}", neighbor.established, neighbor.flaps),
        ),
        line(
            "  errors",
            &format!(
                "treated as withdraw {}, attributes discarded {}, routes rejected {}",
                neighbor.treated_as_withdraw, neighbor.attributes_discarded, neighbor.routes_rejected
            ),
        ),
    ]
}

#[derive(clap::Subcommand)]
pub(crate) enum Order {
    /// End an administrative shutdown, or the idle hold after too many prefixes.
    Enable {
        /// Address, or interface of an unnumbered neighbor.
        address: String,
    },
    /// Shut the session down until it is enabled again or the daemon restarts.
    Disable {
        /// Address, or interface of an unnumbered neighbor.
        address: String,
        /// A word for the operator of the neighbor (RFC 9003).
        #[arg(long, value_name = "TEXT", default_value = "")]
        message: String,
    },
    /// Ask for the neighbor's routes again and tell it ours again; the session stays.
    Refresh {
        /// Address, or interface of an unnumbered neighbor.
        address: String,
        /// Only ask for its routes.
        #[arg(long = "in", conflicts_with = "outward")]
        inward: bool,
        /// Only tell it ours.
        #[arg(long = "out")]
        outward: bool,
        /// Only this family.
        #[arg(long, value_enum)]
        family: Option<Family>,
    },
}

impl Order {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let path = |path: &str, address: &str| path.replace("{neighbor}", &encoded(address));
        let done = match self {
            Order::Enable { address } => client.post(&path(path::NEIGHBOR_ENABLE, address)),
            Order::Disable { address, message } => client.post(&format!(
                "{}?message={}",
                path(path::NEIGHBOR_DISABLE, address),
                encoded(message)
            )),
            Order::Refresh {
                address,
                inward,
                outward,
                family,
            } => {
                let mut query = Vec::new();
                if *inward || *outward {
                    query.push(format!("direction={}", if *inward { "in" } else { "out" }));
                }
                if let Some(family) = family {
                    query.push(format!("family={}", family.name()));
                }
                client.post(&format!(
                    "{}?{}",
                    path(path::NEIGHBOR_REFRESH, address),
                    query.join("&")
                ))
            }
        };
        done.map_err(|failure| failure.absent("neighbor"))
    }
}
