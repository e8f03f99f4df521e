//! Where a registry sends to.

use reqwest::header::{HeaderValue, LOCATION};
use reqwest::{Method, Response, Url};

use super::error::RegistryError;
use super::place::{Ask, Place, shown_host};

impl Place {
    /// Where an answer sends to, if it does.
    pub fn next(
        &self,
        ask: &Ask,
        url: &Url,
        response: &Response,
    ) -> Result<Option<Url>, RegistryError> {
        let reads = matches!(ask.method, Method::GET | Method::HEAD);
        let follows = match response.status().as_u16() {
            301..=303 => reads,
            307 | 308 => true,
            _ => false,
        };
        let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else {
            return Ok(None);
        };
        let led = self.led(url, location, &ask.what)?;
        // The answer that sends elsewhere is then the last word.
        Ok(Some(led).filter(|led| !ask.is_secret || led.origin() == ask.url.origin()))
    }

    /// An address that an answer names, made safe: it has no login of its own, and TLS where there was
    /// TLS before.
    pub fn led(&self, from: &Url, to: &HeaderValue, what: &str) -> Result<Url, RegistryError> {
        let led = to.to_str().ok().and_then(|to| from.join(to).ok());
        let led = led.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut led) = led else {
            return Err(self.protocol(what, "it sends to what is no address"));
        };
        // It fails for addresses that cannot have one.
        let _ = led.set_username("").and_then(|()| led.set_password(None));
        led.set_fragment(None);
        if from.scheme() == "https" && led.scheme() == "http" {
            // Behind a proxy that ends TLS, many a registry does not know that it has it.
            let is_itself = led.host_str() == from.host_str()
                && (led.port() == from.port() || led.port().is_none());
            let port = from.port();
            if !is_itself
                || led
                    .set_scheme("https")
                    .and_then(|()| led.set_port(port))
                    .is_err()
            {
                return Err(RegistryError::Unencrypted {
                    host: self.host().to_owned(),
                    to: shown_host(&led),
                });
            }
        }
        Ok(led)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use builder::cancel::Cancel;

    use super::*;
    use crate::registry::endpoint::Endpoint;
    use crate::registry::place::Shared;
    use crate::registry::settings::Unset;

    fn led(from: &str, to: &str) -> Result<String, RegistryError> {
        let shared = Arc::new(Shared::new(Unset, Duration::from_secs(1)));
        let place = shared.place(Endpoint::new("h:5", "app"), &[], &Cancel::new(), false);
        let to = HeaderValue::from_str(to).unwrap();
        place
            .led(&Url::parse(from).unwrap(), &to, "blob")
            .map(String::from)
    }

    #[test]
    fn leads_where_it_is_sent_to() {
        for (from, to, expected) in [
            ("https://h:5/v2/a", "/b?c=d#e", "https://h:5/b?c=d"),
            ("https://h:5/v2/a", "b", "https://h:5/v2/b"),
            ("https://h:5/v2/a", "//o/b", "https://o/b"),
            ("https://h:5/v2/a", "https://u:p@o:9/b", "https://o:9/b"),
            ("http://h:5/v2/a", "http://o/b", "http://o/b"),
            ("http://h:5/v2/a", "https://o/b", "https://o/b"),
        ] {
            assert_eq!(led(from, to).unwrap(), expected, "{from} {to}");
        }
    }

    #[test]
    fn tls_is_kept_where_a_registry_does_not_know_that_it_has_it() {
        for (from, to, expected) in [
            ("https://h:5/v2/a", "http://h:5/b", "https://h:5/b"),
            ("https://h:5/v2/a", "http://h/b", "https://h:5/b"),
            ("https://h/v2/a", "http://h/b", "https://h/b"),
        ] {
            assert_eq!(led(from, to).unwrap(), expected, "{from} {to}");
        }
    }

    #[test]
    fn nothing_leads_out_of_tls() {
        for to in [
            "http://o/b",
            "http://h:6/b",
            "http://hh:5/b",
            "HTTP://o:443/b",
        ] {
            let error = led("https://h:5/v2/a", to).unwrap_err();
            assert!(
                matches!(error, RegistryError::Unencrypted { .. }),
                "{to}: {error}"
            );
        }
    }

    #[test]
    fn what_is_no_address_leads_nowhere() {
        for to in ["ftp://o/b", "file:///b", "data:x", "http://", "https://[/"] {
            let error = led("https://h:5/v2/a", to).unwrap_err();
            assert!(
                matches!(error, RegistryError::Protocol { .. }),
                "{to}: {error}"
            );
        }
    }
}
