//! Who may talk to us: the bearer tokens, and the checks that keep web pages of others out.

mod tenants;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use fsched_core::tenant::Tenant;
use subtle::ConstantTimeEq;

pub use tenants::{TenantTokens, TenantTokensError};

use crate::error::{ApiError, Code};

/// The secret that clients, master and workers share. Never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// A text that cannot be a token. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has {} to {} visible ASCII characters", Token::MIN_LEN, Token::MAX_LEN)]
pub struct TokenError;

impl Token {
    /// The shortest token: shorter ones can be guessed.
    pub const MIN_LEN: usize = 8;
    /// The longest token.
    pub const MAX_LEN: usize = 1024;

    /// Whether `presented` is this token, in a time that does not depend on where they differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }

    fn is(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }

    /// The value of the `Authorization` header that shows it.
    pub fn header_value(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// White space around it, such as the line end of a file, is not part of it.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let fits = (Self::MIN_LEN..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(text.into())) } else { Err(TokenError) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A listen address that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Others than this machine could talk to us, and there is no token.
    #[error("{0} can be reached from other machines: listening there needs a token")]
    NeedsToken(SocketAddr),
}

/// Whether it is safe to listen at `address`: on loopback always, elsewhere only with a token.
///
/// # Errors
/// Where it is not.
pub fn check_listen(address: SocketAddr, token: Option<&Token>) -> Result<(), ListenError> {
    match token {
        None if !address.ip().to_canonical().is_loopback() => Err(ListenError::NeedsToken(address)),
        _ => Ok(()),
    }
}

/// Checks requests before anything else looks at them.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    token: Option<Token>,
    tenants: TenantTokens,
    /// Whoever shows the token without a name, or none where there are none.
    nameless: Tenant,
}

impl Guard {
    /// Paths that answer without a token: all they say is "up", "not yet", and what can be asked. A browser shows no
    /// token before a page has asked for one.
    pub const OPEN_PATHS: [&str; 4] = ["/healthz", "/readyz", "/openapi.json", "/docs"];

    fn is_open(path: &str) -> bool {
        Self::OPEN_PATHS.contains(&path) || path.starts_with("/docs/")
    }

    /// A guard that asks for `token`; none: it only keeps web pages out.
    pub fn new(token: Option<Token>) -> Self {
        Self::with_tenants(token, TenantTokens::default())
    }

    /// A guard that asks for `token`, or for that of a tenant.
    pub fn with_tenants(token: Option<Token>, tenants: TenantTokens) -> Self {
        Self { token, tenants, nameless: Tenant::default() }
    }

    /// Whether a request with these headers may go on to `path`, and on whose behalf.
    ///
    /// # Errors
    /// `unauthorized` without the right token, `forbidden_origin` for what a web page of somebody else sends.
    pub fn check(&self, path: &str, headers: &HeaderMap) -> Result<Tenant, ApiError> {
        // Browsers always send `Host`; a request without one comes from no web page.
        let host = headers.get(HOST).map(|host| host.as_bytes());
        if let Some(origin) = headers.get(ORIGIN)
            && !host.is_some_and(|host| is_own_origin(origin.as_bytes(), host))
        {
            return Err(ApiError::new(Code::ForbiddenOrigin, "requests from other origins are not answered"));
        }
        match &self.token {
            None if host.is_some_and(|host| !is_plain_host(host)) => Err(ApiError::new(
                Code::ForbiddenOrigin,
                "without a token, the Host header has to be an IP address or localhost",
            )),
            None => Ok(self.nameless.clone()),
            Some(_) if Self::is_open(path) => Ok(self.nameless.clone()),
            Some(token) => self.who(token, headers),
        }
    }

    fn who(&self, token: &Token, headers: &HeaderMap) -> Result<Tenant, ApiError> {
        let Some(presented) = presented(headers) else {
            let text = "a token is needed: Authorization: Bearer <token>";
            return Err(ApiError::new(Code::Unauthorized, text));
        };
        // All are compared, whichever it is: how long that takes tells nothing.
        let (own, tenant) = (token.matches(presented), self.tenants.whose(presented));
        let who = if own { Some(&self.nameless) } else { tenant };
        who.cloned().ok_or_else(|| ApiError::new(Code::Unauthorized, "this is not the token"))
    }
}

/// The one token that is shown.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let mut shown = headers.get_all(AUTHORIZATION);
    match (shown.next(), shown.next()) {
        (Some(value), None) => bearer(value.as_bytes()),
        _ => None,
    }
}

