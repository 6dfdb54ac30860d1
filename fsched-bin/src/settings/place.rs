//! Where data is kept, and where we may listen.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use fsched_http::auth::{Token, check_listen};

/// `$XDG_STATE_HOME/fsched/<part>`, or `~/.local/state/fsched/<part>`.
///
/// # Errors
/// Where neither `XDG_STATE_HOME` nor `HOME` is set to an absolute path.
pub fn default_data_dir(part: &str) -> anyhow::Result<PathBuf> {
    state_home(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))
        .map(|state| state.join("fsched").join(part))
        .context("neither XDG_STATE_HOME nor HOME is set: say where data is to be kept")
}

fn state_home(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    state.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".local/state")))
}

/// Opens the socket to serve on: elsewhere than on loopback only where clients have to show a token.
///
/// # Errors
/// Where that is not so, or the address cannot be had.
pub fn listen(address: SocketAddr, token: Option<&Token>) -> anyhow::Result<TcpListener> {
    check_listen(address, token).map_err(|error| {
        anyhow!("{error} (--token-file FILE, or {} in the environment)", super::token::VARIABLE)
    })?;
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// Makes a folder for data that only we may look into.
///
/// # Errors
/// Where it cannot be made.
pub fn make_private(dir: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("cannot make the folder {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_needs_no_token() {
        assert!(listen("127.0.0.1:0".parse().unwrap(), None).is_ok());
        let error = format!("{:#}", listen("0.0.0.0:0".parse().unwrap(), None).unwrap_err());
        assert!(error.contains("--token-file"), "{error}");
        let token = "0123456789abcdef".parse().unwrap();
        assert!(listen("0.0.0.0:0".parse().unwrap(), Some(&token)).is_ok());
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = listen("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let address = taken.local_addr().unwrap();
        let error = format!("{:#}", listen(address, None).unwrap_err());
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[test]
    fn data_goes_where_the_desktop_rules_say() {
        let state = |state: &str, home: &str| state_home(Some(state.into()), Some(home.into()));
        assert_eq!(state("/s", "/h").as_deref(), Some(Path::new("/s")));
        assert_eq!(state("", "/h").as_deref(), Some(Path::new("/h/.local/state")));
        assert_eq!(state("relative", "/h").as_deref(), Some(Path::new("/h/.local/state")));
        assert_eq!(state("", ""), None);
        assert_eq!(state_home(None, None), None);
    }
}
