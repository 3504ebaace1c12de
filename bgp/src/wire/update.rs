//! UPDATE (RFC 4271 section 4.3) with the revised error handling of RFC 7606.
use std::net::{IpAddr, Ipv6Addr};

use super::attribute::{Attribute, MpUnreach};
use super::context::{Context, Encoding};
use super::error::{DecodeError, ErrorKind};
use super::prefix::{self, Nlri};
use super::reader::Reader;
use super::table::{self, Effect, Scope, Value};
use crate::config::{Families, Family};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    pub withdrawn: Vec<Nlri>,
    pub attributes: Vec<Attribute>,
    pub nlri: Vec<Nlri>,
}

/// Something wrong with an attribute that the session survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub effect: Effect,
    pub error: DecodeError,
}

/// An UPDATE as received: the attributes that were sound, and what was wrong with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    pub update: Update,
    pub faults: Vec<Fault>,
}

/// Paths that share a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachable<'a> {
    pub next_hop: IpAddr,
    /// RFC 2545 section 3.
    pub link_local: Option<Ipv6Addr>,
    pub nlri: &'a [Nlri],
}

impl Decoded {
    /// RFC 7606 section 3 (h): the strongest wins.
    pub fn effect(&self) -> Option<Effect> {
        self.faults.iter().map(|fault| fault.effect).max()
    }

    fn is_sound(&self) -> bool {
        self.effect() < Some(Effect::TreatAsWithdraw)
    }

    /// Paths to add; none when the whole is to be treated as withdraw.
    pub fn announced(&self) -> impl Iterator<Item = Nlri> {
        let sound = self.is_sound();
        self.reachable().filter(move |_| sound)
    }

    /// The same by next hop; without a path there is no entry.
    pub fn announced_by_next_hop(&self) -> impl Iterator<Item = Reachable<'_>> {
        let sound = self.is_sound();
        let attributes = self.update.attributes.iter();
        attributes
            .filter_map(|attribute| self.reached_by(attribute))
            .filter(move |reachable| sound && !reachable.nlri.is_empty())
    }

    fn reached_by<'a>(&'a self, attribute: &'a Attribute) -> Option<Reachable<'a>> {
        if let Attribute::MpReach(reach) = attribute {
            Some(Reachable {
                next_hop: reach.next_hop,
                link_local: reach.link_local,
                nlri: &reach.prefixes,
            })
        } else if let Attribute::NextHop(address) = attribute {
            Some(Reachable {
                next_hop: IpAddr::V4(*address),
                link_local: None,
                nlri: &self.update.nlri,
            })
        } else {
            None
        }
    }

    /// Paths to remove, those treated as withdraw included.
    pub fn withdrawn(&self) -> impl Iterator<Item = Nlri> {
        let unreachable = self.update.attributes.iter().flat_map(|attribute| {
            if let Attribute::MpUnreach(unreach) = attribute {
                unreach.prefixes.as_slice()
            } else {
                &[]
            }
        });
        let treated = !self.is_sound();
        let withdrawn = self.update.withdrawn.iter().chain(unreachable).copied();
        withdrawn.chain(self.reachable().filter(move |_| treated))
    }

    fn reachable(&self) -> impl Iterator<Item = Nlri> {
        let multiprotocol = self.update.attributes.iter().flat_map(|attribute| {
            if let Attribute::MpReach(reach) = attribute {
                reach.prefixes.as_slice()
            } else {
                &[]
            }
        });
        self.update.nlri.iter().chain(multiprotocol).copied()
    }

    /// Without the prefixes of other families. What is left of their markers of an end is theirs still.
    pub(crate) fn only(mut self, families: Families) -> Self {
        if families == Families::BOTH {
            return self;
        }
        if !families.ipv4 {
            self.update.withdrawn.clear();
            self.update.nlri.clear();
        }
        for attribute in &mut self.update.attributes {
            if let Attribute::MpReach(reach) = attribute
                && !families.contains(reach.family)
            {
                reach.prefixes.clear();
            } else if let Attribute::MpUnreach(unreach) = attribute
                && !families.contains(unreach.family)
            {
                unreach.prefixes.clear();
            }
        }
        self
    }

    /// The marker that all routes of a family have been told (RFC 4724 section 2).
    pub fn end_of_rib(&self) -> Option<Family> {
        let update = &self.update;
        if !(update.withdrawn.is_empty() && update.nlri.is_empty() && self.faults.is_empty()) {
            return None;
        }
        match update.attributes.as_slice() {
            [] => Some(Family::Ipv4),
            [Attribute::MpUnreach(unreach)] if unreach.prefixes.is_empty() => Some(unreach.family),
            _ => None,
        }
    }
}

