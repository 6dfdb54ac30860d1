//! Tokens that have names: who shows one is that tenant.

use fsched_core::tenant::Tenant;

use super::Token;

/// The tokens of tenants, by name: each another secret, and none that of the platform.
#[derive(Debug, Clone, Default)]
pub struct TenantTokens(Vec<(Tenant, Token)>);

/// Tokens that would not tell who is who. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TenantTokensError {
    /// There are tenants, but the platform has no token: nothing would keep them from being the platform.
    #[error("tenants need a platform that has a token itself, which its workers and operators show")]
    NoPlatformToken,
    /// That is the name of whoever has none.
    #[error("no tenant can be called {:?}: so is whoever shows the platform's own token", Tenant::DEFAULT)]
    Reserved,
    /// Two tokens have the same name.
    #[error("the tenant {0} has more than one token")]
    Twice(Tenant),
    /// Two tokens are the same.
    #[error("the token of tenant {0} is that of {1} too")]
    SameSecret(Tenant, Tenant),
}

impl TenantTokens {
    /// These tokens, beside the platform's own.
    ///
    /// # Errors
    /// Where they would not tell who is who.
    pub fn new(tokens: Vec<(Tenant, Token)>, platform: Option<&Token>) -> Result<Self, TenantTokensError> {
        let Some(platform) = platform else {
            return if tokens.is_empty() {
                Ok(Self::default())
            } else {
                Err(TenantTokensError::NoPlatformToken)
            };
        };
        let mut known = vec![(Tenant::default(), platform.clone())];
        for (tenant, token) in &tokens {
            if tenant.is_default() {
                return Err(TenantTokensError::Reserved);
            }
            if known.iter().any(|(other, _)| other == tenant) {
                return Err(TenantTokensError::Twice(tenant.clone()));
            }
            if let Some((other, _)) = known.iter().find(|(_, other)| token.is(other)) {
                return Err(TenantTokensError::SameSecret(tenant.clone(), other.clone()));
            }
            known.push((tenant.clone(), token.clone()));
        }
        Ok(Self(tokens))
    }

    /// Whose token `presented` is. All are looked at, whichever it is.
    pub(super) fn whose(&self, presented: &[u8]) -> Option<&Tenant> {
        self.0.iter().fold(
            None,
            |found, (tenant, token)| {
                if token.matches(presented) { Some(tenant) } else { found }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pairs: &[(&str, &str)]) -> Vec<(Tenant, Token)> {
        pairs.iter().map(|(name, secret)| (name.parse().unwrap(), secret.parse().unwrap())).collect()
    }

    #[test]
    fn tokens_that_do_not_tell_who_is_who_are_refused() {
        let platform: Token = "platform-secret".parse().unwrap();
        let tenant = |name: &str| name.parse::<Tenant>().unwrap();
        let cases = [
            (&[("default", "another-secret")][..], TenantTokensError::Reserved),
            (&[("a", "secret-of-a"), ("a", "secret-of-b")], TenantTokensError::Twice(tenant("a"))),
            (
                &[("a", "same-secret"), ("b", "same-secret")],
                TenantTokensError::SameSecret(tenant("b"), tenant("a")),
            ),
            (&[("a", "platform-secret")], TenantTokensError::SameSecret(tenant("a"), tenant("default"))),
        ];
        for (pairs, expected) in cases {
            let error = TenantTokens::new(tokens(pairs), Some(&platform)).unwrap_err();
            assert!(!error.to_string().contains("secret-"), "{error}");
            assert_eq!(error, expected);
        }
        let error = TenantTokens::new(tokens(&[("a", "secret-of-a")]), None).unwrap_err();
        assert_eq!(error, TenantTokensError::NoPlatformToken);
        assert!(TenantTokens::new(Vec::new(), None).is_ok());
    }

    #[test]
    fn each_secret_is_one_tenants() {
        let platform: Token = "platform-secret".parse().unwrap();
        let pairs = [("a", "secret-of-a"), ("b", "secret-of-b")];
        let tenants = TenantTokens::new(tokens(&pairs), Some(&platform)).unwrap();
        for (name, secret) in pairs {
            assert_eq!(tenants.whose(secret.as_bytes()).map(Tenant::as_str), Some(name));
        }
        for other in ["platform-secret", "secret-of-", "secret-of-c", ""] {
            assert_eq!(tenants.whose(other.as_bytes()), None, "{other:?}");
        }
        assert!(!format!("{tenants:?}").contains("secret"));
    }
}
