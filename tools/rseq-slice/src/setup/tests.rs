// SPDX-License-Identifier: MIT OR Apache-2.0

//! Set-up against kernels and C libraries of all kinds.

extern crate std;

use core::cell::RefCell;
use std::vec::Vec;

use super::*;
use crate::policy::Exit;

/// Which kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    NoRseq,
    Before7,
    NotBuiltIn,
    OffAtBoot,
    On,
}

const KERNELS: [Is; 5] = [
    Is::NoRseq,
    Is::Before7,
    Is::NotBuiltIn,
    Is::OffAtBoot,
    Is::On,
];

/// Whose area a thread has when it is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    Nothing,
    /// A C library without the symbols has nothing to do with it.
    Foreign,
    Legacy,
    /// The C library registers areas, but has none in this thread.
    Elsewhere,
    Long,
}

/// A kernel and a process, by what the contract says of them.
struct Mock {
    is: Is,
    tcmalloc: bool,
    /// What the call of this name fails with.
    refuses: Option<(&'static str, i32)>,
    registered: RefCell<Option<Registered>>,
    mode: RefCell<usize>,
    calls: RefCell<Vec<&'static str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registered {
    Ours,
    LibcLegacy,
    LibcLong,
    Foreign,
}

impl Mock {
    fn new(is: Is, has: Has) -> Self {
        let registered = match has {
            _ if is == Is::NoRseq => None,
            Has::Nothing | Has::Elsewhere => None,
            Has::Foreign => Some(Registered::Foreign),
            Has::Legacy => Some(Registered::LibcLegacy),
            Has::Long => Some(Registered::LibcLong),
        };
        Self {
            is,
            tcmalloc: false,
            refuses: None,
            registered: RefCell::new(registered),
            mode: RefCell::new(0),
            calls: RefCell::default(),
        }
    }

    fn call(&self, name: &'static str) -> Result<(), i32> {
        self.calls.borrow_mut().push(name);
        match self.refuses {
            Some((refused, errno)) if refused == name => Err(errno),
            _ => Ok(()),
        }
    }

    fn rseq(&self) -> Result<(), i32> {
        self.call("rseq")?;
        if self.is == Is::NoRseq {
            Err(ENOSYS)
        } else {
            Ok(())
        }
    }
}

impl Kernel for Mock {
    fn libc_area(&self) -> Option<LibcArea> {
        match *self.registered.borrow() {
            Some(Registered::LibcLegacy) => Some(LibcArea::Legacy),
            Some(Registered::LibcLong) => Some(LibcArea::Long),
            Some(Registered::Ours | Registered::Foreign) | None => None,
        }
    }

    fn flags(&self, area: Area) -> u32 {
        let expected = match area {
            Area::Libc => Registered::LibcLong,
            _ => Registered::Ours,
        };
        assert_eq!(
            *self.registered.borrow(),
            Some(expected),
            "flags of {area:?}"
        );
        let mut flags = 0;
        if self.is == Is::On {
            flags |= RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE;
        }
        if *self.mode.borrow() != 0 {
            flags |= RSEQ_CS_FLAG_SLICE_EXT_ENABLED;
        }
        flags
    }

    fn has_tcmalloc(&self) -> bool {
        self.tcmalloc
    }

    fn register(&self, area: Area) -> Result<(), i32> {
        self.rseq()?;
        if area == Area::Own && self.is == Is::Before7 {
            return Err(EINVAL);
        }
        if self.registered.borrow().is_some() {
            return Err(EINVAL);
        }
        *self.registered.borrow_mut() = Some(match area {
            Area::Libc => Registered::LibcLegacy,
            _ => Registered::Ours,
        });
        *self.mode.borrow_mut() = usize::from(area == Area::Own && self.is == Is::On);
        Ok(())
    }

    fn unregister(&self, area: Area) -> Result<(), i32> {
        self.rseq()?;
        let expected = match area {
            Area::Libc => Registered::LibcLegacy,
            _ => Registered::Ours,
        };
        assert_eq!(
            *self.registered.borrow(),
            Some(expected),
            "unregister {area:?}"
        );
        *self.registered.borrow_mut() = None;
        *self.mode.borrow_mut() = 0;
        Ok(())
    }

    fn get(&self) -> Result<usize, i32> {
        self.call("get")?;
        match self.is {
            Is::NoRseq | Is::NotBuiltIn => Err(ENOTSUPP),
            Is::Before7 => Err(EINVAL),
            Is::OffAtBoot | Is::On => Ok(*self.mode.borrow()),
        }
    }

