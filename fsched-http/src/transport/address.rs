//! Where a worker or a master listens: read in every usual spelling, written in one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use fsched_core::transport::Address;

/// The port of a worker whose address names none.
pub const DEFAULT_WORKER_PORT: u16 = 3000;

/// `http://host:port`, and nothing more: no user, no path, no query, no other scheme.
///
/// Read from a bare host, a host with a port, or a URL; IPv6 with or without brackets where there is no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpAddress {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// A text that is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address such as 10.0.0.5, node7:3000 or http://[::1]:3000: {reason}")]
pub struct AddressError {
    /// What was found, cut to 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl HttpAddress {
    /// Reads an address; where it names no port it is `default_port`.
    ///
    /// # Errors
    /// Names the rule that the text breaks.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, AddressError> {
        Self::parse_advertised(text, default_port, None)
    }

    /// Reads an address whose host may be missing or unspecified (`http://:3000`, `0.0.0.0`, `[::]:3000`): then it is
    /// where the request came from.
    ///
    /// # Errors
    /// Names the rule that the text breaks.
    pub fn parse_from(text: &str, default_port: u16, peer: IpAddr) -> Result<Self, AddressError> {
        Self::parse_advertised(text, default_port, Some(peer.to_canonical()))
    }

    /// At `address`.
    pub fn at(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }

    /// Where to connect, if that can be said without asking a name server.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }

    /// Host and port, as they stand in a URL.
    pub fn authority(&self) -> String {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).to_string(),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }

    fn parse_advertised(text: &str, default_port: u16, peer: Option<IpAddr>) -> Result<Self, AddressError> {
        let error = |reason| AddressError { text: text.chars().take(80).collect(), reason };
        let (host, port) = split(text).map_err(error)?;
        let port = port.map_or(Ok(default_port), |port| parse_port(port).map_err(error))?;
        let host = match (parse_host(host).map_err(error)?, peer) {
            (Some(Host::Ip(ip)), Some(peer)) if ip.is_unspecified() => Host::Ip(peer),
            (Some(Host::Ip(ip)), None) if ip.is_unspecified() => {
                return Err(error("it names no one machine"));
            }
            (Some(host), _) => host,
            (None, Some(peer)) => Host::Ip(peer),
            (None, None) => return Err(error("the host is missing")),
        };
        Ok(Self { host, port })
    }
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    /// The address of a worker: its port is 3000 where none is named.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text, DEFAULT_WORKER_PORT)
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

impl From<&HttpAddress> for Address {
    fn from(address: &HttpAddress) -> Self {
        Self(address.to_string().into())
    }
}

/// Host and port as they stand there.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    let authority = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest.strip_suffix('/').unwrap_or(rest),
        Some(_) => return Err("only http is spoken"),
        None => text,
    };
    if authority.contains('@') {
        return Err("a user has no place in it");
    }
    if authority.contains(['/', '?', '#', '\\']) {
        return Err("a path has no place in it");
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or("only a port may follow the bracket")?),
        };
        // Brackets hold IPv6 and nothing else.
        host.parse::<Ipv6Addr>().map_err(|_| "the brackets do not hold an IPv6 address")?;
        return Ok((host, port));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err("the port has to be a number from 1 to 65535"),
    }
}

/// `None` where there is none.
fn parse_host(text: &str) -> Result<Option<Host>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok(Some(Host::Ip(ip.into())));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Some(Host::Ip(ip.into())));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label_ok = |label: &str| {
        let legal = label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        legal && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err("the host is neither an IP address nor a name");
    }
    // What ends in a number is read as an IPv4 address by some, and as a name by others: neither is safe.
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("the host is neither an IP address nor a name");
    }
    Ok(Some(Host::Name(name.to_ascii_lowercase())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> Result<String, &'static str> {
        text.parse::<HttpAddress>().map(|address| address.to_string()).map_err(|e| e.reason)
    }

    #[test]
    fn every_usual_spelling_is_read() {
        for (text, expected) in [
            ("10.0.0.5", "http://10.0.0.5:3000"),
            ("node7", "http://node7:3000"),
            ("Node7.Example.:81", "http://node7.example:81"),
            ("http://node_7:80/", "http://node_7:80"),
            ("HTTP://127.0.0.1", "http://127.0.0.1:3000"),
            ("::1", "http://[::1]:3000"),
            ("[::1]", "http://[::1]:3000"),
            ("http://[2001:DB8::0:1]:65535", "http://[2001:db8::1]:65535"),
            ("localhost:1", "http://localhost:1"),
        ] {
            assert_eq!(normal(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            " ",
            ":3000",
            "http://",
            "http://:3000",
            "https://node",
            "ftp://node",
            "file:///etc/passwd",
            "user@node",
            "http://user:pass@node:80",
            "node/path",
            "http://node//",
            "http://node/?q",
            "node#x",
            "node:",
            "node:0",
            "node:65536",
            "node:+80",
            "node:80:80",
            "node:-1",
            "[::1",
            "[::1]80",
            "[node]:80",
            "[fe80::1%eth0]",
            "fe80::1%eth0",
            "0.0.0.0",
            "[::]:80",
            "1.2.3",
            "1.2.3.4.5",
            "300.1.1.1",
            "0x7f.1",
            "no de",
            "-node",
            "node-",
            "a..b",
            "nöde",
            "node\r\nHost: x",
            "node\0",
            "../etc",
            "http:/node",
        ] {
            assert!(normal(text).is_err(), "{text:?} became {:?}", normal(text));
        }
        assert!(normal(&"a".repeat(300)).is_err());
    }

    #[test]
    fn who_advertises_no_host_is_where_the_request_came_from() {
        let peer = "::ffff:192.0.2.7".parse().unwrap();
        for text in ["http://:4000", ":4000", "0.0.0.0:4000", "http://[::]:4000"] {
            let address = HttpAddress::parse_from(text, DEFAULT_WORKER_PORT, peer).unwrap();
            assert_eq!(address.to_string(), "http://192.0.2.7:4000", "{text}");
        }
        let named = HttpAddress::parse_from("node:1", DEFAULT_WORKER_PORT, peer).unwrap();
        assert_eq!(named.to_string(), "http://node:1");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<HttpAddress>();
        }

        #[test]
        fn the_normal_form_is_stable(text in "(http://)?(\\[?[0-9a-fA-F:.]{0,12}\\]?|[a-zA-Z0-9_.-]{0,12})(:[0-9]{0,6})?/?") {
            if let Ok(address) = text.parse::<HttpAddress>() {
                let normal = address.to_string();
                prop_assert_eq!(normal.parse(), Ok(address));
                prop_assert!(normal.parse::<awc::http::Uri>().is_ok());
            }
        }

        #[test]
        fn every_socket_address_is_an_address(ip in any::<IpAddr>(), port in 1u16..) {
            let socket = SocketAddr::new(ip, port);
            prop_assume!(!ip.is_unspecified());
            let address: HttpAddress = socket.to_string().parse().unwrap();
            prop_assert_eq!(address.socket_address(), Some(socket));
            prop_assert_eq!(address, HttpAddress::at(socket));
        }
    }
}
