//! The value of `--chown`; and what is wrong with it, or with that of `--chmod`.

/// Whom copied files are to belong to. Names are looked up in the image that is copied into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Account,
    /// The group; where none is given it has the user's number (a named user's own group).
    pub group: Option<Account>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// By number.
    Id(u32),
    /// By name, to be found in `/etc/passwd` or `/etc/group`.
    Name(String),
}

/// A value of `--chown` or `--chmod` was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// Not `user`, `user:group` or `:group`.
    #[error("`{value}` is not an owner: USER or USER:GROUP is needed")]
    BadOwner {
        /// The value.
        value: String,
    },
    /// A number no account can have.
    #[error("`{value}` is not a user or group number")]
    BadId {
        /// The value.
        value: String,
    },
    /// Neither octal up to 07777 nor changes such as `u+x`.
    #[error(
        "`{value}` is not a mode: an octal number up to 7777 is needed, or changes such as u=rwX,go-w"
    )]
    BadMode {
        /// The value.
        value: String,
    },
}

impl Owner {
    /// Reads `user[:group]` after expansion.
    pub fn parse(value: &str) -> Result<Owner, OwnershipError> {
        let bad = || OwnershipError::BadOwner {
            value: value.to_owned(),
        };
        let (user, group) = match value.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (value, None),
        };
        if user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':')) {
            return Err(bad());
        }
        Ok(Owner {
            user: account(user)?,
            group: group.map(account).transpose()?,
        })
    }
}

fn account(word: &str) -> Result<Account, OwnershipError> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Account::Name(word.to_owned()));
    }
    match word.parse::<u32>() {
        // the largest number means "leave it" to chown(2)
        Ok(id) if id != u32::MAX => Ok(Account::Id(id)),
        _ => Err(OwnershipError::BadId {
            value: word.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let owner = Owner::parse("app:1000").unwrap();
        assert_eq!(owner.user, Account::Name("app".into()));
        assert_eq!(owner.group, Some(Account::Id(1000)));
        assert_eq!(Owner::parse("0").unwrap().group, None);
        for bad in ["", ":", "a:", ":b", "a:b:c", "4294967295", "99999999999"] {
            assert!(Owner::parse(bad).is_err(), "{bad}");
        }
    }
}
