//! E-mail over a server that takes it.

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::ATTEMPT;
use super::letter::Letter;
use super::page::secret_in;
use crate::core::notice::{Mail, Security};

pub(super) async fn send(mail: &Mail, letter: &Letter) -> Result<(), String> {
    let mailbox =
        |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}` is no mail address: {error}"));
    let mut message = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(letter.subject())
        .header(ContentType::TEXT_PLAIN)
        // Nobody's holiday notice is wanted.
        .header(Automatic);
    for to in &mail.to {
        message = message.to(mailbox(to)?);
    }
    let message = message.body(letter.text()).map_err(|error| format!("it cannot be written: {error}"))?;
    let tls = || TlsParameters::new(mail.server.clone()).map_err(|error| error.to_string());
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.server)
        .port(mail.port)
        .timeout(Some(ATTEMPT))
        .tls(match mail.security {
            Security::Starttls => Tls::Required(tls()?),
            Security::Tls => Tls::Wrapper(tls()?),
            Security::None => Tls::None,
        });
    if let Some((user, file)) = &mail.login {
        transport =
            transport.credentials(Credentials::new(user.clone(), secret_in(file)?.expose().to_owned()));
    }
    transport.build().send(message).await.map(drop).map_err(|error| error.to_string())
}

/// `Auto-Submitted: auto-generated` (RFC 3834).
#[derive(Clone)]
struct Automatic;

impl lettre::message::header::Header for Automatic {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