    fn enable(&self) -> Result<(), i32> {
        self.call("enable")?;
        match (self.is, *self.registered.borrow()) {
            (Is::On, Some(Registered::LibcLong | Registered::Ours)) => {
                *self.mode.borrow_mut() = PR_RSEQ_SLICE_EXT_ENABLE;
                Ok(())
            }
            (Is::Before7, _) => Err(EINVAL),
            _ => Err(ENOTSUPP),
        }
    }
}

const TAKE_OVER: Policy = Policy {
    take_over: true,
    ..Policy::DEFAULT
};

#[test]
fn one_cause_for_each_kernel_and_area() {
    use Area::{Libc, Own, TakenOver};
    let table = [
        (Has::Nothing, Ok(Own), Ok(Own)),
        (Has::Foreign, Err(Why::ForeignArea), Err(Why::ForeignArea)),
        (Has::Legacy, Err(Why::LegacyArea), Ok(TakenOver)),
        (Has::Elsewhere, Ok(Own), Ok(Own)),
        (Has::Long, Ok(Libc), Ok(Libc)),
    ];
    for is in KERNELS {
        for (has, plain, taken) in table {
            for (policy, works) in [(Policy::DEFAULT, plain), (TAKE_OVER, taken)] {
                let expected = match is {
                    Is::On => works,
                    Is::NoRseq => Err(Why::NoRseq),
                    Is::Before7 => Err(Why::KernelBefore7),
                    Is::NotBuiltIn => Err(Why::NotBuiltIn),
                    // With a legacy area the kernel does not tell before it is taken over.
                    Is::OffAtBoot if works.is_err() => works,
                    Is::OffAtBoot => Err(Why::OffAtBoot),
                };
                let mock = Mock::new(is, has);
                let before = *mock.registered.borrow();
                let result = set_up(&mock, policy);
                assert_eq!(result, expected, "{is:?} {has:?} {policy:?}");
                let after = *mock.registered.borrow();
                match result {
                    Ok(area) => {
                        assert_eq!(*mock.mode.borrow(), PR_RSEQ_SLICE_EXT_ENABLE);
                        assert_eq!(after == Some(Registered::Ours), area != Libc);
                    }
                    Err(_) => assert_eq!(after, before, "{is:?} {has:?} {policy:?}"),
                }
            }
        }
    }
}

#[test]
fn a_process_that_does_not_want_it_makes_no_call() {
    let policy = Policy {
        enabled: false,
        exit: Exit::Getpid,
        ..TAKE_OVER
    };
    for has in [Has::Nothing, Has::Legacy, Has::Long] {
        let mock = Mock::new(Is::On, has);
        assert_eq!(set_up(&mock, policy), Err(Why::SwitchedOff));
        assert!(mock.calls.borrow().is_empty());
    }
}

#[test]
fn tcmalloc_keeps_its_area() {
    let mut mock = Mock::new(Is::On, Has::Legacy);
    mock.tcmalloc = true;
    assert_eq!(set_up(&mock, TAKE_OVER), Err(Why::Tcmalloc));
    assert_eq!(*mock.registered.borrow(), Some(Registered::LibcLegacy));
}

/// A filter that refuses one of the calls: the cause has its error, and whatever had been registered
/// is registered still.
#[test]
fn refused_calls_are_named() {
    const EPERM: i32 = 1;
    let cases = [
        ("rseq", Has::Nothing, Err(Why::Refused(EPERM))),
        ("rseq", Has::Legacy, Err(Why::Refused(EPERM))),
        ("rseq", Has::Long, Ok(Area::Libc)),
        ("get", Has::Nothing, Ok(Area::Own)),
        ("get", Has::Legacy, Err(Why::Refused(EPERM))),
        ("get", Has::Long, Ok(Area::Libc)),
        ("enable", Has::Nothing, Ok(Area::Own)),
        ("enable", Has::Legacy, Ok(Area::TakenOver)),
        ("enable", Has::Long, Err(Why::Refused(EPERM))),
    ];
    for (refused, has, expected) in cases {
        let mut mock = Mock::new(Is::On, has);
        mock.refuses = Some((refused, EPERM));
        let before = *mock.registered.borrow();
        assert_eq!(set_up(&mock, TAKE_OVER), expected, "{refused} {has:?}");
        if expected.is_err() {
            assert_eq!(*mock.registered.borrow(), before, "{refused} {has:?}");
        }
    }
}

/// A filter refuses the C library the area of a thread.
#[test]
fn a_thread_without_the_libcs_area_is_not_off_at_boot() {
    let mut mock = Mock::new(Is::On, Has::Elsewhere);
    mock.refuses = Some(("rseq", 1));
    assert_eq!(set_up(&mock, Policy::DEFAULT), Err(Why::Refused(1)));
}

/// `ENOSYS` is what some filters say to calls that they do not know.
#[test]
fn a_filter_is_no_kernel_without_rseq() {
    let mut mock = Mock::new(Is::On, Has::Nothing);
    mock.refuses = Some(("rseq", ENOSYS));
    assert_eq!(set_up(&mock, Policy::DEFAULT), Err(Why::Refused(ENOSYS)));
}

/// A thread that a taken over thread creates has no area, and one that another creates has: the
/// order of the calls is right for both.
#[test]
fn the_own_area_goes_first() {
    let mock = Mock::new(Is::On, Has::Elsewhere);
    assert_eq!(set_up(&mock, TAKE_OVER), Ok(Area::Own));
    assert_eq!(*mock.calls.borrow(), ["rseq"]);
    let mock = Mock::new(Is::On, Has::Legacy);
    assert_eq!(set_up(&mock, TAKE_OVER), Ok(Area::TakenOver));
    assert_eq!(*mock.calls.borrow(), ["rseq", "get", "rseq", "rseq"]);
}

/// Somebody else has turned the extension on in the C library's area: in this layout of the control
/// word, or in the other.
#[test]
fn the_layout_of_others_is_respected() {
    let mock = Mock::new(Is::On, Has::Long);
    *mock.mode.borrow_mut() = PR_RSEQ_SLICE_EXT_ENABLE;
    assert_eq!(set_up(&mock, Policy::DEFAULT), Ok(Area::Libc));
    *mock.mode.borrow_mut() = 3;
    assert_eq!(set_up(&mock, Policy::DEFAULT), Err(Why::ForeignArea));
    assert_eq!(*mock.mode.borrow(), 3);
}
