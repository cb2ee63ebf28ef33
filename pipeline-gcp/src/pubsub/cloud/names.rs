//! Names of topics and subscriptions, in full.

use crate::pubsub::error::PubSubErrorKind;

/// The two kinds of names.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Topic,
    Subscription,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Topic => "topic",
            Kind::Subscription => "subscription",
        }
    }
}

/// Returns the name in full: `projects/P/topics/T` as it is, `T` in the project.
///
/// The rules are those of "Resource names" in Pub/Sub's documentation: 3 to 255 characters, a letter first, then
/// letters, digits and `-._~+%`; not beginning with `goog`.
pub(super) fn full(kind: Kind, project: &str, name: &str) -> Result<String, PubSubErrorKind> {
    let what = kind.word();
    let refuse = |reason| PubSubErrorKind::InvalidName {
        what,
        name: name.to_owned(),
        reason,
    };
    let parts: Vec<&str> = name.split('/').collect();
    let (project, id) = match parts[..] {
        [id] => (project, id),
        ["projects", project, kind, id] if kind.strip_suffix('s') == Some(what) => (project, id),
        _ => return Err(refuse("it has other parts")),
    };
    if project.is_empty() {
        return Err(refuse("it has no project"));
    }
    if !(3..=255).contains(&id.len()) {
        return Err(refuse("it has not 3 to 255 characters"));
    }
    if !id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(refuse("it does not begin with a letter"));
    }
    if id.starts_with("goog") {
        return Err(refuse("it begins with \"goog\", which is reserved"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+%".contains(c);
    if !id.chars().all(allowed) {
        return Err(refuse(
            "it has other characters than letters, digits and -._~+%",
        ));
    }
    Ok(format!("projects/{project}/{what}s/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_in_full_or_short() {
        let full = |kind, name| full(kind, "p", name).map_err(|error| error.to_string());
        for (kind, name, expected) in [
            (Kind::Topic, "chat", "projects/p/topics/chat"),
            (
                Kind::Topic,
                "projects/q/topics/chat",
                "projects/q/topics/chat",
            ),
            (
                Kind::Subscription,
                "a.b~c%d",
                "projects/p/subscriptions/a.b~c%d",
            ),
        ] {
            assert_eq!(full(kind, name).as_deref(), Ok(expected));
        }
        for (kind, name) in [
            (Kind::Topic, "ab"),
            (Kind::Topic, "1abc"),
            (Kind::Topic, "googol"),
            (Kind::Topic, "a b c"),
            (Kind::Topic, "projects/q/subscriptions/chat"),
            (Kind::Topic, "projects//topics/chat"),
            (Kind::Subscription, "topics/chat"),
            (Kind::Subscription, ""),
        ] {
            let error = full(kind, name).expect_err(name);
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }
}
