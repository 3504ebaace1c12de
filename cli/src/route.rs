//! `batonctl get route`.

use api::{Route, RouteTable, path};

use crate::client::{Client, encoded};
use crate::failure::Failure;
use crate::output::{Format, or_dash, show, table};
use crate::{Family, Output};

#[derive(clap::Args)]
pub(crate) struct Query {
    /// What is announced to the neighbors (also without any of these).
    #[arg(long, group = "table")]
    advertised: bool,
    /// What the neighbors announce.
    #[arg(long, group = "table")]
    received: bool,
    /// What the import policies left of it.
    #[arg(long, group = "table")]
    accepted: bool,
    /// What is in use.
    #[arg(long, group = "table")]
    best: bool,
    /// Only of this neighbor.
    #[arg(long, value_name = "ADDRESS")]
    neighbor: Option<String>,
    /// Only this prefix and those inside it.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Only this family.
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Show at most so many.
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

impl Query {
    pub(crate) fn run(&self, client: &Client) -> Result<(), Failure> {
        let mut all = RouteTable::default();
        loop {
            let part: RouteTable = client
                .get(&self.path(all.next.as_deref()))
                .map_err(|failure| failure.absent("neighbor"))?;
            all.table = part.table;
            all.routes.extend(part.routes);
            all.next = part.next;
            if all.next.is_none() || all.routes.len() >= self.limit {
                break;
            }
        }
        if all.routes.len() > self.limit {
            all.routes.truncate(self.limit);
            // The next part would begin too late.
            all.next = Some(String::new());
        }
        let format = self.output.output;
        show(format, &all, |routes| text(routes, format))
    }

    fn path(&self, after: Option<&str>) -> String {
        let table = match (self.received, self.accepted, self.best) {
            (true, _, _) => "received",
            (_, true, _) => "accepted",
            (_, _, true) => "best",
            (false, false, false) => "advertised",
        };
        let family = self.family.map(|family| family.name().to_owned());
        let parameters = [
            ("neighbor", self.neighbor.as_deref()),
            ("prefix", self.prefix.as_deref()),
            ("family", family.as_deref()),
            ("after", after),
        ];
        let mut path = format!("{}?table={table}", path::ROUTES);
        for (name, value) in parameters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        path
    }
}

fn text(routes: &RouteTable, format: Format) -> String {
    let rows = match format {
        Format::Wide => table(
            [
                "PREFIX",
                "NEIGHBOR",
                "PATH-ID",
                "NEXT-HOP",
                "MED",
                "LOCAL-PREF",
                "ORIGIN",
                "AS-PATH",
                "COMMUNITIES",
                "FLAGS",
                "REASON",
            ],
            routes.routes.iter().map(wide_row),
        ),
        Format::Table | Format::Json => table(
            [
                "PREFIX",
                "NEIGHBOR",
                "NEXT-HOP",
                "MED",
                "LOCAL-PREF",
                "AS-PATH",
                "COMMUNITIES",
                "FLAGS",
            ],
            routes.routes.iter().map(row),
        ),
    };
    let more = if routes.next.is_some() {
        "\n\nnot all are shown: --limit, --prefix and --neighbor choose"
    } else {
        ""
    };
    format!("{rows}{more}")
}

fn number(value: Option<u32>) -> String {
    value.map_or("-".to_owned(), |value| value.to_string())
}

fn flags(route: &Route) -> String {
    let flags: Vec<&str> = [("best", route.best), ("stale", route.stale)]
        .iter()
        .filter(|flag| flag.1)
        .map(|flag| flag.0)
        .collect();
    or_dash(&flags.join(","))
}

fn row(route: &Route) -> [String; 8] {
    [
        route.prefix.clone(),
        or_dash(&route.neighbor),
        route.next_hop.clone(),
        number(route.med),
        number(route.local_pref),
        or_dash(&route.as_path),
        or_dash(&route.communities.join(" ")),
        flags(route),
    ]
}

fn wide_row(route: &Route) -> [String; 11] {
    let next_hop = match &route.link_local_next_hop {
        Some(link_local) => format!("{} {link_local}", route.next_hop),
        None => route.next_hop.clone(),
    };
    [
        route.prefix.clone(),
        or_dash(&route.neighbor),
        route.path_id.to_string(),
        next_hop,
        number(route.med),
        number(route.local_pref),
        or_dash(&route.origin),
        or_dash(&route.as_path),
        or_dash(&route.communities.join(" ")),
        flags(route),
        or_dash(route.reason.as_deref().unwrap_or("")),
    ]
}
