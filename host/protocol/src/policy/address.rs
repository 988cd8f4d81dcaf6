//! Addresses that a name from outside has no business to lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What hands out the credentials of a machine to whoever can reach it. No range grants it; only a rule for that very address does.
pub const METADATA: &str = "metadata";

/// The kind of a special address (`loopback`, `private`, `link-local`, `metadata` …), none for one of the public internet.
///
/// An IPv4 address that a router makes of an IPv6 one (mapped, or the well-known prefix of NAT64, under which networks without IPv4 see
/// all the rest of the world) counts as what it is. Other tunnels (6to4, Teredo, NAT64 under a local prefix) are special themselves:
/// where they end is for somebody else to say.
pub fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// What whoever reaches an address of a kind has reached, for the person who is about to grant it.
pub(super) fn meaning(kind: &str) -> &'static str {
    match kind {
        METADATA => "a metadata service, which gives the credentials of this machine to whoever asks",
        "loopback" | "unspecified" => "this machine, with all that listens on it for nobody but itself",
        "private" | "site-local" | "shared" | "link-local" => {
            "in a network that isn't public, with all that trusts whoever is in it"
        }
        _ => "not of the public internet",
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter()
        .find(|(range, _)| range.contains(&address))
        .map(|(_, kind)| *kind)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(address) = address.to_ipv4_mapped() {
        return special_v4(address);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return special_v4(Ipv4Addr::new(a, b, c, d));
    }
    V6.iter()
        .find(|(range, _)| range.contains(&address))
        .map(|(_, kind)| *kind)
        .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some("reserved"))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// The first half of an address; the rest is zero.
const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const fn v6_one(address: Ipv6Addr) -> Ipv6Net {
    Ipv6Net::new_assert(address, 128)
}

/// The first that fits counts. After the registry of special-purpose addresses (RFC 6890), and the clouds' own documents.
const V4: [(Ipv4Net, &str); 28] = [
    // Amazon, Google, Microsoft, Oracle, DigitalOcean, OpenStack and most others.
    (v4(169, 254, 169, 254, 32), METADATA),
    // Amazon: credentials of containers and of pods, and its time and name servers beside them.
    (v4(169, 254, 170, 2, 32), METADATA),
    (v4(169, 254, 170, 23, 32), METADATA),
    (v4(169, 254, 169, 253, 32), METADATA),
    (v4(169, 254, 169, 123, 32), METADATA),
    // Scaleway, Tencent, Alibaba, Oracle Classic, and Microsoft's host, whose address looks public.
    (v4(169, 254, 42, 42, 32), METADATA),
    (v4(169, 254, 0, 23, 32), METADATA),
    (v4(100, 100, 100, 200, 32), METADATA),
    (v4(192, 0, 0, 192, 32), METADATA),
    (v4(168, 63, 129, 16, 32), METADATA),
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(100, 64, 0, 0, 10), "shared"),
    (v4(192, 0, 0, 0, 24), "protocol"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4"),
    (v4(192, 31, 196, 0, 24), "protocol"),
    (v4(192, 52, 193, 0, 24), "protocol"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The same for IPv6. What isn't under `2000::/3` is special anyway; it is here for its name.
const V6: [(Ipv6Net, &str); 24] = [
    // Amazon's metadata and its pods' credentials, Google's, Scaleway's, Oracle's, OpenStack's.
    (v6_one(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), METADATA),
    (v6_one(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)), METADATA),
    (v6_one(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)), METADATA),
    (v6_one(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)), METADATA),
    (
        v6_one(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
        METADATA,
    ),
    (v6_one(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)), METADATA),
    (v6_one(Ipv6Addr::LOCALHOST), "loopback"),
    (v6_one(Ipv6Addr::UNSPECIFIED), "unspecified"),
    // IPv4-compatible, given up in 2006; some systems still route it as IPv4.
    (v6(0, 0, 0, 0, 96), "v4-compatible"),
    // NAT64 under a prefix of the network's own choice: the IPv4 address isn't always in the same place.
    (v6(0x64, 0xff9b, 1, 0, 48), "nat64"),
    (v6(0x100, 0, 0, 0, 64), "discard-only"),
    (v6(0x2001, 0, 0, 0, 32), "teredo"),
    (v6(0x2001, 2, 0, 0, 48), "benchmarking"),
    (v6(0x2001, 0x10, 0, 0, 28), "orchid"),
    (v6(0x2001, 0x20, 0, 0, 28), "orchid"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x2001, 0, 0, 0, 23), "protocol"),
    (v6(0x2002, 0, 0, 0, 16), "6to4"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0x5f00, 0, 0, 0, 16), "segment-routing"),
    (v6(0xfc00, 0, 0, 0, 7), "private"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
];

/// The well-known prefix of NAT64 (RFC 6052): what follows it is an IPv4 address.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 0, 96);

/// All that is handed out to be reached from everywhere.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(special_range(address.parse().unwrap()), expected, "{address}");
    }

    #[test]
    fn public_addresses_are_not_special() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2003::1",
            "3ffe::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn special_addresses_have_a_kind() {
        for (kind, addresses) in [
            (
                "loopback",
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1",
            ),
            (
                "private",
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fdff::1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1",
            ),
            (
                "link-local",
                "169.254.0.1 169.254.255.255 fe80::1 febf::1 ::ffff:169.254.1.1",
            ),
            ("shared", "100.64.0.1 100.127.255.255"),
            ("unspecified", "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 64:ff9b::"),
            ("broadcast", "255.255.255.255 ::ffff:255.255.255.255"),
            ("multicast", "224.0.0.1 239.255.255.255 ff02::1"),
            ("reserved", "240.0.0.1 255.255.255.254 4000::1 1::1 64:ff9a::1 e000::1"),
            (
                "documentation",
                "192.0.2.1 198.51.100.1 203.0.113.1 2001:db8::1 3fff:fff::1",
            ),
            ("benchmarking", "198.18.0.1 198.19.255.255 2001:2::1"),
            ("protocol", "192.0.0.1 192.31.196.1 192.52.193.1 2001:1::1 2001:1ff::1"),
            ("6to4", "192.88.99.1 2002:7f00:1:: 2002:808:808::"),
            ("teredo", "2001::1"),
            ("orchid", "2001:10::1 2001:2f::1"),
            ("nat64", "64:ff9b:1::8.8.8.8 64:ff9b:1:7f00:0:100::"),
            ("v4-compatible", "::127.0.0.1 ::8.8.8.8 ::2"),
            ("discard-only", "100::1"),
            ("segment-routing", "5f00::1"),
            ("site-local", "fec0::1 feff::1"),
            (
                METADATA,
                "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 \
                 fd00:ec2::23 fd20:ce::254 fe80::a9fe:a9fe ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
            ),
        ] {
            for address in addresses.split_whitespace() {
                check(address, Some(kind));
            }
        }
    }
}
