//! The states of a title and which may follow which.

use serde::{Deserialize, Serialize};

/// Where a title stands on its way from upload to viewers. It only ever moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TitleState {
    /// Bytes are still arriving.
    Receiving,
    /// The source is whole and durable; a worker looks at what is in it.
    Surveying,
    /// A plan exists, so the title is playable; segments are being made.
    Processing,
    /// Every planned segment is in the ledger.
    Ready,
    /// It will not become playable; `problem` says why.
    Failed,
}

impl TitleState {
    /// The stable name, as the API and the catalogue spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Surveying => "surveying",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// Reads the stable name back.
    ///
    /// # Errors
    /// [`InvalidState`] when the word is not one of the five names.
    pub fn parse(word: &str) -> Result<Self, InvalidState> {
        [Self::Receiving, Self::Surveying, Self::Processing, Self::Ready, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| InvalidState(word.to_owned()))
    }

    /// Whether a title in this state may move to `next`.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Receiving => matches!(next, Self::Surveying | Self::Failed),
            Self::Surveying => matches!(next, Self::Processing | Self::Failed),
            Self::Processing => matches!(next, Self::Ready | Self::Failed),
            Self::Ready | Self::Failed => false,
        }
    }

    /// Whether nothing more will happen to the title by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ready | Self::Failed)
    }
}

/// A word that names no title state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no title state: use receiving, surveying, processing, ready or failed")]
pub struct InvalidState(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [TitleState; 5] =
        [TitleState::Receiving, TitleState::Surveying, TitleState::Processing, TitleState::Ready, TitleState::Failed];

    #[test]
    fn names_are_read_back() {
        for state in ALL {
            assert_eq!(TitleState::parse(state.as_str()), Ok(state));
        }
        assert!(TitleState::parse("Ready").is_err());
    }

    #[test]
    fn states_only_move_forward() {
        for from in ALL {
            for to in ALL {
                if from.may_become(to) {
                    assert!(from < to, "{from:?} must not become {to:?}");
                }
            }
        }
        assert!(!TitleState::Ready.may_become(TitleState::Failed));
    }
}