impl From<Update> for Decoded {
    fn from(update: Update) -> Self {
        Decoded {
            update,
            faults: Vec::new(),
        }
    }
}

impl Update {
    /// RFC 4724 section 2.
    pub fn end_of_rib(family: Family) -> Self {
        match family {
            Family::Ipv4 => Update::default(),
            Family::Ipv6 => Update {
                attributes: vec![Attribute::MpUnreach(MpUnreach {
                    family,
                    prefixes: Vec::new(),
                })],
                ..Update::default()
            },
        }
    }

    pub(super) fn decode(mut reader: Reader<'_>, context: Context) -> Result<Decoded, DecodeError> {
        let withdrawn_at = reader;
        let withdrawn_length = usize::from(reader.u16()?);
        let malformed = |_| withdrawn_at.error(ErrorKind::AttributeList);
        let withdrawn = reader.take(withdrawn_length).map_err(malformed)?;
        let withdrawn = prefix::decode_all(withdrawn, Family::Ipv4, context.add_path)?;

        let attributes_at = reader;
        let malformed = |_| attributes_at.error(ErrorKind::AttributeList);
        let attributes_length = usize::from(reader.u16().map_err(malformed)?);
        let attributes_reader = reader.take(attributes_length).map_err(malformed)?;
        let mut pass = Pass::new(context);
        pass.attributes(attributes_reader)?;
        // RFC 7606 section 3 (j) and 5.3: an NLRI field that cannot be parsed resets the session.
        let nlri = prefix::decode_all(reader, Family::Ipv4, context.add_path)?;
        pass.missing(attributes_at, !nlri.is_empty());

        let found = pass.finds_prefixes() || !nlri.is_empty();
        let decoded = Decoded {
            update: Update {
                withdrawn,
                attributes: pass.attributes,
                nlri,
            },
            faults: pass.faults,
        };
        // RFC 7606 section 5.2: with an error and without a reachable prefix nobody knows what to withdraw.
        if decoded.effect() == Some(Effect::TreatAsWithdraw) && !found {
            let first = decoded
                .faults
                .iter()
                .find(|fault| fault.effect == Effect::TreatAsWithdraw);
            return Err(first.map_or_else(
                || attributes_at.error(ErrorKind::AttributeList),
                |fault| fault.error.clone(),
            ));
        }
        Ok(decoded)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, encoding: Encoding) {
        field(out, |out| {
            prefix::encode_all(&self.withdrawn, out, encoding.add_path)
        });
        field(out, |out| {
            self.attributes
                .iter()
                .for_each(|attribute| attribute.encode(out, encoding));
        });
        prefix::encode_all(&self.nlri, out, encoding.add_path);
    }
}

/// What `write` writes, behind its length in two octets.
fn field(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let length_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let start = out.len();
    write(out);
    // What does not fit two octets does not fit a message either, and is refused there.
    let length = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    for (slot, byte) in out.iter_mut().skip(length_at).zip(length.to_be_bytes()) {
        *slot = byte;
    }
}

const MP_REACH: u8 = 14;
const MP_UNREACH: u8 = 15;

/// One walk over the path attributes.
struct Pass {
    context: Context,
    attributes: Vec<Attribute>,
    faults: Vec<Fault>,
    seen: [bool; 256],
}

impl Pass {
    fn new(context: Context) -> Self {
        Pass {
            context,
            attributes: Vec::new(),
            faults: Vec::new(),
            seen: [false; 256],
        }
    }

    fn fault(&mut self, effect: Effect, error: DecodeError) -> Result<(), DecodeError> {
        if effect == Effect::SessionReset {
            return Err(error);
        }
        self.faults.push(Fault { effect, error });
        Ok(())
    }

