//! What a route says about itself: the path attributes as values, for both directions.
//!
//! Received attributes, those of a policy and those announced have the same type, so that one set of rules serves
//! import and export. The next hop is not part of it: it is the route's, and it is what `export` changes last.
use std::fmt;
use std::net::Ipv4Addr;

use crate::wire::{Aggregator, AsPathSegment, Attribute, Origin, SegmentKind};

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
        let count = |segment: &AsPathSegment| match segment.kind {
            SegmentKind::Sequence => segment.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfederationSequence | SegmentKind::ConfederationSet => 0,
        };
        self.0.iter().map(count).sum()
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
    /// Optional transitive ones that this speaker does not know, as received.
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
