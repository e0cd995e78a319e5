//! Addresses as engines read them.

use ::core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address without a zone. One of version 4 in the form of version 6 is of version 4, as in Go.
pub fn ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// A network such as `10.0.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    prefix: u32,
}

impl Subnet {
    /// Reads it; it may have an address of the network in place of its first.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let is_number = !prefix.is_empty() && prefix.chars().all(|c| c.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|prefix| is_number && *prefix <= longest)?;
        Some(Self { address, prefix })
    }

    /// Whether an address is of it.
    pub fn contains(self, address: IpAddr) -> bool {
        // Shifted by all of its bits there is nothing left to differ.
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether it is of IP version 4.
    pub fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether both have the same addresses.
    pub fn is_same(self, other: Self) -> bool {
        self.prefix == other.prefix && self.contains(other.address)
    }

    /// Whether any address is of both.
    pub fn overlaps(self, other: Self) -> bool {
        let (wide, narrow) = if self.prefix <= other.prefix { (self, other) } else { (other, self) };
        wide.contains(narrow.address)
    }

    /// Its address of this number, counted from 0; `None` where it has not so many.
    pub fn nth(self, number: u32) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(own) => {
                let host = u32::MAX.checked_shr(self.prefix).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits((own.to_bits() & !host).checked_add(number)?))
            }
            IpAddr::V6(own) => {
                let host = u128::MAX.checked_shr(self.prefix).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits((own.to_bits() & !host).checked_add(number.into())?))
            }
        };
        self.contains(address).then_some(address)
    }
}

/// A MAC address of 6, 8 or 20 bytes: `02:42:ac:11:00:02`, `02-42-ac-11-00-02` or `0242.ac11.0002`.
pub fn is_mac_address(text: &str) -> bool {
    let (separator, digits) =
        if text.contains('.') { ('.', 4) } else { (if text.contains('-') { '-' } else { ':' }, 2) };
    let groups: Vec<&str> = text.split(separator).collect();
    let bytes = groups.len() * digits / 2;
    matches!(bytes, 6 | 8 | 20)
        && groups.iter().all(|group| group.len() == digits && group.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_has_the_addresses_that_begin_like_it() {
        let has = |subnet: &str, address: &str| Subnet::parse(subnet).unwrap().contains(ip(address).unwrap());
        assert!(
            has("10.0.0.0/24", "10.0.0.255") && has("10.0.0.5/24", "10.0.0.1") && has("0.0.0.0/0", "9.9.9.9")
        );
        assert!(has("10.0.0.1/32", "10.0.0.1") && has("10.0.0.0/24", "::ffff:10.0.0.8"));
        assert!(has("fd00:213::/64", "fd00:213::9") && has("::/0", "fd00::1"));
        assert!(!has("10.0.0.0/24", "10.0.1.0") && !has("10.0.0.1/32", "10.0.0.2"));
        assert!(!has("fd00:213::/64", "fd00:214::9") && !has("10.0.0.0/8", "fd00::1"));
        for wrong in
            ["10.0.0.0/99", "10.0.0.0", "zz", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "fd00::/129", ""]
        {
            assert_eq!(Subnet::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn subnets_are_the_same_or_overlap_whatever_address_they_are_written_with() {
        let subnet = |text: &str| Subnet::parse(text).unwrap();
        for (one, other, same, overlap) in [
            ("10.0.0.0/24", "10.0.0.7/24", true, true),
            ("10.0.0.0/24", "10.0.0.0/25", false, true),
            ("10.0.0.128/25", "10.0.0.0/24", false, true),
            ("10.0.0.0/24", "10.0.1.0/24", false, false),
            ("10.0.0.0/24", "fd00::/24", false, false),
            ("fd00:0::/64", "fd00::9/64", true, true),
        ] {
            let (one, other) = (subnet(one), subnet(other));
            assert_eq!((one.is_same(other), one.overlaps(other)), (same, overlap), "{one:?} {other:?}");
            assert_eq!((other.is_same(one), other.overlaps(one)), (same, overlap), "{other:?} {one:?}");
        }
    }

    #[test]
    fn addresses_of_a_subnet_have_numbers() {
        let nth = |text: &str, number| Subnet::parse(text).unwrap().nth(number).map(|it| it.to_string());
        assert_eq!(nth("10.0.0.9/24", 1).as_deref(), Some("10.0.0.1"));
        assert_eq!(nth("10.0.0.0/24", 256), None);
        assert_eq!(nth("10.0.0.1/32", 0).as_deref(), Some("10.0.0.1"));
        assert_eq!(nth("0.0.0.0/0", 5).as_deref(), Some("0.0.0.5"));
        assert_eq!(nth("fd00::/64", 1).as_deref(), Some("fd00::1"));
    }

    #[test]
    fn mac_addresses_read_in_three_forms() {
        for right in ["02:42:ac:11:00:02", "02-42-AC-11-00-02", "0242.ac11.0002", "02:00:5e:10:00:00:00:01"] {
            assert!(is_mac_address(right), "{right}");
        }
        for wrong in ["", "zz", "2:42:ac:11:0:2", "02:42:ac:11:00", "02:42-ac:11:00:02", "02:42:ac:11:00:0g"]
        {
            assert!(!is_mac_address(wrong), "{wrong}");
        }
    }
}
