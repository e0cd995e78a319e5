//! Published ports: `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, where a range stands for a port each.

use std::net::IpAddr;

/// A port of the short form, spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShortPort {
    /// The address to bind on the host; empty for any.
    pub(crate) host_ip: String,
    /// The port on the host; empty for any.
    pub(crate) published: String,
    /// The port in the container.
    pub(crate) target: u16,
    /// The protocol.
    pub(crate) protocol: String,
}

/// Spells out a port or a range of ports.
pub(crate) fn parse_ports(spec: &str) -> Result<Vec<ShortPort>, String> {
    let (ip, host, container) = split(spec);
    let (container, protocol) = split_protocol(container);
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let ip = ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let (first, last) = range(container).map_err(|()| format!("invalid containerPort: {container}"))?;
    if first == 0 {
        return Err(format!("no port can be opened as number 0: {spec}"));
    }
    let hosts = if host.is_empty() {
        None
    } else {
        Some(range(host).map_err(|()| format!("invalid hostPort: {host}"))?)
    };
    if let Some((host_first, host_last)) = hosts
        && first != last
        && last - first != host_last - host_first
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    Ok((first..=last)
        .enumerate()
        .map(|(offset, target)| ShortPort {
            host_ip: ip.to_owned(),
            published: published(hosts, first == last, offset),
            target,
            protocol: protocol.clone(),
        })
        .collect())
}

/// A single target keeps a range of host ports to choose from; else each target has its own.
fn published(hosts: Option<(u16, u16)>, single_target: bool, offset: usize) -> String {
    match hosts {
        None => String::new(),
        Some((first, last)) if single_target && first != last => format!("{first}-{last}"),
        Some((first, _)) => (usize::from(first) + offset).to_string(),
    }
}

fn split(spec: &str) -> (&str, &str, &str) {
    let Some((rest, container)) = spec.rsplit_once(':') else { return ("", "", spec) };
    match rest.rsplit_once(':') {
        None => ("", rest, container),
        Some((ip, host)) => (ip, host, container),
    }
}

fn split_protocol(port: &str) -> (&str, &str) {
    match port.split_once('/') {
        _ if port.is_empty() || port.starts_with('/') => ("", ""),
        None | Some((_, "")) => (port.trim_end_matches('/'), "tcp"),
        Some((port, protocol)) => (port, protocol),
    }
}

fn range(text: &str) -> Result<(u16, u16), ()> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse::<u16>().map_err(|_| ())
        } else {
            Err(())
        }
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first { Err(()) } else { Ok((first, last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(spec: &str) -> Result<Vec<String>, String> {
        let line = |p: &ShortPort| format!("{}|{}|{}|{}", p.host_ip, p.published, p.target, p.protocol);
        parse_ports(spec).map(|ports| ports.iter().map(line).collect())
    }

    #[test]
    fn ports_are_spelled_out() {
        let table = [
            ("3000", vec!["||3000|tcp"]),
            ("8000:80", vec!["|8000|80|tcp"]),
            ("127.0.0.1::5000", vec!["127.0.0.1||5000|tcp"]),
            ("[::1]:80:80/UDP", vec!["::1|80|80|udp"]),
            ("90-91:90-91", vec!["|90|90|tcp", "|91|91|tcp"]),
            ("12400-12500:1240", vec!["|12400-12500|1240|tcp"]),
        ];
        for (spec, ports) in table {
            assert_eq!(spelled(spec).unwrap(), ports, "{spec}");
        }
        for refused in
            ["", "http:80", "80:80/icmp", "300.1.1.1:80:80", "80-82:80-81", "70000:80", "82-80:80", "0"]
        {
            assert!(parse_ports(refused).is_err(), "{refused}");
        }
    }
}