/// What follows the scheme `Bearer`, whose case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// Whether `origin` (`scheme://authority`) names the host that was asked.
fn is_own_origin(origin: &[u8], host: &[u8]) -> bool {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Whether a `Host` is an IP literal or `localhost`, with or without a port: no name that somebody else's DNS
/// could point at us.
fn is_plain_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "correct-horse-battery";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| map.append(name, value));
        map
    }

    fn code(guard: &Guard, path: &str, pairs: &[(HeaderName, &str)]) -> Option<Code> {
        guard.check(path, &headers(pairs)).err().map(|e| e.code())
    }

    fn guarded() -> Guard {
        Guard::new(Some(SECRET.parse().unwrap()))
    }

    #[test]
    fn only_the_right_token_opens() {
        let guard = guarded();
        assert_eq!(code(&guard, "/status", &[(AUTHORIZATION, "Bearer correct-horse-battery")]), None);
        assert_eq!(code(&guard, "/status", &[(AUTHORIZATION, "bearer  correct-horse-battery")]), None);
        for wrong in ["Bearer correct-horse-batterz", "Bearer ", "Basic abc", "", "correct-horse-battery"] {
            let pairs = [(AUTHORIZATION, wrong)];
            assert_eq!(code(&guard, "/status", &pairs), Some(Code::Unauthorized), "{wrong:?}");
        }
        assert_eq!(code(&guard, "/status", &[]), Some(Code::Unauthorized));
    }

    #[test]
    fn a_token_with_a_name_says_who_asks() {
        let own: Token = SECRET.parse().unwrap();
        let named = vec![("blue".parse().unwrap(), "secret-of-blue".parse().unwrap())];
        let guard = Guard::with_tenants(Some(own.clone()), TenantTokens::new(named, Some(&own)).unwrap());
        for (shown, who) in [(SECRET, "default"), ("secret-of-blue", "blue")] {
            let pairs = [(AUTHORIZATION, format!("Bearer {shown}"))];
            let pairs = pairs.each_ref().map(|(name, value)| (name.clone(), value.as_str()));
            assert_eq!(guard.check("/status", &headers(&pairs)).unwrap().as_str(), who);
        }
        let wrong = [(AUTHORIZATION, "Bearer secret-of-red")];
        assert_eq!(code(&guard, "/status", &wrong), Some(Code::Unauthorized));
        assert_eq!(guarded().check("/x", &headers(&[(AUTHORIZATION, "Bearer secret-of-blue")])).ok(), None);
    }

    #[test]
    fn two_authorization_headers_are_none() {
        let pairs = [
            (AUTHORIZATION, "Bearer correct-horse-battery"),
            (AUTHORIZATION, "Bearer correct-horse-battery"),
        ];
        assert_eq!(code(&guarded(), "/status", &pairs), Some(Code::Unauthorized));
    }

    #[test]
    fn health_needs_no_token() {
        for open in ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/", "/docs/index.css"] {
            assert_eq!(code(&guarded(), open, &[]), None, "{open}");
        }
        assert_eq!(code(&guarded(), "/readyz", &[]), None);
        assert_eq!(code(&guarded(), "/healthz/", &[]), Some(Code::Unauthorized));
    }

    #[test]
    fn pages_of_others_are_kept_out() {
        let guard = Guard::default();
        let own = [(HOST, "127.0.0.1:3000"), (ORIGIN, "http://127.0.0.1:3000")];
        assert_eq!(code(&guard, "/submit", &own), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:3001", "127.0.0.1:3000"] {
            let pairs = [(HOST, "127.0.0.1:3000"), (ORIGIN, origin)];
            assert_eq!(code(&guard, "/submit", &pairs), Some(Code::ForbiddenOrigin), "{origin}");
        }
    }

    #[test]
    fn without_a_token_names_that_dns_could_point_at_us_are_refused() {
        let guard = Guard::default();
        for host in ["127.0.0.1", "127.0.0.1:80", "[::1]:3000", "[::1]", "localhost", "LOCALHOST:3000"] {
            assert_eq!(code(&guard, "/status", &[(HOST, host)]), None, "{host}");
        }
        for host in ["evil.example", "evil.example:3000", "localhost.evil.example", "localhost:x", ""] {
            assert_eq!(code(&guard, "/status", &[(HOST, host)]), Some(Code::ForbiddenOrigin), "{host}");
        }
        let named = [(HOST, "faas.example"), (AUTHORIZATION, "Bearer correct-horse-battery")];
        assert_eq!(code(&guarded(), "/status", &named), None);
    }

    #[test]
    fn other_addresses_than_loopback_need_a_token() {
        let token: Token = SECRET.parse().unwrap();
        for address in ["0.0.0.0:3000", "10.1.2.3:80", "[::]:80", "[::ffff:10.0.0.1]:80"] {
            let address = address.parse().unwrap();
            assert_eq!(check_listen(address, None), Err(ListenError::NeedsToken(address)));
            assert_eq!(check_listen(address, Some(&token)), Ok(()));
        }
        for address in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(check_listen(address.parse().unwrap(), None), Ok(()));
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let guard = guarded();
        assert!(!format!("{guard:?}").contains("horse"));
        assert_eq!("short".parse::<Token>().err(), Some(TokenError));
        assert!(format!("{SECRET}\n").parse::<Token>().is_ok());
    }

    proptest! {
        #[test]
        fn no_header_makes_the_guard_panic(host in any::<Vec<u8>>(), origin in any::<Vec<u8>>(), auth in any::<Vec<u8>>()) {
            let mut map = HeaderMap::new();
            for (name, bytes) in [(HOST, host), (ORIGIN, origin), (AUTHORIZATION, auth)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    map.append(name, value);
                }
            }
            let _ = Guard::default().check("/", &map);
            let _ = guarded().check("/", &map);
        }
    }
}
