//! What a route says about itself: the path attributes as values, for both directions.
//!
//! Received attributes, those of a policy and those announced have the same type, so that one set of rules serves
//! import and export. The next hop is not part of it: it is the route's, and it is what `export` changes last.
use std::fmt;
use std::net::Ipv4Addr;

use crate::wire::{AS_TRANS, Aggregator, AsPathSegment, Attribute, Decoded, Origin, SegmentKind};

/// AS_PATH (RFC 4271 section 5.1.2), AS4_PATH already merged into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath(pub Vec<AsPathSegment>);

impl AsPath {
    /// One AS_SEQUENCE; a segment holds 255 at most.
    pub fn sequence(asns: &[u32]) -> Self {
        let segment = |asns: &[u32]| AsPathSegment {
            kind: SegmentKind::Sequence,
            asns: asns.to_vec(),
        };
        AsPath(asns.chunks(255).map(segment).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|segment| segment.asns.is_empty())
    }

    /// For the comparison of paths: a set counts as one (RFC 4271 section 9.1.2.2), a confederation as none
    /// (RFC 5065 section 5.3).
    pub fn length(&self) -> usize {
        self.0.iter().map(worth).sum()
    }

    /// The AS that sent the route to us, when the path says so.
    pub fn first(&self) -> Option<u32> {
        let outer =
            |segment: &&AsPathSegment| matches!(segment.kind, SegmentKind::Sequence | SegmentKind::Set);
        let segment = self.0.iter().find(outer)?;
        (segment.kind == SegmentKind::Sequence).then(|| segment.asns.first().copied())?
    }

    /// The AS that originated the route, when it is one.
    pub fn origin(&self) -> Option<u32> {
        let segment = self.0.last()?;
        (segment.kind == SegmentKind::Sequence).then(|| segment.asns.last().copied())?
    }

    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|candidate| candidate == asn)
    }

    /// Every AS, in the order of the path, those of sets included.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// The part of `path` that AS_TRANS hides here (RFC 6793 section 4.2.3). Only what is behind the neighbours that
    /// know two octets alone is replaced; a `path` that is longer than this one is of another route.
    fn merge_four_octets(&mut self, path: &[AsPathSegment]) {
        let path = without_confederations(path);
        let Some(mut lead) = self.length().checked_sub(path.length()) else {
            return;
        };
        let mut merged = Vec::new();
        for segment in &self.0 {
            let worth = worth(segment);
            if worth > lead {
                // Of a sequence the front; a set counts as one and is never cut.
                let front = segment.asns.get(..lead).unwrap_or_default().to_vec();
                merged.push(AsPathSegment {
                    kind: segment.kind,
                    asns: front,
                });
                break;
            }
            lead -= worth;
            merged.push(segment.clone());
        }
        merged.retain(|segment| !segment.asns.is_empty());
        merged.extend(path.0);
        self.0 = join_sequences(merged);
    }

    /// `asn` as the last one that the route passed, `count` times (RFC 4271 section 5.1.2).
    pub fn prepend(&mut self, asn: u32, count: usize) {
        let mut asns = vec![asn; count];
        if let Some(first) = self.0.first()
            && first.kind == SegmentKind::Sequence
        {
            asns.extend_from_slice(&first.asns);
            self.0.remove(0);
        }
        let AsPath(front) = AsPath::sequence(&asns);
        self.0.splice(0..0, front);
    }
}

/// What a segment counts in the length of a path.
fn worth(segment: &AsPathSegment) -> usize {
    match segment.kind {
        SegmentKind::Sequence => segment.asns.len(),
        SegmentKind::Set => 1,
        SegmentKind::ConfederationSequence | SegmentKind::ConfederationSet => 0,
    }
}

/// RFC 6793 section 3: confederations have no place in AS4_PATH.
fn without_confederations(path: &[AsPathSegment]) -> AsPath {
    let outer = path
        .iter()
        .filter(|segment| matches!(segment.kind, SegmentKind::Sequence | SegmentKind::Set));
    AsPath(outer.cloned().collect())
}

/// Neighbouring sequences as one, as far as a segment has room.
fn join_sequences(segments: Vec<AsPathSegment>) -> Vec<AsPathSegment> {
    let mut joined: Vec<AsPathSegment> = Vec::new();
    for segment in segments {
        match joined.last_mut() {
            Some(last)
                if last.kind == SegmentKind::Sequence
                    && segment.kind == SegmentKind::Sequence
                    && last.asns.len() + segment.asns.len() <= 255 =>
            {
                last.asns.extend(segment.asns);
            }
            Some(_) | None => joined.push(segment),
        }
    }
    joined
}

/// As operators write it: `65001 65002 {65003 65004}`.
impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let (open, close) = match segment.kind {
                SegmentKind::Sequence => ("", ""),
                SegmentKind::Set => ("{", "}"),
                SegmentKind::ConfederationSequence => ("(", ")"),
                SegmentKind::ConfederationSet => ("[", "]"),
            };
            f.write_str(if index == 0 { "" } else { " " })?;
            f.write_str(open)?;
            for (index, asn) in segment.asns.iter().enumerate() {
                write!(f, "{}{asn}", if index == 0 { "" } else { " " })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

/// A community of any of the three kinds: RFC 1997, RFC 4360, RFC 8092.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    Standard(u32),
    Extended([u8; 8]),
    Large([u32; 3]),
}

