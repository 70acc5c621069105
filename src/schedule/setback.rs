//! What an error means for the work that met it: whether it counts against the title, passes by itself, or ends the matter.

use crate::catalogue;
use crate::store;
use crate::worker::Failure;

use super::{keep, pass, prepare};

/// What to do about work that came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The title was deleted meanwhile: forget it.
    Gone,
    /// The machine's trouble, not the title's: try again as long as it takes.
    Passing,
    /// It may be the title's fault: try again so often, then give up.
    Counted,
}

impl From<&store::Error> for Setback {
    fn from(error: &store::Error) -> Self {
        match error {
            store::Error::Full(_) | store::Error::Unavailable(_) => Self::Passing,
            store::Error::NotFound => Self::Counted,
        }
    }
}

impl From<&catalogue::Error> for Setback {
    fn from(error: &catalogue::Error) -> Self {
        match error {
            catalogue::Error::NotFound(_) => Self::Gone,
            catalogue::Error::Unavailable(_) => Self::Passing,
            catalogue::Error::Conflict(_) | catalogue::Error::Corrupt(_) => Self::Counted,
        }
    }
}

impl From<&prepare::Error> for Setback {
    fn from(error: &prepare::Error) -> Self {
        match error {
            prepare::Error::Worker(Failure::DidNotStart(_)) => Self::Passing,
            prepare::Error::Worker(_) | prepare::Error::Packaging(_) => Self::Counted,
            prepare::Error::Store(error) => error.into(),
            prepare::Error::Catalogue(error) => error.into(),
        }
    }
}

impl From<&pass::Error> for Setback {
    fn from(error: &pass::Error) -> Self {
        match error {
            pass::Error::Worker(Failure::DidNotStart(_)) => Self::Passing,
            pass::Error::Worker(_) | pass::Error::BrokenPromise(_) => Self::Counted,
            pass::Error::Store(error) => error.into(),
            pass::Error::Catalogue(error) => error.into(),
        }
    }
}

impl From<&keep::Error> for Setback {
    fn from(error: &keep::Error) -> Self {
        match error {
            keep::Error::BrokenPromise { .. } => Self::Counted,
            keep::Error::Store(error) => error.into(),
            keep::Error::Catalogue(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_trouble_does_not_count_against_a_title() {
        let full = || store::Error::Full("no space".into());
        for error in [
            prepare::Error::Worker(Failure::DidNotStart(std::io::ErrorKind::OutOfMemory.into())),
            prepare::Error::Store(full()),
            prepare::Error::Catalogue(catalogue::Error::Unavailable(sqlx::Error::PoolTimedOut)),
        ] {
            assert_eq!(Setback::from(&error), Setback::Passing, "{error}");
        }
        assert_eq!(Setback::from(&keep::Error::Store(full())), Setback::Passing);
        assert_eq!(Setback::from(&pass::Error::Store(full())), Setback::Passing);
        assert_eq!(Setback::from(&pass::Error::Worker(Failure::TimedOut)), Setback::Counted);
        let crashed = prepare::Error::Worker(Failure::Crashed { signal: 11 });
        assert_eq!(Setback::from(&crashed), Setback::Counted);
        assert_eq!(Setback::from(&prepare::Error::Catalogue(catalogue::Error::NotFound("title"))), Setback::Gone);
    }

    #[test]
    fn the_source_of_what_may_be_our_fault_is_kept() {
        for failure in [Failure::OutOfMemory, Failure::TimedOut, Failure::Crashed { signal: 11 }] {
            let problem = prepare::Error::Worker(failure).problem();
            assert!(problem.code.may_be_ours(), "{problem:?}");
        }
    }
}
