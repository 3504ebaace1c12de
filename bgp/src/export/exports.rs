//! What this node originates, and the tables that follow from it, each made once.
//!
//! Everything kept here is a function of announcements, roles, ladders and audience. What a table was made from
//! is compared when it is asked for, so that none outlives its cause; what no neighbour uses any more is dropped
//! when the next one is made.
use std::sync::Arc;

use super::audience::Audience;
use super::changes::Changes;
use super::classes::{Class, classes};
use super::partition::{Partition, prefix_lists};
use super::table::Table;
use crate::config::Ladders;
use crate::ladder::{Announcement, Roles};

/// Differences that are remembered. Neighbours of one kind come one after the other.
const DIFFERENCES: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Exports {
    classes: Arc<Vec<Class>>,
    partitions: Vec<Arc<Partition>>,
    /// What `tables` were made from, beside the classes.
    roles: Roles,
    ladders: Ladders,
    tables: Vec<(Audience, Arc<Table>)>,
    differences: Vec<Difference>,
}

#[derive(Debug)]
struct Difference {
    told: Option<Arc<Table>>,
    wanted: Arc<Table>,
    changes: Arc<Changes>,
}

impl Exports {
    /// The whole desired set.
    pub(crate) fn set(&mut self, announcements: &[Announcement]) {
        let classes = classes(announcements);
        if *self.classes != classes {
            self.classes = Arc::new(classes);
            self.tables.clear();
            self.differences.clear();
        }
    }

    /// What the audience is to be told.
    pub(crate) fn table(&mut self, roles: &Roles, ladders: &Ladders, audience: Audience) -> Arc<Table> {
        if self.roles != *roles || self.ladders != *ladders {
            self.roles.clone_from(roles);
            self.ladders.clone_from(ladders);
            self.tables.clear();
            self.differences.clear();
        }
        let known = self.tables.iter().find(|(known, _)| *known == audience);
        if let Some((_, table)) = known {
            return Arc::clone(table);
        }
        let partition = self.partition(&audience);
        let table = Arc::new(Table::new(partition, roles, ladders, &audience));
        self.tables.retain(|(_, table)| Arc::strong_count(table) > 1);
        self.tables.push((audience, Arc::clone(&table)));
        table
    }

    fn partition(&mut self, audience: &Audience) -> Arc<Partition> {
        let lists = prefix_lists(audience.export.as_deref());
        let classes = &self.classes;
        let known = self
            .partitions
            .iter()
            .find(|partition| partition.is(classes, &lists));
        if let Some(partition) = known {
            return Arc::clone(partition);
        }
        let partition = Arc::new(Partition::new(Arc::clone(classes), lists));
        self.partitions
            .retain(|partition| Arc::strong_count(partition) > 1);
        self.partitions.push(Arc::clone(&partition));
        partition
    }

    pub(crate) fn changes(&mut self, told: Option<&Arc<Table>>, wanted: &Arc<Table>) -> Arc<Changes> {
        let same = |known: &&Difference| {
            known.told.as_ref().map(Arc::as_ptr) == told.map(Arc::as_ptr)
                && Arc::ptr_eq(&known.wanted, wanted)
        };
        if let Some(known) = self.differences.iter().find(same) {
            return Arc::clone(&known.changes);
        }
        let changes = Arc::new(Changes::between(told, wanted));
        if self.differences.len() >= DIFFERENCES {
            self.differences.clear();
        }
        self.differences.push(Difference {
            told: told.cloned(),
            wanted: Arc::clone(wanted),
            changes: Arc::clone(&changes),
        });
        changes
    }
}

#[cfg(test)]
mod tests;
