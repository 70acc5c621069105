//! Keys: what objects are called, and where under the root they lie.

use std::fmt;
use std::path::{Component, Path};

use crate::title::{ContentHash, TitleId};

/// The directory under the root in which every title has one of its own.
pub(super) const TITLES: &str = "titles";
const SOURCE: &str = "source";
const OBJECTS: &str = "objects";

/// Names an object. A key can only name what belongs to a title, so a path built from one stays in its title's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The source of a title, as it was uploaded.
    Source(TitleId),
    /// An init or media segment of a title, by the hash of its bytes.
    Object(TitleId, ContentHash),
}

impl Key {
    /// The title that the object belongs to.
    pub fn title(&self) -> TitleId {
        match self {
            Self::Source(id) | Self::Object(id, _) => *id,
        }
    }

    /// The key of the file at `path` relative to the root; absent when no key leads there.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        let parts: Vec<&str> = path.components().map(text).collect::<Option<_>>()?;
        let key = match parts.as_slice() {
            [TITLES, id, SOURCE] => Self::Source(TitleId::parse(id).ok()?),
            [TITLES, id, OBJECTS, _, hash] => Self::Object(TitleId::parse(id).ok()?, ContentHash::parse(hash).ok()?),
            _ => return None,
        };
        // The directory above an object must be the one its hash leads to.
        (Path::new(&key.to_string()) == path).then_some(key)
    }
}

/// The path under the root.
impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(id) => write!(out, "{TITLES}/{id}/{SOURCE}"),
            Self::Object(id, hash) => write!(out, "{TITLES}/{id}/{OBJECTS}/{:02x}/{hash}", hash.0[0]),
        }
    }
}

fn text(part: Component<'_>) -> Option<&str> {
    match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_back() {
        let id = TitleId::new(1, 2);
        for key in [Key::Source(id), Key::Object(id, ContentHash::of(b"abc"))] {
            assert_eq!(Key::of_path(Path::new(&key.to_string())), Some(key));
        }
        let object = Key::Object(id, ContentHash::of(b"abc")).to_string();
        assert!(object.contains("/objects/ba/ba7816bf"), "{object}");
        for stranger in [
            object.replace("/ba/", "/bb/"),
            object.replace("/ba/", "/../"),
            format!("/{object}"),
            format!("{object}#1"),
            object.to_uppercase(),
            format!("titles/{id}"),
            "titles/x/source".to_owned(),
        ] {
            assert_eq!(Key::of_path(Path::new(&stranger)), None, "{stranger}");
        }
    }
}
