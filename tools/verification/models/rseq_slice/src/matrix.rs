// SPDX-License-Identifier: GPL-2.0

//! The configurations that are explored, and the properties that are known to be broken there.

use crate::{
    abi::Layout,
    config::{
        Config,
        UserOp::{
            self, Begin, Call as Makes, Clear, Commit, ForgeGrant, Request, SetUndefinedBit, Touch,
        },
    },
    property::Broken,
    rules::Sabotage,
    thread::Call,
};

/// A thread that writes anything to its control word, with signals and faults.
const HOSTILE: &[UserOp] = &[
    Request,
    Clear,
    ForgeGrant,
    SetUndefinedBit,
    Touch,
    Makes(Call::Yield),
    Makes(Call::Other),
    Makes(Call::Dispatched),
    Makes(Call::Argument),
];

/// A thread with restartable sequences.
const RESTARTABLE: &[UserOp] = &[
    Request,
    Begin,
    Commit,
    Touch,
    Makes(Call::Yield),
    Makes(Call::Dispatched),
    Makes(Call::Argument),
];

/// A thread that makes the calls that change its state.
const LIFE: &[UserOp] = &[
    Request,
    Begin,
    Makes(Call::Yield),
    Makes(Call::Prctl(0)),
    Makes(Call::Prctl(1)),
    Makes(Call::Prctl(3)),
    Makes(Call::Register { on: true }),
    Makes(Call::Unregister),
    Makes(Call::Exec),
    Makes(Call::Fork { vm: false }),
    Makes(Call::Fork { vm: true }),
    Makes(Call::Exit),
];

/// A thread that forks.
const PARENT: &[UserOp] = &[Request, Makes(Call::Yield), Makes(Call::Fork { vm: false })];

/// The child, which exits and makes room for the next one.
const CHILD: &[UserOp] = &[Request, Makes(Call::Yield), Makes(Call::Exit)];

/// A thread without violations, with syscall user dispatch.
const COOPERATIVE: &[UserOp] = &[
    Request,
    Clear,
    Touch,
    Makes(Call::Yield),
    Makes(Call::Other),
    Makes(Call::Dispatched),
];

const BASE: Config = Config {
    name: "hostile",
    layout: Layout::Bytes,
    debug: false,
    rt: false,
    lazy_only: false,
    threads: 1,
    ops: HOSTILE,
    second_ops: &[],
    faults: true,
    signals: true,
    skips: true,
    membarrier: true,
    remote: true,
    task_work: false,
    lazy: false,
    hotplug: false,
    lengths: false,
    unfit: false,
};

const VIOLATIONS: Config = Config {
    name: "violations",
    faults: false,
    ..BASE
};

const SEQUENCES: Config = Config {
    name: "sequences",
    ops: RESTARTABLE,
    task_work: true,
    ..BASE
};

/// The same without faults, for C, which has more states.
const SEQUENCES_MAPPED: Config = Config {
    faults: false,
    ..SEQUENCES
};

const UNFIT: Config = Config {
    name: "unfit",
    ops: COOPERATIVE,
    faults: false,
    signals: false,
    remote: false,
    unfit: true,
    ..BASE
};

const LIFE_BYTES: Config = Config {
    name: "life",
    ops: LIFE,
    ..BASE
};

const PAIR_BYTES: Config = Config {
    name: "pair",
    threads: 2,
    ops: PARENT,
    second_ops: CHILD,
    faults: false,
    signals: false,
    skips: false,
    membarrier: false,
    remote: false,
    ..BASE
};

const HOTPLUG: Config = Config {
    name: "hotplug",
    ops: COOPERATIVE,
    faults: false,
    signals: false,
    hotplug: true,
    lengths: true,
    ..BASE
};

const RT: Config = Config {
    name: "rt",
    rt: true,
    ops: COOPERATIVE,
    faults: false,
    lazy: true,
    ..BASE
};

const LAZY: Config = Config {
    name: "lazy",
    ops: COOPERATIVE,
    faults: false,
    lazy: true,
    task_work: true,
    ..BASE
};

const POLICY: Config = Config {
    name: "policy",
    lazy_only: true,
    ..LAZY
};

const SMALL: Config = Config {
    name: "small",
    ops: COOPERATIVE,
    faults: false,
    signals: false,
    remote: false,
    ..BASE
};

const LAZY_REMOTE: Config = Config {
    lazy: true,
    remote: true,
    ..SMALL
};

const fn debug(config: Config) -> Config {
    Config {
        debug: true,
        ..config
    }
}

const fn bits(config: Config) -> Config {
    Config {
        layout: Layout::Bits,
        ..config
    }
}

/// The configurations for the Rust implementation, and what it breaks there: nothing.
pub(crate) const RUST: &[(Config, Broken)] = &[
    (PAIR_BYTES, Broken::empty()),
    (BASE, Broken::empty()),
    (debug(BASE), Broken::empty()),
    (bits(BASE), Broken::empty()),
    (bits(debug(BASE)), Broken::empty()),
    (SEQUENCES, Broken::empty()),
    (debug(SEQUENCES), Broken::empty()),
    (bits(SEQUENCES), Broken::empty()),
    (bits(debug(SEQUENCES)), Broken::empty()),
    (UNFIT, Broken::empty()),
    (LIFE_BYTES, Broken::empty()),
    (bits(debug(LIFE_BYTES)), Broken::empty()),
    (HOTPLUG, Broken::empty()),
    (RT, Broken::empty()),
    (LAZY, Broken::empty()),
    (debug(bits(LAZY)), Broken::empty()),
    (POLICY, Broken::empty()),
];

