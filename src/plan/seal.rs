//! Fingerprints that tell nothing, and a seal that a plan was not changed.
//!
//! What a fingerprint stands for can be short and guessable: a password of one service. So each is made with a slow hash
//! (PBKDF2 over HMAC-SHA-256), with a salt that each plan draws anew: nothing can be computed ahead, and a guess costs as
//! much as the whole part of the stack that it is of. The salt is no secret; it lies in the plan.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret::Secret;

/// How many rounds all fingerprints of a plan may take together: some tenths of a second. It is what OWASP asks for one
/// password. A build that is not optimised, as for tests, takes ten times as long for each.
const ROUNDS: u32 = if cfg!(debug_assertions) { 60_000 } else { 600_000 };
/// No fingerprint has fewer, however many services there are: as many as those of copied files.
const FEWEST: u32 = 10_000;
/// No plan that was read may ask for more: it would keep a processor busy for minutes.
const MOST: u32 = 2_000_000;
/// Bytes of a salt.
const SALT: usize = 32;

/// How the fingerprints of one plan are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    salt: String,
    rounds: u32,
}

impl Seal {
    /// A new one, for so many fingerprints, with a salt that nobody has drawn before.
    pub fn new(salt: [u8; SALT], fingerprints: usize) -> Self {
        let each = ROUNDS / u32::try_from(fingerprints.max(1)).unwrap_or(u32::MAX);
        Self { salt: hex::encode(salt), rounds: each.max(FEWEST) }
    }

    /// Whether it is one that [`Seal::new`] could have made.
    pub fn is_sound(&self) -> bool {
        let length = hex::decode(&self.salt).map(|salt| salt.len());
        length == Ok(SALT) && (FEWEST..=MOST).contains(&self.rounds)
    }

    /// Stands for a text and tells none of it. The place says what it is the text of: equal ones in two places have
    /// different fingerprints.
    pub fn fingerprint(&self, place: &str, text: &Secret) -> String {
        let salt = format!("{} {place}", self.salt);
        let text = text.expose().as_bytes();
        let digest: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(text, salt.as_bytes(), self.rounds);
        hex::encode(digest)
    }

    /// Says of bytes that these were written. Who can read it can make it: it tells what came to harm, not who did it.
    pub fn mark(&self, bytes: &[u8]) -> String {
        // HMAC takes keys of any length; were that to change, no plan would be believed.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.salt.as_bytes()) else { return String::new() };
        mac.update(bytes);
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_hangs_on_the_plan_the_place_and_the_text() {
        let (one, other) = (Seal::new([1; SALT], 60), Seal::new([2; SALT], 60));
        let canary = Secret::new("canary");
        let first = one.fingerprint("shop/service web", &canary);
        assert_eq!(first, one.fingerprint("shop/service web", &canary));
        assert_eq!(first.len(), 64);
        for another in [
            one.fingerprint("shop/service web", &Secret::new("canary2")),
            one.fingerprint("shop/service api", &canary),
            other.fingerprint("shop/service web", &canary),
        ] {
            assert_ne!(first, another);
        }
    }

    #[test]
    fn few_fingerprints_are_dearer_than_many_and_none_is_cheap() {
        let rounds = |count| Seal::new([0; SALT], count).rounds;
        assert_eq!((rounds(0), rounds(1), rounds(3)), (ROUNDS, ROUNDS, ROUNDS / 3));
        assert_eq!(rounds(1_000), FEWEST);
    }

    #[test]
    fn a_seal_that_nobody_made_is_not_sound() {
        let sound = Seal::new([0; SALT], 1);
        assert!(sound.is_sound());
        for (salt, rounds) in
            [("00", ROUNDS), ("zz", ROUNDS), (sound.salt.as_str(), 1), (&sound.salt, u32::MAX)]
        {
            assert!(!Seal { salt: salt.to_owned(), rounds }.is_sound(), "{salt} {rounds}");
        }
    }
}
