// SPDX-License-Identifier: GPL-2.0

//! What a failed check says: file, line, and the values or a message.

use std::panic::Location;

use anyhow::Result;

use crate::skip::Skip;

/// Expects a condition to hold. What follows it is formatted if it does not; without that the two
/// values of a comparison are named. A check in a function with `#[track_caller]` has the line of the
/// call. Makes no system call if the condition holds.
macro_rules! check {
    ($($condition:tt)*) => {
        $crate::check::located(|| {
            anyhow::ensure!($($condition)*);
            Ok(())
        })?
    };
}

/// Fails with file, line and that message.
macro_rules! fail {
    ($($message:tt)*) => {
        return $crate::check::located(|| Err(anyhow::anyhow!($($message)*)))
    };
}

pub(crate) use {check, fail};

/// Adds the line of the caller to an error.
#[track_caller]
pub(crate) fn located<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let at = Location::caller();
    body().map_err(|error| match error.is::<Skip>() {
        true => error,
        false => error.context(format!("{}:{}", file(at.file()), at.line())),
    })
}

/// The path inside of this crate.
fn file(path: &str) -> &str {
    path.rsplit_once("src/").map_or(path, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn even(number: u32) -> Result<()> {
        check!(number % 2 == 0, "{number} is odd");
        Ok(())
    }

    #[test]
    fn a_failed_check_names_line_and_values() {
        let line = line!() + 2;
        let compare = |left| -> Result<()> {
            check!(left == 2);
            Ok(())
        };
        compare(2).unwrap();
        let error = compare(3).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            format!("check.rs:{line}: Condition failed: `left == 2` (3 vs 2)")
        );
    }

    #[test]
    fn the_line_is_that_of_the_caller_where_it_is_tracked() {
        even(2).unwrap();
        let (line, result) = (line!(), even(3));
        let error = result.unwrap_err();
        assert_eq!(format!("{error:#}"), format!("check.rs:{line}: 3 is odd"));
    }

    #[test]
    fn a_skip_stays_what_it_is() {
        let skip = || -> Result<()> { Err(Skip("needs more".into()).into()) };
        let error = located(skip).unwrap_err();
        assert_eq!(format!("{error:#}"), "needs more");
    }
}
