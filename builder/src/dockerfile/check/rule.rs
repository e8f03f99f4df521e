//! What a rule is.

/// Something that a Dockerfile may say and probably should not.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in docker; what `# check=skip=` takes.
    pub name: &'static str,
    /// What it finds, in one line.
    pub description: &'static str,
    /// What to do about it.
    pub help: &'static str,
    /// Its page in docker's documentation; none for rules of mkimg's own, and where docker has none.
    page: Option<&'static str>,
    /// Whether it is off where `# check=experimental=` does not name it.
    pub experimental: bool,
}

impl Rule {
    /// A rule of docker's with a page of its own.
    pub(super) const fn docker(
        name: &'static str,
        page: &'static str,
        description: &'static str,
        help: &'static str,
    ) -> Self {
        Rule {
            page: Some(page),
            ..Self::own(name, description, help)
        }
    }

    /// A rule without a page.
    pub(super) const fn own(
        name: &'static str,
        description: &'static str,
        help: &'static str,
    ) -> Self {
        Rule {
            name,
            description,
            help,
            page: None,
            experimental: false,
        }
    }

    /// The same rule, off by default.
    pub(super) const fn experimental(self) -> Self {
        Rule {
            experimental: true,
            ..self
        }
    }

    /// Where docker describes it.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let page = self.page?;
        Some(format!(
            "https://docs.docker.com/go/dockerfile/rule/{page}/"
        ))
    }
}
