//! The values of `--chown` and `--chmod`.

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
    /// `u+x` and the like.
    #[error("the symbolic mode `{value}` is not supported yet: give it in octal, such as 755")]
    SymbolicMode {
        /// The value.
        value: String,
    },
    /// Not octal, or above 07777.
    #[error("`{value}` is not a mode: an octal number up to 7777 is needed")]
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

/// Reads `--chmod` after expansion: the permission bits, set-uid, set-gid and sticky included.
pub fn mode(value: &str) -> Result<u32, OwnershipError> {
    let octal = !value.is_empty() && value.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if octal {
        if let Ok(mode @ 0..=0o7777) = u32::from_str_radix(value, 8) {
            return Ok(mode);
        }
    } else if value.starts_with(|first: char| "ugoa+-=".contains(first)) {
        return Err(OwnershipError::SymbolicMode {
            value: value.to_owned(),
        });
    }
    Err(OwnershipError::BadMode {
        value: value.to_owned(),
    })
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

    #[test]
    fn modes() {
        assert_eq!(mode("755"), Ok(0o755));
        assert_eq!(mode("00004755"), Ok(0o4755));
        assert!(matches!(
            mode("u+x"),
            Err(OwnershipError::SymbolicMode { .. })
        ));
        for bad in ["", "8", "10000", "0x1ff", " 7", "7777777777777777777"] {
            assert!(
                matches!(mode(bad), Err(OwnershipError::BadMode { .. })),
                "{bad}"
            );
        }
    }
}
