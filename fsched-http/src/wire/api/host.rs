//! Where a worker listens, as people and workers write it.

use std::net::{IpAddr, Ipv6Addr};

use fsched_core::transport::Address;

use crate::error::{ApiError, Code};

/// The port of a worker that is named without one.
pub const DEFAULT_PORT: u16 = 3000;

const RULE: &str = "a host name or IP address, with or without a port, or a URL such as http://10.0.0.7:3000";

/// Reads a host: bare, with a port, or as a URL. What comes out is `http://host:port`.
///
/// # Errors
/// `no_host` where there is nothing, `bad_value` where it is no host.
pub fn parse(key: &str, text: &str) -> Result<Address, ApiError> {
    parse_or(key, text, None)
}

/// As [`parse`], where a host that is missing or unspecified (`0.0.0.0`, `::`) stands for `peer`.
///
/// # Errors
/// As [`parse`].
pub fn parse_or(key: &str, text: &str, peer: Option<IpAddr>) -> Result<Address, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ApiError::new(Code::NoHost, "no worker host specified"));
    }
    let error = || ApiError::bad_value(key, RULE);
    let authority = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest.strip_suffix('/').unwrap_or(rest),
        Some(_) => return Err(error()),
        None => text,
    };
    let (host, port) = split(authority).ok_or_else(error)?;
    let host = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => written(peer.ok_or_else(error)?),
        Ok(ip) => written(ip),
        Err(_) if host.is_empty() => written(peer.ok_or_else(error)?),
        Err(_) if is_name(host) => host.to_ascii_lowercase(),
        Err(_) => return Err(error()),
    };
    Ok(Address::from(format!("http://{host}:{port}").as_str()))
}

/// Host without brackets, and port.
fn split(authority: &str) -> Option<(&str, u16)> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Some((authority, DEFAULT_PORT));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => {
            v6.parse::<Ipv6Addr>().ok()?;
            (v6, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().ok().filter(|&port| port > 0)?
        }
        Some(_) => return None,
    };
    Some((host, port))
}

fn written(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    // All digits and dots: meant to be an IP address, and is none.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && !numeric && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_come_bare_with_a_port_or_as_urls() {
        for (text, address) in [
            ("10.0.0.7", "http://10.0.0.7:3000"),
            ("10.0.0.7:81", "http://10.0.0.7:81"),
            ("http://10.0.0.7:81", "http://10.0.0.7:81"),
            ("HTTP://Node-1.Example/", "http://node-1.example:3000"),
            (" localhost ", "http://localhost:3000"),
            ("::1", "http://[::1]:3000"),
            ("[::1]:81", "http://[::1]:81"),
            ("http://[::1]", "http://[::1]:3000"),
        ] {
            assert_eq!(parse("host", text).unwrap(), Address::from(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        assert_eq!(parse("host", " ").unwrap_err().code(), Code::NoHost);
        for text in [
            "https://a",
            "ftp://a",
            "a:0",
            "a:65536",
            "a:x",
            "a:",
            ":80",
            "http://",
            "a b",
            "a/b",
            "../a",
            "user@a",
            "http://a/path",
            "http://a?q",
            "[::1",
            "[::1]x",
            "1.2.3",
            "999.1.1.1",
            "-a",
            "a..b",
            "0.0.0.0",
            "a:1:2",
        ] {
            assert_eq!(parse("host", text).unwrap_err().code(), Code::BadValue, "{text}");
        }
    }

    #[test]
    fn a_host_that_is_not_said_is_where_the_request_came_from() {
        let peer = Some("192.0.2.5".parse().unwrap());
        for text in ["http://:81", "http://0.0.0.0:81", "[::]:81", ":81"] {
            assert_eq!(
                parse_or("address", text, peer).unwrap(),
                Address::from("http://192.0.2.5:81"),
                "{text}"
            );
        }
        let v6 = Some("2001:db8::1".parse().unwrap());
        assert_eq!(parse_or("address", ":81", v6).unwrap(), Address::from("http://[2001:db8::1]:81"));
    }

    proptest! {
        #[test]
        fn what_is_understood_stays_the_same(text in "\\PC{0,40}") {
            if let Ok(address) = parse("host", &text) {
                prop_assert_eq!(parse("host", &address.0).unwrap(), address);
            }
        }
    }
}
