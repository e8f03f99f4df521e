//! What a token is to be good for.
//!
//! Source: the distribution project's "Token Scope Documentation".

use std::collections::{BTreeMap, BTreeSet};

/// Rights to resources, as in `repository:library/debian:pull`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// These rights to a repository.
    pub fn repository(name: &str, actions: &[&str]) -> Self {
        let mut scopes = Self::default();
        scopes.add(&format!("repository:{name}:{}", actions.join(",")));
        scopes
    }

    /// These and the others.
    pub fn with(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            let known = self.0.entry(resource.clone()).or_default();
            known.extend(actions.iter().cloned());
        }
        self
    }

    /// Adds what a registry says that it wants.
    pub fn add(&mut self, text: &str) {
        for scope in text.split_ascii_whitespace() {
            // A name may have a port in it.
            if let Some((resource, actions)) = scope.rsplit_once(':') {
                let known = self.0.entry(resource.to_owned()).or_default();
                known.extend(actions.split(',').map(str::to_owned));
            }
        }
    }

    /// Each resource with its rights.
    pub fn each(&self) -> impl Iterator<Item = String> {
        let all = self.0.iter();
        all.map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }

    /// All of them, in one text.
    pub fn joined(&self) -> String {
        self.each().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_to_one_repository_are_joined() {
        let mut scopes = Scopes::repository("b", &["push", "pull"]);
        scopes.add("repository:a:pull repository:b:delete nonsense registry:catalog:*");
        let scopes = scopes.with(&Scopes::repository("h:1/a", &["pull"]));
        assert_eq!(
            scopes.joined(),
            "registry:catalog:* repository:a:pull repository:b:delete,pull,push repository:h:1/a:pull"
        );
    }
}