/// Octets that are kept of attributes this speaker does not know. It passes no route on, and shows them to monitoring
/// stations only: a neighbour must not be able to have us remember 64 KiB for each of its prefixes.
const UNKNOWN: usize = 256;

/// The flag of attributes that are passed on (RFC 4271 section 4.3).
const TRANSITIVE: u8 = 0x40;

/// Everything but the next hop. Equal values share one UPDATE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathAttributes {
    pub origin: Origin,
    pub as_path: AsPath,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    pub atomic_aggregate: bool,
    pub aggregator: Option<Aggregator>,
    pub communities: Vec<u32>,
    pub extended_communities: Vec<[u8; 8]>,
    pub large_communities: Vec<[u32; 3]>,
    pub originator_id: Option<Ipv4Addr>,
    pub cluster_list: Vec<Ipv4Addr>,
    /// RFC 9234 section 5.
    pub only_to_customer: Option<u32>,
    /// Optional transitive ones that this speaker does not know, as received, as far as they are short.
    pub unknown: Vec<Attribute>,
}

impl Default for PathAttributes {
    fn default() -> Self {
        PathAttributes {
            origin: Origin::Igp,
            as_path: AsPath::default(),
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            extended_communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            only_to_customer: None,
            unknown: Vec::new(),
        }
    }
}

impl PathAttributes {
    /// What an UPDATE says of its routes, except for the next hop. Mandatory attributes that are missing, and those
    /// that were discarded (RFC 7606 section 2), have the value of an empty one.
    pub fn from_update(decoded: &Decoded) -> Self {
        let mut this = PathAttributes::default();
        let mut as4_path = None;
        let mut as4_aggregator = None;
        let mut room = UNKNOWN;
        for attribute in &decoded.update.attributes {
            match attribute {
                Attribute::Origin(origin) => this.origin = *origin,
                Attribute::AsPath(segments) => this.as_path = AsPath(segments.clone()),
                Attribute::Med(med) => this.med = Some(*med),
                Attribute::LocalPref(local_pref) => this.local_pref = Some(*local_pref),
                Attribute::AtomicAggregate => this.atomic_aggregate = true,
                Attribute::Aggregator(aggregator) => this.aggregator = Some(*aggregator),
                Attribute::Communities(list) => this.communities.clone_from(list),
                Attribute::OriginatorId(id) => this.originator_id = Some(*id),
                Attribute::ClusterList(list) => this.cluster_list.clone_from(list),
                Attribute::ExtendedCommunities(list) => this.extended_communities.clone_from(list),
                Attribute::LargeCommunities(list) => this.large_communities.clone_from(list),
                Attribute::OnlyToCustomer(asn) => this.only_to_customer = Some(*asn),
                Attribute::As4Path(segments) => as4_path = Some(segments),
                Attribute::As4Aggregator(aggregator) => as4_aggregator = Some(*aggregator),
                Attribute::NextHop(_) | Attribute::MpReach(_) | Attribute::MpUnreach(_) => {}
                Attribute::Other { flags, value, .. } => {
                    let passed_on = flags & TRANSITIVE != 0 && !matches!(attribute.code(), 14 | 15);
                    // An attribute without a value takes room, too.
                    let rest = room.checked_sub(value.len() + size_of::<Attribute>());
                    if let Some(rest) = rest.filter(|_| passed_on) {
                        room = rest;
                        this.unknown.push(attribute.clone());
                    }
                }
            }
        }
        this.merge_four_octets(as4_path, as4_aggregator);
        this
    }

    /// RFC 6793 section 4.2.3: what a neighbour of two octets has carried along for those behind it.
    fn merge_four_octets(&mut self, path: Option<&Vec<AsPathSegment>>, aggregator: Option<Aggregator>) {
        match (self.aggregator, aggregator) {
            // Somebody who does not know four octets has aggregated since: both are of an older route.
            (Some(seen), Some(_)) if seen.asn != u32::from(AS_TRANS) => return,
            (Some(_), Some(hidden)) => self.aggregator = Some(hidden),
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
        if let Some(path) = path {
            self.as_path.merge_four_octets(path);
        }
    }

    /// What they take in memory. Whoever keeps what neighbours say counts this, not routes: an UPDATE may be long.
    pub(crate) fn octets(&self) -> usize {
        let segments: usize = self
            .as_path
            .0
            .iter()
            .map(|it| size_of_val(it) + size_of_val(&*it.asns))
            .sum();
        let unknown = if self.unknown.is_empty() { 0 } else { UNKNOWN };
        size_of::<Self>()
            + segments
            + unknown
            + size_of_val(&*self.communities)
            + size_of_val(&*self.extended_communities)
            + size_of_val(&*self.large_communities)
            + size_of_val(&*self.cluster_list)
    }

    pub fn has(&self, community: Community) -> bool {
        match community {
            Community::Standard(value) => self.communities.contains(&value),
            Community::Extended(value) => self.extended_communities.contains(&value),
            Community::Large(value) => self.large_communities.contains(&value),
        }
    }
}

/// For people: what routes differ in.
impl fmt::Display for PathAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(med) = self.med {
            write!(f, "med {med} ")?;
        }
        if let Some(local_pref) = self.local_pref {
            write!(f, "local-pref {local_pref} ")?;
        }
        write!(f, "path [{}]", self.as_path)?;
        for community in &self.communities {
            write!(f, " {}:{}", community >> 16, community & 0xffff)?;
        }
        for [global, one, two] in &self.large_communities {
            write!(f, " {global}:{one}:{two}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
