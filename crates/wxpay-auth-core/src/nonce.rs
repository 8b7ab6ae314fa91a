//! Nonces: one per request, never used twice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use thiserror::Error;

use crate::text::{debug_as_report, serde_as_text};

/// The nonce of a request (`nonce_str`): 32 characters of `[0-9A-Za-z]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce([u8; Self::LENGTH]);

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Nonce {
    /// Number of characters of a nonce.
    pub const LENGTH: usize = 32;

    /// Validates a given nonce.
    ///
    /// # Errors
    /// [`NonceFormatError`] unless it is 32 characters of `[0-9A-Za-z]`.
    pub fn new(nonce: &str) -> Result<Self, NonceFormatError> {
        let bytes: [u8; Self::LENGTH] =
            nonce.as_bytes().try_into().map_err(|_| NonceFormatError)?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes)).ok_or(NonceFormatError)
    }

    /// Returns the 32 characters.
    pub fn as_str(&self) -> &str {
        // It is always ASCII, so the fallback is never used; it avoids a panic.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Nonce {
    type Err = NonceFormatError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

/// A text is not a valid nonce.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("a nonce has {} characters of 0-9, A-Z and a-z", Nonce::LENGTH)]
#[non_exhaustive]
pub struct NonceFormatError;

impl NonceFormatError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "use one of SystemNonce, or encode random bytes in hexadecimal or Base62"
    }
}

/// A source of nonces, one per request.
///
/// Every `Fn() -> Result<Nonce, NonceError>` is a source.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `NonceSource`",
    label = "expected `SystemNonce`, a closure that returns `Result<Nonce, NonceError>`, or a source of your own",
    note = "the type is also `Send + Sync`"
)]
pub trait NonceSource: Send + Sync {
    /// Returns a nonce that was never returned before.
    ///
    /// # Errors
    /// [`NonceError`] if no randomness is available.
    fn nonce(&self) -> Result<Nonce, NonceError>;
}

impl<F: Fn() -> Result<Nonce, NonceError> + Send + Sync> NonceSource for F {
    fn nonce(&self) -> Result<Nonce, NonceError> {
        self()
    }
}

impl NonceSource for Arc<dyn NonceSource> {
    fn nonce(&self) -> Result<Nonce, NonceError> {
        (**self).nonce()
    }
}

/// The random number generator of the operating system failed.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("the random number generator of the operating system failed")]
#[non_exhaustive]
pub struct NonceError;

impl NonceError {
    /// Creates the error, for custom sources.
    pub const fn new() -> Self {
        Self
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "nothing was signed: try again, and check the machine if it lasts"
    }
}

impl Default for NonceError {
    fn default() -> Self {
        Self::new()
    }
}

/// Generates nonces with uniformly distributed characters, from the operating system's random numbers.
#[derive(Debug, Clone)]
pub struct SystemNonce(SystemRandom);

impl SystemNonce {
    /// Creates a source.
    pub fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Default for SystemNonce {
    fn default() -> Self {
        Self::new()
    }
}

impl NonceSource for SystemNonce {
    fn nonce(&self) -> Result<Nonce, NonceError> {
        let mut nonce = [0; Nonce::LENGTH];
        let mut filled = 0;
        let mut random = [0; 48];
        while filled < nonce.len() {
            self.0.fill(&mut random).map_err(|_| NonceError)?;
            for (slot, character) in
                nonce.iter_mut().skip(filled).zip(random.iter().filter_map(|b| character(*b)))
            {
                *slot = character;
                filled += 1;
            }
        }
        Ok(Nonce(nonce))
    }
}

/// Maps a random byte to a character. 248 is the largest multiple of 62 in a byte: larger values are
/// rejected, so that all characters are equally likely.
fn character(byte: u8) -> Option<u8> {
    (byte < 248).then(|| ALPHABET.get(usize::from(byte % 62)).copied()).flatten()
}

debug_as_report!(NonceError, NonceFormatError);
serde_as_text!(Nonce);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn every_character_comes_from_the_same_number_of_bytes() {
        let mut origins: HashMap<u8, u32> = HashMap::new();
        for character in (0..=255).filter_map(character) {
            *origins.entry(character).or_default() += 1;
        }
        assert_eq!(origins.len(), 62);
        assert!(origins.values().all(|n| *n == 4), "{origins:?}");
    }

    #[test]
    fn nonces_are_well_formed_and_differ() {
        let nonces: HashSet<String> =
            (0..1000).map(|_| SystemNonce::new().nonce().unwrap().to_string()).collect();
        assert_eq!(nonces.len(), 1000);
        assert!(nonces.iter().all(|n| Nonce::new(n).is_ok()));
        let seen: HashSet<char> = nonces.iter().flat_map(|n| n.chars()).collect();
        assert_eq!(seen.len(), 62, "32,000 characters show the whole alphabet");
    }

    #[test]
    fn foreign_nonces_are_checked() {
        assert!("593BEC0C930BF1AFEB40B4A08C8FB242".parse::<Nonce>().is_ok());
        for nonce in ["", "593BEC0C930BF1AFEB40B4A08C8FB24", "593BEC0C930BF1AFEB40B4A08C8FB24\n"] {
            assert_eq!(Nonce::new(nonce), Err(NonceFormatError), "{nonce:?}");
        }
    }
}
