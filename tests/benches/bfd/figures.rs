//! Quantiles, a table, and the rows of the file.
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Quantiles {
    /// By nearest rank; `None` of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            sorted.get(at).copied()
        };
        Some(Quantiles {
            p50: rank(50)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

pub(crate) const COLUMNS: [&str; 4] = ["baton", "bird", "frr", "floor"];

/// Widths of the table.
const NAME: usize = 62;
const COLUMN: usize = 23;

/// Everything that is printed and written.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Value>,
}

impl Report {
    /// What follows, how it is measured, and on how busy a machine.
    pub(crate) fn headline(&self, title: &str, notes: &[&str]) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split(' ').take(3).collect();
        println!("\n{title}; load average {}", load.join(" "));
        notes.iter().for_each(|note| println!("  {note}"));
        print!("{:<NAME$} {:>6}", "", "");
        COLUMNS.iter().for_each(|column| print!(" {column:>COLUMN$}"));
        println!(" {:>8}", "target");
    }

    /// One value of each column.
    pub(crate) fn row(
        &mut self,
        name: &str,
        unit: &str,
        values: &[(&str, Option<f64>)],
        target: Option<f64>,
    ) {
        print!("{name:<NAME$} {unit:>6}");
        for column in COLUMNS {
            print!(" {:>COLUMN$}", of(values, column).map_or("-".to_owned(), shown));
        }
        println!(" {:>8}", target.map_or("-".to_owned(), shown));
        self.keep(name, unit, values, target);
    }

    fn keep(&mut self, name: &str, unit: &str, values: &[(&str, Option<f64>)], target: Option<f64>) {
        let peers: serde_json::Map<String, Value> = values
            .iter()
            .filter(|(name, value)| !["baton", "floor"].contains(name) && value.is_some())
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        self.rows.push(json!({
            "name": name, "unit": unit, "baton": of(values, "baton"), "peers": peers,
            "floor": of(values, "floor"), "target": target,
        }));
    }

    /// p50, p99 and max of each column: one line, three rows.
    pub(crate) fn quantiles(&mut self, name: &str, columns: &[(&str, Vec<f64>)], target: Option<f64>) {
        let figures: Vec<(&str, Option<Quantiles>)> = columns
            .iter()
            .map(|(name, values)| (*name, Quantiles::of(values)))
            .collect();
        let cell = |column: &str| {
            let found = figures.iter().find(|(name, _)| *name == column);
            found.and_then(|(_, quantiles)| *quantiles).map(|quantiles| {
                let parts = [quantiles.p50, quantiles.p99, quantiles.max];
                parts.map(shown).join(" / ")
            })
        };
        print!("{name:<NAME$} {:>6}", "ms");
        for column in COLUMNS {
            print!(" {:>COLUMN$}", cell(column).unwrap_or("-".to_owned()));
        }
        println!(" {:>8}", target.map_or("-".to_owned(), shown));
        type Pick = fn(Quantiles) -> f64;
        let picks: [(&str, Pick); 3] = [
            ("p50", |quantiles| quantiles.p50),
            ("p99", |quantiles| quantiles.p99),
            ("max", |quantiles| quantiles.max),
        ];
        for (label, pick) in picks {
            let values: Vec<(&str, Option<f64>)> = figures
                .iter()
                .map(|(name, quantiles)| (*name, quantiles.map(pick)))
                .collect();
            let target = target.filter(|_| label != "p50");
            self.keep(&format!("{name}, {label}"), "ms", &values, target);
        }
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(&self.rows).unwrap()
    }
}

fn of(values: &[(&str, Option<f64>)], column: &str) -> Option<f64> {
    let found = values.iter().find(|(name, _)| *name == column);
    found.and_then(|(_, value)| *value)
}

fn shown(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}
