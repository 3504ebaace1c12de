//! UPDATE (RFC 4271 section 4.3) with the revised error handling of RFC 7606.
use ipnet::IpNet;

use super::attribute::Attribute;
use super::error::{DecodeError, ErrorKind};
use super::prefix;
use super::reader::Reader;
use super::table::{self, Context, Effect, Value};
use crate::config::Family;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    pub withdrawn: Vec<IpNet>,
    pub attributes: Vec<Attribute>,
    pub nlri: Vec<IpNet>,
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

impl Decoded {
    /// RFC 7606 section 3 (h): the strongest wins.
    pub fn effect(&self) -> Option<Effect> {
        self.faults.iter().map(|fault| fault.effect).max()
    }

    /// Prefixes to add; none when the whole is to be treated as withdraw.
    pub fn announced(&self) -> impl Iterator<Item = &IpNet> {
        let sound = self.effect() < Some(Effect::TreatAsWithdraw);
        self.reachable().filter(move |_| sound)
    }

    /// Prefixes to remove, those treated as withdraw included.
    pub fn withdrawn(&self) -> impl Iterator<Item = &IpNet> {
        let unreachable = self.update.attributes.iter().flat_map(|attribute| {
            if let Attribute::MpUnreach(unreach) = attribute {
                unreach.prefixes.as_slice()
            } else {
                &[]
            }
        });
        let treated = self.effect() >= Some(Effect::TreatAsWithdraw);
        self.update
            .withdrawn
            .iter()
            .chain(unreachable)
            .chain(self.reachable().filter(move |_| treated))
    }

    fn reachable(&self) -> impl Iterator<Item = &IpNet> {
        let multiprotocol = self.update.attributes.iter().flat_map(|attribute| {
            if let Attribute::MpReach(reach) = attribute {
                reach.prefixes.as_slice()
            } else {
                &[]
            }
        });
        self.update.nlri.iter().chain(multiprotocol)
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
    pub(super) fn decode(mut reader: Reader<'_>, context: Context) -> Result<Decoded, DecodeError> {
        let withdrawn_at = reader;
        let withdrawn_length = usize::from(reader.u16()?);
        let malformed = |_| withdrawn_at.error(ErrorKind::AttributeList);
        let withdrawn = reader.take(withdrawn_length).map_err(malformed)?;
        let withdrawn = prefix::decode_all(withdrawn, Family::Ipv4)?;

        let attributes_at = reader;
        let malformed = |_| attributes_at.error(ErrorKind::AttributeList);
        let attributes_length = usize::from(reader.u16().map_err(malformed)?);
        let attributes_reader = reader.take(attributes_length).map_err(malformed)?;
        let mut pass = Pass::new(context);
        pass.attributes(attributes_reader)?;
        // RFC 7606 section 3 (j) and 5.3: an NLRI field that cannot be parsed resets the session.
        let nlri = prefix::decode_all(reader, Family::Ipv4)?;
        pass.missing(attributes_at, !nlri.is_empty());

        let decoded = Decoded {
            update: Update {
                withdrawn,
                attributes: pass.attributes,
                nlri,
            },
            faults: pass.faults,
        };
        // RFC 7606 section 5.2: with an error and without a reachable prefix nobody knows what to withdraw.
        if decoded.effect() == Some(Effect::TreatAsWithdraw) && decoded.reachable().next().is_none() {
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

    pub(crate) fn encode(&self, out: &mut Vec<u8>, four_octet: bool) {
        let mut withdrawn = Vec::new();
        self.withdrawn
            .iter()
            .for_each(|net| prefix::encode(net, &mut withdrawn));
        let mut attributes = Vec::new();
        self.attributes
            .iter()
            .for_each(|attribute| attribute.encode(&mut attributes, four_octet));
        for field in [withdrawn, attributes] {
            // What does not fit two octets does not fit a message either, and is refused there.
            out.extend_from_slice(&u16::try_from(field.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(&field);
        }
        self.nlri.iter().for_each(|net| prefix::encode(net, out));
    }
}

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
            self.attribute(start, flags, code, value)?;
        }
        Ok(())
    }

    fn attribute(
        &mut self,
        start: Reader<'_>,
        flags: u8,
        code: u8,
        value: Reader<'_>,
    ) -> Result<(), DecodeError> {
        // RFC 7606 section 3 (g): again is ignored, except for the two that carry prefixes.
        if let Some(seen) = self.seen.get_mut(usize::from(code))
            && std::mem::replace(seen, true)
        {
            let again = matches!(code, 14 | 15);
            let effect = if again {
                Effect::SessionReset
            } else {
                Effect::AttributeDiscard
            };
            return self.fault(effect, start.error(ErrorKind::DuplicateAttribute(code)));
        }
        let Some(row) = table::row(code) else {
            // RFC 4271 section 6.3.
            if flags & table::FLAG_OPTIONAL == 0 {
                return Err(start.error(ErrorKind::UnrecognizedWellKnown(code)));
            }
            self.attributes.push(Attribute::Other {
                code,
                flags,
                value: value.rest().to_vec(),
            });
            return Ok(());
        };
        if row.internal_only && self.context.external {
            return self.fault(
                Effect::AttributeDiscard,
                start.error(ErrorKind::InternalAttribute(code)),
            );
        }
        // RFC 6793 section 4.1: meaningless between speakers of four octets, and not an error.
        if row.two_octet_only && self.context.four_octet {
            return Ok(());
        }
        // RFC 7606 section 3 (c). The value is still read, because it may carry the prefixes to withdraw.
        let mask = table::FLAG_OPTIONAL | table::FLAG_TRANSITIVE;
        if flags & mask != row.flags {
            self.fault(
                Effect::TreatAsWithdraw,
                start.error(ErrorKind::AttributeFlags { code, flags }),
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
            Err(error) => self.fault(row.effect, error),
        }
    }

    /// RFC 7606 section 3 (d). An attribute that was there but malformed has its fault already.
    fn missing(&mut self, at: Reader<'_>, has_nlri: bool) {
        let reaches = self.attributes.iter().any(|attribute| attribute.code() == 14);
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
    Ok((flags & !table::FLAG_EXTENDED, code, reader.take(length)?))
}
