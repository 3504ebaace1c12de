//! Histograms whose buckets somebody else has counted.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{Outcome, Scrape};

/// One histogram.
pub(super) struct Counted {
    pub(super) labels: Vec<(&'static str, String)>,
    /// Upper bounds in seconds, each with how many were at most so much.
    pub(super) cumulative: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

struct Histograms {
    desc: Desc,
    family: MetricFamily,
}

impl Collector for Histograms {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![self.family.clone()]
    }
}

impl Scrape {
    pub(super) fn histograms(&self, name: &str, help: &str, counted: Vec<Counted>) -> Outcome {
        let Some(first) = counted.first() else {
            return Ok(());
        };
        let labels = first.labels.iter().map(|(name, _)| (*name).to_owned());
        let desc = Desc::new(
            name.to_owned(),
            help.to_owned(),
            labels.collect(),
            std::collections::HashMap::new(),
        )?;
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(counted.into_iter().map(metric).collect());
        self.registry.register(Box::new(Histograms { desc, family }))
    }
}

fn metric(counted: Counted) -> Metric {
    let labels = counted.labels.into_iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value);
        label
    });
    let buckets = counted.cumulative.into_iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counted.count);
    histogram.set_sample_sum(counted.sum);
    let mut metric = Metric::from_label(labels.collect());
    metric.set_histogram(histogram);
    metric
}
