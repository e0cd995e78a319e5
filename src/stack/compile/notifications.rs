//! Who is told: exactly one channel a receiver, each complete.

use std::path::{Path, PathBuf};

use crate::compose::clean;
use crate::core::notice::{self, Address, Channel, Mail, Notifications, Receiver, Security};
use crate::stack::faults::{Findings, Places};
use crate::stack::manifest::{Email, MailTls, Spec};

/// What is said about telling people. Paths are relative to `directory`, the manifest's.
pub(in crate::stack) fn notifications(
    places: Places<'_>,
    spec: &Spec,
    directory: &Path,
    findings: &mut Findings,
) -> Notifications {
    let mut receivers = Vec::new();
    for (index, said) in spec.notifications.iter().enumerate() {
        let index = index.to_string();
        let mut fault = |field: &[&str], message: String, help: &str| {
            let path = [&["notifications", index.as_str()], field].concat();
            findings.faults.push(places.in_spec(&path, message).help(help));
        };
        let path = |file: &str| clean(&directory.join(file));
        let channel = match (&said.webhook, &said.slack, &said.email) {
            (Some(webhook), None, None) => address(webhook.url.as_ref(), webhook.url_file.as_ref(), &path)
                .map(|url| Channel::Webhook { url, secret_file: webhook.secret_file.as_deref().map(path) })
                .map_err(|(field, message)| fault(&["webhook", field], message, ADDRESS)),
            (None, Some(slack), None) => address(slack.url.as_ref(), slack.url_file.as_ref(), &path)
                .map(|url| Channel::Slack { url })
                .map_err(|(field, message)| fault(&["slack", field], message, ADDRESS)),
            (None, None, Some(email)) => mail(email, &path)
                .map(|mail| Channel::Email(Box::new(mail)))
                .map_err(|(field, message, help)| fault(&["email", field], message, help)),
            _ => {
                let message = "a notification goes to exactly one of `webhook`, `slack` and `email`";
                fault(&[], message.to_owned(), "write one list item for each of them");
                Err(())
            }
        };
        let on = match &said.on {
            Some(on) => on.iter().map(|on| (*on).into()).collect(),
            None => notice::by_default(),
        };
        receivers.extend(channel.ok().map(|channel| Receiver { channel, on }));
    }
    Notifications { receivers, contact: spec.contact.clone(), runbook: spec.runbook.clone() }
}

const AN_ADDRESS: &str = "write ops@example.com or Ops <ops@example.com>";

const ADDRESS: &str = "give `url: https://…`, or `urlFile` with a file that holds it";

fn address(
    url: Option<&String>,
    file: Option<&String>,
    path: &dyn Fn(&str) -> PathBuf,
) -> Result<Address, (&'static str, String)> {
    match (url, file) {
        (Some(url), None) if is_page(url) => Ok(Address::Given(url.clone())),
        (Some(_), None) => Err(("url", "it is no address of a page".to_owned())),
        (None, Some(file)) => Ok(Address::File(path(file))),
        (Some(_), Some(_)) => Err(("urlFile", "it has two addresses".to_owned())),
        (None, None) => Err(("url", "it has no address".to_owned())),
    }
}

fn is_page(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

fn mail(email: &Email, path: &dyn Fn(&str) -> PathBuf) -> Result<Mail, (&'static str, String, &'static str)> {
    let is_address = |text: &str| {
        let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
        address.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !address.contains(char::is_whitespace)
        })
    };
    if let Some(wrong) = email.to.iter().find(|to| !is_address(to)) {
        return Err(("to", format!("`{wrong}` is no mail address"), AN_ADDRESS));
    }
    if email.to.is_empty() {
        return Err(("to", "it goes to nobody".to_owned(), AN_ADDRESS));
    }
    if !is_address(&email.from) {
        return Err(("from", format!("`{}` is no mail address", email.from), AN_ADDRESS));
    }
    if email.server.is_empty() || email.server.contains(|c: char| c.is_whitespace() || c == '/') {
        let message = format!("`{}` is no name of a server", email.server);
        return Err(("server", message, "write mail.example.com; the port has a field of its own"));
    }
    let login = match (&email.user, &email.password_file) {
        (Some(user), Some(file)) => Some((user.clone(), path(file))),
        (None, None) => None,
        (Some(_), None) => return Err(("user", "its password is missing".to_owned(), "set `passwordFile`")),
        (None, Some(_)) => return Err(("passwordFile", "its user is missing".to_owned(), "set `user`")),
    };
    let (security, usual) = match email.tls {
        Some(MailTls::Implicit) => (Security::Tls, 465),
        Some(MailTls::Starttls) | None => (Security::Starttls, 587),
        Some(MailTls::None) => (Security::None, 25),
    };
    Ok(Mail {
        server: email.server.clone(),
        port: email.port.map_or(usual, std::num::NonZeroU16::get),
        security,
        login,
        from: email.from.clone(),
        to: email.to.clone(),
    })
}