    fn attributes(&mut self, mut reader: Reader<'_>) -> Result<(), DecodeError> {
        while !reader.is_empty() {
            let start = reader;
            // RFC 7606 section 4: a header or a value beyond the end of the list ends the list; the NLRI is still
            // found by the total length.
            let Ok((flags, code, value)) = frame(&mut reader) else {
                return self.fault(Effect::TreatAsWithdraw, start.error(ErrorKind::AttributeList));
            };
            let whole = start.rest();
            let whole = whole.get(..whole.len() - reader.remaining()).unwrap_or(whole);
            self.attribute(start, whole, flags, code, value)?;
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        start: Reader<'_>,
        whole: &[u8],
        flags: u8,
        code: u8,
        value: Reader<'_>,
    ) -> Result<(), DecodeError> {
        // RFC 7606 section 3 (g): again is ignored, except for the two that carry prefixes.
        if let Some(seen) = self.seen.get_mut(usize::from(code))
            && std::mem::replace(seen, true)
        {
            let again = matches!(code, MP_REACH | MP_UNREACH);
            let effect = if again {
                Effect::SessionReset
            } else {
                Effect::AttributeDiscard
            };
            return self.fault(effect, start.error(ErrorKind::DuplicateAttribute(code)));
        }
        let Some(row) = table::row(code) else {
            // RFC 4271 section 6.3: what is well-known must be known. Whether a neighbour in between did not know an
            // optional one (the partial bit) makes no difference to who does not know it either.
            if flags & table::FLAG_OPTIONAL == 0 {
                return Err(start.error(ErrorKind::UnrecognizedWellKnown(code)).blame(whole));
            }
            self.attributes.push(Attribute::Other {
                code,
                flags,
                value: value.rest().to_vec(),
            });
            return Ok(());
        };
        if row.scope == Scope::Internal && self.context.external {
            return self.fault(
                Effect::AttributeDiscard,
                start.error(ErrorKind::InternalAttribute(code)),
            );
        }
        // RFC 6793 section 4.1: meaningless between speakers of four octets, and not an error.
        if row.scope == Scope::TwoOctets && self.context.four_octet {
            return Ok(());
        }
        // RFC 7606 section 3 (c): these two bits only; the partial bit is not judged. The value is still read, because it may carry the prefixes to withdraw.
        let mask = table::FLAG_OPTIONAL | table::FLAG_TRANSITIVE;
        if flags & mask != row.flags {
            self.fault(
                Effect::TreatAsWithdraw,
                start
                    .error(ErrorKind::AttributeFlags { code, flags })
                    .blame(whole),
            )?;
        }
        match (row.decode)(
            value,
            Value {
                code,
                flags,
                context: self.context,
            },
        ) {
            Ok(attribute) => {
                self.attributes.push(attribute);
                Ok(())
            }
            Err(error) => self.fault(row.effect, error.blame(whole)),
        }
    }

    /// Whether the attributes name prefixes to withdraw, or nothing but prefixes withdrawn anyway. Those of a family
    /// that this speaker does not know count, although it has none of them.
    fn finds_prefixes(&self) -> bool {
        let reaches = |attribute: &Attribute| {
            if let Attribute::MpReach(reach) = attribute {
                !reach.prefixes.is_empty()
            } else {
                attribute.code() == MP_REACH
            }
        };
        let others = self.seen.iter().enumerate();
        let only_unreach = others
            .filter(|(_, seen)| **seen)
            .all(|(code, _)| code == usize::from(MP_UNREACH));
        self.attributes.iter().any(reaches)
            || only_unreach
                && self
                    .attributes
                    .iter()
                    .any(|attribute| attribute.code() == MP_UNREACH)
    }

    /// RFC 7606 section 3 (d). An attribute that was there but malformed has its fault already.
    fn missing(&mut self, at: Reader<'_>, has_nlri: bool) {
        let reaches = self
            .attributes
            .iter()
            .any(|attribute| attribute.code() == MP_REACH);
        let required: &[u8] = match (has_nlri, reaches) {
            (true, _) => &[1, 2, 3],
            (false, true) => &[1, 2],
            (false, false) => &[],
        };
        for code in required {
            if self.seen.get(usize::from(*code)) != Some(&true) {
                let error = at.error(ErrorKind::MissingWellKnown(*code));
                self.faults.push(Fault {
                    effect: Effect::TreatAsWithdraw,
                    error,
                });
            }
        }
    }
}

/// Flags, type and value of the next attribute.
fn frame<'a>(reader: &mut Reader<'a>) -> Result<(u8, u8, Reader<'a>), DecodeError> {
    let flags = reader.u8()?;
    let code = reader.u8()?;
    let length = if flags & table::FLAG_EXTENDED == 0 {
        reader.u8()?.into()
    } else {
        reader.u16()?.into()
    };
    // How long the length was is of no interest to anybody else.
    Ok((flags & table::FLAGS, code, reader.take(length)?))
}