/// What the C implementation breaks wherever there are system calls, signals and membarrier(2).
const C_BREAKS: Broken = Broken::LATE
    .union(Broken::POSTPONED_AGAIN)
    .union(Broken::TWICE_AT_ENTRY)
    .union(Broken::TWICE_AT_EXPIRY)
    .union(Broken::TWICE_AT_EXIT)
    .union(Broken::LOST)
    .union(Broken::LOST_BY_DEATH)
    .union(Broken::MISCOUNTED)
    .union(Broken::MISCOUNTED_DEATH)
    .union(Broken::STALE_TIMER)
    .union(Broken::CLAIM_WITHOUT_GRANT)
    .union(Broken::CLAIM_AFTER_EXPIRY)
    .union(Broken::CLAIM_AFTER_SWITCH)
    .union(Broken::CLAIM_AFTER_BOTH);

/// The configurations for the C implementation, and what it breaks there.
pub(crate) const C: &[(Config, Broken)] = &[
    (
        BASE,
        C_BREAKS.union(Broken::SURVIVED).union(Broken::UNBOUNDED),
    ),
    (
        debug(VIOLATIONS),
        C_BREAKS
            .union(Broken::UNBOUNDED)
            .union(Broken::SIGSEGV_WITHOUT_CAUSE),
    ),
    (SEQUENCES_MAPPED, C_BREAKS.union(Broken::UNBOUNDED)),
    (
        debug(SEQUENCES_MAPPED),
        C_BREAKS
            .union(Broken::UNBOUNDED)
            .union(Broken::SIGSEGV_WITHOUT_CAUSE),
    ),
    (
        UNFIT,
        C_BREAKS.union(Broken::UNFIT).union(Broken::UNBOUNDED),
    ),
    (
        LIFE_BYTES,
        C_BREAKS.union(Broken::SURVIVED).union(Broken::WRONG_CHILD),
    ),
    (
        HOTPLUG,
        C_BREAKS
            .union(Broken::FOREIGN_TIMER)
            .union(Broken::UNBOUNDED),
    ),
    (RT, C_BREAKS.union(Broken::URGENT).union(Broken::UNBOUNDED)),
];

/// The configurations in which `sabotage` has to be found as `broken`.
pub(crate) fn configs_for(sabotage: Sabotage, broken: Broken) -> Vec<Config> {
    match sabotage {
        Sabotage::FlagClearsEvents => bare_flag(broken),
        Sabotage::AllPostponed => vec![
            Config {
                rt: true,
                ..LAZY_REMOTE
            },
            Config {
                lazy_only: true,
                ..LAZY_REMOTE
            },
        ],
        Sabotage::ExpiryRaisesNoFlag => vec![
            Config {
                name: "exception",
                ops: &[Request, Touch],
                ..SMALL
            },
            Config {
                name: "argument",
                ops: &[Request, Makes(Call::Argument)],
                ..SMALL
            },
        ],
        _ => vec![single_config_for(sabotage, broken)],
    }
}

fn bare_flag(broken: Broken) -> Vec<Config> {
    // Different reasons to schedule, and places where the kernel waits.
    let signal = Config {
        name: "signal",
        faults: false,
        remote: false,
        ..SEQUENCES
    };
    let remote = Config {
        name: "remote",
        signals: false,
        remote: true,
        ..signal
    };
    let fault = Config {
        name: "fault",
        faults: true,
        remote: false,
        ..remote
    };
    let plain = [signal, remote, fault].map(|config| [config, bits(config)]);
    let plain = plain.into_iter().flatten();
    let debugged = plain.clone().map(debug);

    match broken {
        Broken::SIGSEGV_IN_SEQUENCE => debugged.collect(),
        _ => plain.chain(debugged).collect(),
    }
}

fn single_config_for(sabotage: Sabotage, broken: Broken) -> Config {
    match sabotage {
        Sabotage::TimerEndsAnyGrant if broken == Broken::FOREIGN_TIMER => Config {
            hotplug: true,
            ..SMALL
        },
        Sabotage::UncountedDeath
        | Sabotage::DeathRequestsNothing
        | Sabotage::OtherWorkIgnored
        | Sabotage::UpdateClearsEvents => Config {
            signals: true,
            ..SMALL
        },
        Sabotage::KeepsDespiteUrgent | Sabotage::KeepsSpent => LAZY_REMOTE,
        Sabotage::SyscallIsInterrupt => Config {
            remote: true,
            ..SMALL
        },
        Sabotage::UnfitCpuGrants => Config {
            unfit: true,
            ..SMALL
        },
        Sabotage::FailureKeepsGrant => Config {
            faults: true,
            membarrier: false,
            ..SMALL
        },
        Sabotage::FailureOnlySpends | Sabotage::FailureKeepsWord => Config {
            faults: true,
            ..SMALL
        },
        Sabotage::RequestIsViolation => debug(SMALL),
        Sabotage::ForkCopiesAll | Sabotage::ResetKeepsMode => Config { ops: LIFE, ..SMALL },
        Sabotage::NoSigsegvAtEntry => Config {
            ops: HOSTILE,
            ..bits(SMALL)
        },
        _ => SMALL,
    }
}
