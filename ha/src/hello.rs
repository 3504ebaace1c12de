//! What a node tells its peers about itself, and its encoding.
//!
//! The synchronisation channel carries it as an opaque payload. Version 1:
//! `version u8 | flags u8 | boot u64 | sequence u64 | node (len u8, bytes) | count u8 | count x record`, where a record is
//! `length u8 | role u8 | standing u8 | flags u8 | priority u32 | name (the rest: len u8, bytes)`. Numbers are big endian.
//! A later version may append to a record or after the last one; this decoder skips what it does not know.

use crate::role::{Role, Standing};

/// Longest name of a node or an instance, in bytes.
pub const MAX_NAME: usize = 64;
pub const MAX_INSTANCES: usize = 64;
/// No hello is longer, and none longer is decoded.
pub const MAX_HELLO: usize = 8192;

const VERSION: u8 = 1;
const DRAINING: u8 = 1;
const UPLINK: u8 = 2;
/// Not heard: the bit is set when nothing is announced, so that a node that does not know it counts as heard.
const UNHEARD: u8 = 4;
const HOLDS: u8 = 1;
/// Bytes of a record before the name.
const RECORD_FIXED: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub node: String,
    /// Chosen at random at each start of the node.
    pub boot: u64,
    /// Grows with every hello of this boot.
    pub sequence: u64,
    pub draining: bool,
    pub uplink: bool,
    /// A BGP session is established, or none is configured.
    pub announces: bool,
    pub instances: Vec<InstanceHello>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceHello {
    pub name: String,
    pub role: Role,
    pub holds: bool,
    pub standing: Standing,
    pub priority: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("hello of {0} bytes is longer than {MAX_HELLO}")]
    TooLong(usize),
    #[error("hello ends at byte {0}")]
    Truncated(usize),
    #[error("hello version 0")]
    Version,
    #[error("name at byte {0} is empty, too long or not printable")]
    Name(usize),
    #[error("{0} instances are more than {MAX_INSTANCES}")]
    TooMany(u8),
    #[error("unknown role or standing at byte {0}")]
    Code(usize),
}

impl Hello {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.node.len() + self.instances.len() * 32);
        out.push(VERSION);
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let (draining, uplink) = (flag(self.draining, DRAINING), flag(self.uplink, UPLINK));
        out.push(draining | uplink | flag(!self.announces, UNHEARD));
        out.extend_from_slice(&self.boot.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        put_name(&mut out, &self.node);
        let instances = self.instances.get(..MAX_INSTANCES).unwrap_or(&self.instances);
        out.push(u8::try_from(instances.len()).unwrap_or(u8::MAX));
        for instance in instances {
            let at = out.len();
            out.push(0);
            out.push(role_code(instance.role));
            out.push(standing_code(instance.standing));
            out.push(if instance.holds { HOLDS } else { 0 });
            out.extend_from_slice(&instance.priority.to_be_bytes());
            put_name(&mut out, &instance.name);
            let length = u8::try_from(out.len() - at - 1).unwrap_or(u8::MAX);
            if let Some(slot) = out.get_mut(at) {
                *slot = length;
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_HELLO {
            return Err(DecodeError::TooLong(bytes.len()));
        }
        let mut reader = Reader { bytes, at: 0 };
        if reader.byte()? == 0 {
            return Err(DecodeError::Version);
        }
        let flags = reader.byte()?;
        let boot = reader.u64()?;
        let sequence = reader.u64()?;
        let node = reader.name()?;
        let count = reader.byte()?;
        if usize::from(count) > MAX_INSTANCES {
            return Err(DecodeError::TooMany(count));
        }
        let mut instances = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            instances.push(decode_instance(&mut reader)?);
        }
        Ok(Self {
            node,
            boot,
            sequence,
            draining: flags & DRAINING != 0,
            uplink: flags & UPLINK != 0,
            announces: flags & UNHEARD == 0,
            instances,
        })
    }

    /// What this node says about the instance of that name; `None`: it takes no part.
    pub fn instance(&self, name: &str) -> Option<&InstanceHello> {
        self.instances.iter().find(|i| i.name == name)
    }
}

fn decode_instance(reader: &mut Reader<'_>) -> Result<InstanceHello, DecodeError> {
    let length = usize::from(reader.byte()?);
    let start = reader.at;
    let record = reader.take(length)?;
    // A reader over the whole message up to the record's end, so that the offsets in errors are absolute.
    let end = start + record.len();
    let mut inner = Reader {
        bytes: reader.bytes.get(..end).unwrap_or_default(),
        at: start,
    };
    if length < RECORD_FIXED {
        return Err(DecodeError::Truncated(end));
    }
    let role = role_of(inner.byte()?).ok_or(DecodeError::Code(start))?;
    let standing = standing_of(inner.byte()?).ok_or(DecodeError::Code(start + 1))?;
    let holds = inner.byte()? & HOLDS != 0;
    let priority = inner.u32()?;
    let name = inner.name()?;
    Ok(InstanceHello {
        name,
        role,
        holds,
        standing,
        priority,
    })
}

/// Names are checked where they enter ([`valid_name`]), so that the length fits.
fn put_name(out: &mut Vec<u8>, name: &str) {
    let bytes = name.as_bytes();
    let bytes = bytes.get(..MAX_NAME).unwrap_or(bytes);
    out.push(u8::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(bytes);
}

pub(crate) fn valid_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

fn role_code(role: Role) -> u8 {
    match role {
        Role::Joining => 1,
        Role::Backup => 2,
        Role::Master => 3,
        Role::Draining => 4,
        Role::Fault => 5,
    }
}

fn role_of(code: u8) -> Option<Role> {
    match code {
        1 => Some(Role::Joining),
        2 => Some(Role::Backup),
        3 => Some(Role::Master),
        4 => Some(Role::Draining),
        5 => Some(Role::Fault),
        _ => None,
    }
}

fn standing_code(standing: Standing) -> u8 {
    match standing {
        Standing::Fresh => 0,
        Standing::Stale => 1,
        Standing::Current => 2,
    }
}

fn standing_of(code: u8) -> Option<Standing> {
    match code {
        0 => Some(Standing::Fresh),
        1 => Some(Standing::Stale),
        2 => Some(Standing::Current),
        _ => None,
    }
}

/// Reads forward and knows where it is.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.saturating_add(length);
        let slice = self
            .bytes
            .get(self.at..end)
            .ok_or(DecodeError::Truncated(self.bytes.len()))?;
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let end = self.bytes.len();
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated(end))
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn name(&mut self) -> Result<String, DecodeError> {
        let at = self.at;
        let length = usize::from(self.byte()?);
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Name(at))?;
        if valid_name(text) {
            Ok(text.to_owned())
        } else {
            Err(DecodeError::Name(at))
        }
    }
}
