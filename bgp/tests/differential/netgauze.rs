//! netgauze-bgp-pkt as a judge: it refuses what is wrong at the first error, and writes what it has read.
use bgp::wire::Context;
use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_iana::address_family::AddressType;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;

pub(crate) fn read(bytes: &[u8], context: Context) -> Result<BgpMessage, String> {
    let mut parsing = BgpParsingContext::default();
    parsing.set_asn4(context.four_octet);
    let add_path = parsing.add_path_mut();
    add_path.insert(AddressType::Ipv4Unicast, context.add_path.ipv4);
    add_path.insert(AddressType::Ipv6Unicast, context.add_path.ipv6);
    BgpMessage::parse(&mut SliceReader::new(bytes), &mut parsing).map_err(|error| error.to_string())
}

pub(crate) fn write(message: &BgpMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes).unwrap();
    bytes
}
