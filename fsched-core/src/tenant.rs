//! On whose behalf something is done.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

/// On whose behalf something is done: the name of the token that a request came with, `default` where it came with the one
/// that has no name, or where there are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(Arc<str>);

/// A text that is not the name of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a tenant has 1 to {} letters a-z, digits, '.', '_' and '-', and starts with a letter or digit",
    Tenant::MAX_LEN
)]
pub struct TenantError;

impl Tenant {
    /// The longest name.
    pub const MAX_LEN: usize = 64;
    /// The name of whoever has none.
    pub const DEFAULT: &'static str = "default";

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may see and change what is `other`'s: each its own, and who runs the platform everything.
    pub fn governs(&self, other: &Self) -> bool {
        self.is_default() || self == other
    }

    /// Whether it is the one without a name of its own: who runs the platform.
    pub fn is_default(&self) -> bool {
        &*self.0 == Self::DEFAULT
    }
}

impl Default for Tenant {
    fn default() -> Self {
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Tenant::DEFAULT.into());
        Self(Arc::clone(&NAME))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, TenantError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && text.starts_with(|first: char| u8::try_from(first).is_ok_and(plain))
            && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte));
        if fits { Ok(Self(text.into())) } else { Err(TenantError) }
    }
}

impl TryFrom<String> for Tenant {
    type Error = TenantError;

    fn try_from(text: String) -> Result<Self, TenantError> {
        text.parse()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> String {
        tenant.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["a", "7", "team-blue", "x.y_z", &"a".repeat(Tenant::MAX_LEN)] {
            assert_eq!(name.parse::<Tenant>().unwrap().as_str(), name);
        }
        for name in ["", "-a", ".a", "A", "a b", "a\n", "ä", "a/b", "a:b", &"a".repeat(Tenant::MAX_LEN + 1)]
        {
            assert_eq!(name.parse::<Tenant>(), Err(TenantError), "{name:?}");
        }
    }

    #[test]
    fn who_has_no_name_is_called_default() {
        assert_eq!(Tenant::DEFAULT.parse(), Ok(Tenant::default()));
        assert!(Tenant::default().is_default());
        assert!(!"other".parse::<Tenant>().unwrap().is_default());
    }

    #[test]
    fn each_governs_its_own_and_the_default_everything() {
        let [blue, red, default] = ["blue", "red", "default"].map(|name| name.parse::<Tenant>().unwrap());
        for (who, whose, may) in [
            (&blue, &blue, true),
            (&blue, &red, false),
            (&blue, &default, false),
            (&default, &blue, true),
            (&default, &default, true),
        ] {
            assert_eq!(who.governs(whose), may, "{who} {whose}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in ".{0,70}") {
            if let Ok(tenant) = text.parse::<Tenant>() {
                prop_assert_eq!(tenant.to_string(), text.clone());
                let json = serde_json::to_string(&tenant).unwrap();
                prop_assert_eq!(serde_json::from_str::<Tenant>(&json).unwrap(), tenant);
            } else {
                prop_assert!(serde_json::from_value::<Tenant>(text.into()).is_err());
            }
        }
    }
}
