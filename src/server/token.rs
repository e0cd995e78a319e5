//! The token for whoever comes over the network.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::secret::Secret;

/// Sixteen characters at random are more than anybody guesses over a network.
const SHORTEST: usize = 16;

/// Nobody writes a longer one; what is longer is another file.
const LONGEST: u64 = 4096;

/// What a request must carry: `Authorization: Bearer TOKEN`.
#[derive(Clone, Debug)]
pub struct Token(Secret);

/// Why a file is none that a token is taken from.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("the token file {} cannot be read: {error}; make one with: (umask 077; openssl rand -hex 32 > {})", path.display(), path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error("the token file {} may be read by others (mode {mode:04o}): chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There is nothing in it, or too little.
    #[error("the token in {} has {length} characters, and {SHORTEST} is the least: openssl rand -hex 32 > {}", path.display(), path.display())]
    Short {
        /// The file.
        path: PathBuf,
        /// How many it has.
        length: usize,
    },
    /// It is no token.
    #[error("what is in {} is no token: one line of letters, digits and signs, with no blanks, up to {LONGEST} characters", path.display())]
    Odd {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// The one in a file, which must be its owner's alone.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let path = path.to_owned();
        let read = File::open(&path).and_then(|file| {
            let mode = file.metadata()?.mode() & 0o7777;
            let mut bytes = Vec::new();
            file.take(LONGEST + 1).read_to_end(&mut bytes)?;
            Ok((mode, bytes))
        });
        let (mode, bytes) = match read {
            Ok(read) => read,
            Err(error) => return Err(TokenError::Unreadable { path, error }),
        };
        if mode & 0o077 != 0 {
            return Err(TokenError::Open { path, mode });
        }
        let token = bytes.trim_ascii();
        // A header takes nothing else.
        if bytes.len() as u64 > LONGEST || !token.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Odd { path });
        }
        if token.len() < SHORTEST {
            return Err(TokenError::Short { path, length: token.len() });
        }
        Ok(Self(Secret::new(String::from_utf8_lossy(token))))
    }

    /// Whether the value of an `Authorization` header has it, in a time that does not tell how much of it is right.
    pub fn is_in(&self, header: &[u8]) -> bool {
        let Some((scheme, offered)) = header.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && bool::from(offered.trim_ascii().ct_eq(self.0.expose().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &[u8], mode: u32) -> Result<Token, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        Token::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn a_token_is_one_line_of_a_file_that_is_its_owners_alone() {
        let long = b"0123456789abcdef\n";
        let token = read(long, 0o600).unwrap();
        for (header, right) in [
            (&b"Bearer 0123456789abcdef"[..], true),
            (b"bearer 0123456789abcdef", true),
            (b"Bearer 0123456789abcdeF", false),
            (b"Bearer 0123456789abcde", false),
            (b"Bearer 0123456789abcdef0", false),
            (b"Basic 0123456789abcdef", false),
            (b"0123456789abcdef", false),
            (b"Bearer ", false),
            (b"", false),
        ] {
            assert_eq!(token.is_in(header), right, "{}", String::from_utf8_lossy(header));
        }
        assert!(read(long, 0o400).is_ok());
        assert_eq!(format!("{token:?}"), "Token((hidden))");
    }

    #[test]
    fn a_file_that_is_no_good_is_refused_with_the_way_out() {
        for (text, mode, said) in [
            (
                &b"0123456789abcdef"[..],
                0o644,
                "the token file FILE may be read by others (mode 0644): chmod 600 FILE",
            ),
            (b"0123456789abcdef", 0o640, "(mode 0640)"),
            (b"", 0o600, "has 0 characters, and 16 is the least: openssl rand"),
            (b" \n", 0o600, "has 0 characters"),
            (b"0123456789abcde\n", 0o600, "has 15 characters"),
            (b"0123456789abcdef\nmore", 0o600, "is no token"),
            (b"0123456789 abcdef", 0o600, "is no token"),
            ("0123456789abcdefä".as_bytes(), 0o600, "is no token"),
            (&[b'x'; 5000], 0o600, "is no token"),
        ] {
            let error = read(text, mode).unwrap_err();
            assert!(error.contains(said), "{error}");
            assert!(!error.contains("0123"), "what is in it is told to nobody: {error}");
        }
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/token cannot be read") && error.contains("umask 077"), "{error}");
    }
}
