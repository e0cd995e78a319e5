//! How git speaks to a host over ssh, and what a person can do about what ssh says.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::command::Credentials;

/// Said to every ssh: it never asks anybody, and believes no host that it does not know. A line on which nothing comes back
/// for half a minute is dead.
const ALWAYS: &str = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=10 -oServerAliveInterval=10 \
                      -oServerAliveCountMax=3 -oClearAllForwardings=yes";

/// The command line that git hands to a shell.
pub(super) fn command_line(credentials: &Credentials) -> OsString {
    let mut line = OsString::from(ALWAYS);
    if let Some(key) = &credentials.ssh_key {
        line.push(" -oIdentitiesOnly=yes -oIdentityFile=");
        line.push(quoted(key));
    }
    if let Some(hosts) = &credentials.known_hosts {
        line.push(" -oGlobalKnownHostsFile=/dev/null -oUserKnownHostsFile=");
        line.push(quoted(hosts));
    }
    line
}

/// One path to the shell, and to ssh, which would take blanks for the end of it and `%h` for the host.
fn quoted(path: &Path) -> OsString {
    let path = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    OsString::from(format!("'\"{}\"'", path.replace('\'', "'\\''")))
}

/// Lines of ssh and git that say nothing of the cause: a banner, and what stands below every failure.
pub(super) fn is_noise(line: &str) -> bool {
    line.starts_with('@')
        || line.starts_with("IT IS POSSIBLE THAT SOMEONE")
        || line.starts_with("Someone could be eavesdropping")
        || line.starts_with("It is also possible that a host key")
        || line.starts_with("Please contact your system administrator")
        || line.starts_with("Add correct host key in")
        || line.starts_with("It is required that your private key files")
        || line == "This private key will be ignored."
        || line == "remove with:"
        || line.starts_with("ssh-keygen ")
        || line == "Please make sure you have the correct access rights"
        || line == "and the repository exists."
}

/// What a person can do about it, where ssh is what failed.
pub(super) fn way_out(said: &str, credentials: &Credentials) -> Option<String> {
    let known = credentials.known_hosts.as_deref().map_or_else(
        || "the known_hosts of this user or of the system".to_owned(),
        |file| file.display().to_string(),
    );
    if said.contains("has changed and you have requested strict checking") {
        return Some(format!(
            "another key than the one in {known} answers: if the host has a new one, put that there; if nobody knows of a new \
             one, it is not the host"
        ));
    }
    if said.contains("Host key verification failed") {
        return Some(format!(
            "its key is not in {known}: `ssh-keyscan` prints it; compare it with what the host's people say, and put it there"
        ));
    }
    if !said.contains("Permission denied (") {
        return None;
    }
    let Some(key) = &credentials.ssh_key else {
        return Some(
            "give it a key in `ssh.keyFile` of a `kind: Source`, or one of this user's own".to_owned(),
        );
    };
    let (shown, text) = (key.display(), fs::read_to_string(key));
    Some(match text {
        Err(error) => format!("the key {shown} cannot be read: {error}"),
        Ok(text) if has_passphrase(&text) => format!(
            "the key {shown} has a passphrase, which nobody is here to say: take it off (`ssh-keygen -p`), or use a key without"
        ),
        Ok(_) if said.contains("bad permissions") => {
            format!("others can read the key {shown}, so ssh does not use it: `chmod 600 {shown}`")
        }
        Ok(_) if said.contains("Load key ") => {
            format!("the key {shown} is none that ssh can read: it takes the private one, whole")
        }
        Ok(_) => format!(
            "the host does not take the key {shown}: register its public key there, for this repository"
        ),
    })
}

/// Whether a private key is encrypted, in the formats that ssh reads.
fn has_passphrase(key: &str) -> bool {
    let body: String =
        key.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----")).collect();
    if !key.contains("BEGIN OPENSSH PRIVATE KEY") {
        return key.contains("BEGIN ENCRYPTED PRIVATE KEY") || key.contains("Proc-Type: 4,ENCRYPTED");
    }
    // A magic word, and then, with its length before it, the name of the cipher.
    let bytes = BASE64_STANDARD.decode(body).unwrap_or_default();
    let cipher = bytes.strip_prefix(b"openssh-key-v1\0");
    cipher.is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_the_shell_and_to_ssh() {
        for (path, line) in [
            ("/keys/shop", r#"'"/keys/shop"'"#),
            ("/a b/50%h", r#"'"/a b/50%%h"'"#),
            ("/it's", r#"'"/it'\''s"'"#),
            (r#"/a"b\c"#, r#"'"/a\"b\\c"'"#),
        ] {
            assert_eq!(quoted(Path::new(path)), line, "{path}");
        }
    }

    #[test]
    fn nothing_is_added_to_what_is_not_the_matter_of_ssh() {
        let credentials = Credentials::default();
        for said in ["fatal: repository not found", "ssh: connect to host h port 22: Connection refused"] {
            assert_eq!(way_out(said, &credentials), None, "{said}");
        }
        let told = way_out("git@h: Permission denied (publickey).", &credentials).unwrap();
        assert!(told.contains("ssh.keyFile"), "{told}");
    }

    #[test]
    fn a_key_in_an_older_format_tells_of_its_passphrase_too() {
        let pem = |head: &str| {
            format!("-----BEGIN RSA PRIVATE KEY-----\n{head}MIIB\n-----END RSA PRIVATE KEY-----\n")
        };
        assert!(has_passphrase(&pem("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n")));
        assert!(!has_passphrase(&pem("")));
        assert!(has_passphrase("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n"));
    }
}
