//! The attributes this speaker knows, one row each: flags, what an error in it does (RFC 7606), how it is read.
//!
//! A new attribute is a new row. A decoder returns a value or an error with its offset; it does not know what the
//! error will do, and the loop over the attributes (`update`) does not know the attributes.
use super::attribute::Attribute;
use super::context::Context;
use super::error::DecodeError;
use super::reader::Reader;
use super::values;

pub(super) const FLAG_OPTIONAL: u8 = 0x80;
pub(super) const FLAG_TRANSITIVE: u8 = 0x40;
const FLAG_PARTIAL: u8 = 0x20;
pub(super) const FLAG_EXTENDED: u8 = 0x10;
/// What is left when the length has been read; the lower four bits mean nothing (RFC 4271 section 4.3).
pub(super) const FLAGS: u8 = FLAG_OPTIONAL | FLAG_TRANSITIVE | FLAG_PARTIAL;

/// What an error does (RFC 7606 section 2), the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    AttributeDiscard,
    TreatAsWithdraw,
    SessionReset,
}

impl Effect {
    pub fn name(self) -> &'static str {
        match self {
            Effect::AttributeDiscard => "attribute discard",
            Effect::TreatAsWithdraw => "treat as withdraw",
            Effect::SessionReset => "session reset",
        }
    }
}

type Decoder = fn(Reader<'_>, Value) -> Result<Attribute, DecodeError>;

/// What a decoder may need beside the bytes.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub(super) code: u8,
    pub(super) flags: u8,
    pub(super) context: Context,
}

pub(super) struct Row {
    pub(super) code: u8,
    pub(super) name: &'static str,
    pub(super) flags: u8,
    pub(super) effect: Effect,
    pub(super) scope: Scope,
    pub(super) decode: Decoder,
}

/// Where an attribute means something. Elsewhere it is discarded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Everywhere,
    /// From the same AS only (RFC 7606 sections 7.5, 7.9, 7.10).
    Internal,
    /// From a neighbour of two octets only (RFC 6793 section 4.1).
    TwoOctets,
}

const WELL_KNOWN: u8 = FLAG_TRANSITIVE;
const OPTIONAL_TRANSITIVE: u8 = FLAG_OPTIONAL | FLAG_TRANSITIVE;
const OPTIONAL: u8 = FLAG_OPTIONAL;

const fn new(code: u8, name: &'static str, flags: u8, effect: Effect, scope: Scope, decode: Decoder) -> Row {
    Row {
        code,
        name,
        flags,
        effect,
        scope,
        decode,
    }
}

use Effect::{AttributeDiscard as Discard, SessionReset as Reset, TreatAsWithdraw as Withdraw};
use Scope::{Everywhere, Internal, TwoOctets};

/// A malformed value is: none of the lengths, or none of the values, that the section names.
#[rustfmt::skip]
static ROWS: [Row; 17] = [
    // RFC 7606 section 7.1: one octet, 0 to 2.
    new(1, "ORIGIN", WELL_KNOWN, Withdraw, Everywhere, values::origin),
    // RFC 7606 section 7.2: known segments that fill the value; may be empty. RFC 7607 section 2: no AS 0.
    new(2, "AS_PATH", WELL_KNOWN, Withdraw, Everywhere, values::as_path),
    // RFC 7606 section 7.3: four octets.
    new(3, "NEXT_HOP", WELL_KNOWN, Withdraw, Everywhere, values::next_hop),
    // RFC 7606 section 7.4: four octets.
    new(4, "MULTI_EXIT_DISC", OPTIONAL, Withdraw, Everywhere, values::med),
    // RFC 7606 section 7.5: four octets.
    new(5, "LOCAL_PREF", WELL_KNOWN, Withdraw, Internal, values::local_pref),
    // RFC 7606 section 7.6: empty.
    new(6, "ATOMIC_AGGREGATE", WELL_KNOWN, Discard, Everywhere, values::atomic_aggregate),
    // RFC 7606 section 7.7: six octets, or eight between speakers of four. RFC 7607 section 2: no AS 0.
    new(7, "AGGREGATOR", OPTIONAL_TRANSITIVE, Discard, Everywhere, values::aggregator),
    // RFC 7606 section 7.8: a multiple of four octets, not empty.
    new(8, "COMMUNITIES", OPTIONAL_TRANSITIVE, Withdraw, Everywhere, values::communities),
    // RFC 7606 section 7.9: four octets.
    new(9, "ORIGINATOR_ID", OPTIONAL, Withdraw, Internal, values::originator_id),
    // RFC 7606 section 7.10: a multiple of four octets, not empty.
    new(10, "CLUSTER_LIST", OPTIONAL, Withdraw, Internal, values::cluster_list),
    // RFC 7606 section 7.11, RFC 7606 section 5.3, RFC 4760 section 3: a next hop of a length that the family has,
    // and prefixes that fill the value.
    new(14, "MP_REACH_NLRI", OPTIONAL, Reset, Everywhere, values::mp_reach),
    // RFC 7606 section 7.12, RFC 7606 section 5.3, RFC 4760 section 4: prefixes that fill the value.
    new(15, "MP_UNREACH_NLRI", OPTIONAL, Reset, Everywhere, values::mp_unreach),
    // RFC 7606 section 7.14: a multiple of eight octets, not empty.
    new(16, "EXTENDED_COMMUNITIES", OPTIONAL_TRANSITIVE, Withdraw, Everywhere, values::extended_communities),
    // RFC 6793 section 6: as AS_PATH, but not empty.
    new(17, "AS4_PATH", OPTIONAL_TRANSITIVE, Discard, TwoOctets, values::as4_path),
    // RFC 6793 section 6: eight octets. RFC 7607 section 2: no AS 0.
    new(18, "AS4_AGGREGATOR", OPTIONAL_TRANSITIVE, Discard, TwoOctets, values::as4_aggregator),
    // RFC 8092 section 5: a multiple of twelve octets, not empty.
    new(32, "LARGE_COMMUNITY", OPTIONAL_TRANSITIVE, Withdraw, Everywhere, values::large_communities),
    // RFC 9234 section 5: four octets.
    new(35, "ONLY_TO_CUSTOMER", OPTIONAL_TRANSITIVE, Withdraw, Everywhere, values::only_to_customer),
];

pub(super) fn row(code: u8) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.code == code)
}

/// For people.
pub(super) fn name(code: u8) -> String {
    row(code).map_or_else(|| format!("attribute {code}"), |row| row.name.to_owned())
}
