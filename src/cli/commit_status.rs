//! What the daemon hears, passed on to those who tell code hosts what becomes of commits.

use std::rc::Rc;

use super::standing::now;
use crate::compose::errors::Diagnostic;
use crate::controller::report::Report;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::status::StackStatus;
use crate::core::verdict::Heard;
use crate::notify::commit_status::CommitStatuses;
use crate::store::sources::Sources;

/// Hears of one stack.
pub(super) fn of(stack: &StackName, statuses: Rc<CommitStatuses>) -> impl Report + use<> {
    Hears { stack: stack.clone(), statuses }
}

struct Hears {
    stack: StackName,
    statuses: Rc<CommitStatuses>,
}

impl Report for Hears {
    fn follows(&self, desired: &Desired) {
        self.statuses.heard(Heard::Follows(&self.stack, desired.commit.as_ref(), now()));
    }

    fn decided(&self, status: &StackStatus) {
        self.statuses.heard(Heard::Stands(status, now()));
    }
}

/// The sources were read: which commits are refused, and which are in force.
pub(super) fn read(statuses: &CommitStatuses, sources: &Sources, faults: &[Diagnostic]) {
    for name in statuses.sources() {
        let Some(standing) = sources.read(name) else { continue };
        match (&standing.refused, &standing.attempted, &standing.in_force) {
            (Some(refused), Some(attempted), _) => {
                // The fault alone: whose commit it is stands beside it there.
                let mut headlines = faults.iter().map(Diagnostic::headline);
                let why = headlines.find(|headline| refused.message.ends_with(headline.as_str()));
                let why = why.unwrap_or_else(|| refused.message.clone());
                statuses.heard(Heard::Refused(&attempted.commit, &why));
            }
            (None, _, Some(in_force)) => statuses.heard(Heard::InForce(&in_force.commit)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;
    use crate::core::code_host::{CodeHost, Provider};
    use crate::core::commit::Commit;
    use crate::store::process::Process;
    use crate::store::sources::{Attempt, SourceStanding, Trouble};

    fn standing(refused: Option<String>, in_force: &str) -> SourceStanding {
        let attempt = |hash: &str| {
            let (author, subject) = ("Ann".into(), "a change".into());
            let (hash, source, committed_at) = (hash.into(), "shop".into(), now());
            Some(Attempt { commit: Commit { hash, author, subject, committed_at, source }, at: now() })
        };
        SourceStanding {
            process: Process::own(),
            name: "shop".into(),
            address: String::new(),
            path: String::new(),
            asked_at: None,
            attempted: attempt("22"),
            in_force: attempt(in_force),
            refused: refused.map(|message| Trouble { message, since: now() }),
            held: None,
            unreachable: None,
            suspended: false,
            heeded: None,
            signer: None,
        }
    }

    /// What is posted at the end.
    async fn posted(statuses: &CommitStatuses, listener: &TcpListener) -> String {
        let mut told = Vec::new();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            while !told.ends_with(b"}") {
                stream.read_buf(&mut told).await.unwrap();
            }
            let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = statuses.settle() => {}
            () = serve => {}
        }
        String::from_utf8(told).unwrap()
    }

    #[tokio::test]
    async fn a_commit_that_is_refused_is_told_of_with_its_own_fault_and_so_is_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        std::fs::write(&token_file, "canary").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = CodeHost {
            provider: Provider::Gitea,
            api: format!("http://{}", listener.local_addr().unwrap()),
            repository: "ops/shop".into(),
            token_file,
            context: "operator".into(),
        };
        let sources = Sources::new(directory.path());
        let hosts = BTreeMap::from([("shop".to_owned(), host)]);
        let statuses = CommitStatuses::new(Rc::new(SystemClock::default()), hosts, sources.clone());

        // What is in force has a fault, too, and stands before that of the commit.
        let fault =
            |message: &str| Diagnostic::in_file(Path::new("22:a.yaml"), message.to_owned()).of_source("shop");
        let faults = [fault("the env file is gone"), fault("no image")];
        let refused = format!("the commit 22 (Ann: a change) is refused: {}", faults[1].headline());
        sources.write(&standing(Some(refused), "11")).unwrap();
        read(&statuses, &sources, &faults);
        let told = posted(&statuses, &listener).await;
        assert!(told.starts_with("POST /api/v1/repos/ops/shop/statuses/22 "), "{told}");
        assert!(
            told.contains(r#""state":"failure","context":"operator","description":"refused: "#),
            "{told}"
        );
        assert!(told.contains("no image") && !told.contains("Ann"), "{told}");

        sources.write(&standing(None, "22")).unwrap();
        read(&statuses, &sources, &[]);
        let told = posted(&statuses, &listener).await;
        assert!(
            told.contains(r#""state":"success","context":"operator","description":"in force""#),
            "{told}"
        );
    }
}
