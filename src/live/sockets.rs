//! The kernel's tables of sockets, as `/proc/net/tcp` and its like have them.

/// The state of one that waits for others to connect.
pub(crate) const LISTENING: &str = "0A";

/// Each socket's own address, in hexadecimal (`0100007F:1F90`), and its state. The line of headings passes for one, whose
/// address and state are none.
pub(crate) fn sockets(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        Some((local, state))
    })
}
