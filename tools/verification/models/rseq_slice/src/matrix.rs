// SPDX-License-Identifier: GPL-2.0

//! The configurations that are explored, and what is known to be found in them.

use crate::{
    abi::Layout,
    config::{
        Config,
        UserOp::{
            self, Begin, Call as Makes, Clear, Commit, LieAboutGrant, Request, Scribble, Touch,
        },
    },
    property::Broken,
    rules::Sabotage,
    thread::Call,
};

/// A thread that does whatever it can to its control word, with signals and faults all over.
const HOSTILE: &[UserOp] = &[
    Request,
    Clear,
    LieAboutGrant,
    Scribble,
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

/// A thread that changes everything else.
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

/// A thread that now and then has a child.
const PARENT: &[UserOp] = &[Request, Makes(Call::Yield), Makes(Call::Fork { vm: false })];

/// The child, which dies and makes room for the next one.
const CHILD: &[UserOp] = &[Request, Makes(Call::Yield), Makes(Call::Exit)];

/// What an honest thread does, and syscall user dispatch.
const HONEST: &[UserOp] = &[
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

const LIES: Config = Config {
    name: "lies",
    faults: false,
    ..BASE
};

const SEQUENCES: Config = Config {
    name: "sequences",
    ops: RESTARTABLE,
    task_work: true,
    ..BASE
};

/// The same without faults, for C, which has more to break.
const SEQUENCES_MAPPED: Config = Config {
    faults: false,
    ..SEQUENCES
};

const UNFIT: Config = Config {
    name: "unfit",
    ops: HONEST,
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
    ops: HONEST,
    faults: false,
    signals: false,
    hotplug: true,
    lengths: true,
    ..BASE
};

const RT: Config = Config {
    name: "rt",
    rt: true,
    ops: HONEST,
    faults: false,
    lazy: true,
    ..BASE
};

const SMALL: Config = Config {
    name: "small",
    ops: HONEST,
    faults: false,
    signals: false,
    remote: false,
    ..BASE
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

/// What the Rust implementation goes through, and what it breaks there: nothing.
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
];

/// What the C implementation breaks wherever there are system calls, signals and membarrier(2).
const C_BREAKS: Broken = Broken::LATE
    .union(Broken::POSTPONED_AGAIN)
    .union(Broken::TWICE_AT_ENTRY)
    .union(Broken::TWICE_AT_EXPIRY)
    .union(Broken::TWICE_AT_EXIT)
    .union(Broken::LOST)
    .union(Broken::MISCOUNTED)
    .union(Broken::MISCOUNTED_DEATH)
    .union(Broken::STALE_TIMER)
    .union(Broken::CLAIM_WITHOUT_GRANT)
    .union(Broken::CLAIM_AFTER_EXPIRY)
    .union(Broken::CLAIM_AFTER_SWITCH)
    .union(Broken::CLAIM_AFTER_BOTH);

/// What the C implementation goes through, and what it breaks there.
pub(crate) const C: &[(Config, Broken)] = &[
    (
        BASE,
        C_BREAKS.union(Broken::SURVIVED).union(Broken::UNBOUNDED),
    ),
    (
        debug(LIES),
        C_BREAKS.union(Broken::UNBOUNDED).union(Broken::SHOT),
    ),
    (SEQUENCES_MAPPED, C_BREAKS.union(Broken::UNBOUNDED)),
    (
        debug(SEQUENCES_MAPPED),
        C_BREAKS.union(Broken::UNBOUNDED).union(Broken::SHOT),
    ),
    (
        UNFIT,
        C_BREAKS.union(Broken::UNFIT).union(Broken::UNBOUNDED),
    ),
    (
        LIFE_BYTES,
        C_BREAKS.union(Broken::SURVIVED).union(Broken::INHERITED),
    ),
    (
        HOTPLUG,
        C_BREAKS
            .union(Broken::FOREIGN_TIMER)
            .union(Broken::UNBOUNDED),
    ),
    (RT, C_BREAKS.union(Broken::URGENT).union(Broken::UNBOUNDED)),
];

/// Where `sabotage` shows as `broken`, in each of them.
pub(crate) fn sabotaged(sabotage: Sabotage, broken: Broken) -> Vec<Config> {
    match sabotage {
        Sabotage::BareFlag => bare_flag(broken),
        Sabotage::QuietTimer => vec![
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
        _ => vec![sabotaged_alone(sabotage, broken)],
    }
}

fn bare_flag(broken: Broken) -> Vec<Config> {
    // What takes the thread out of its sequence, or where the kernel waits meanwhile.
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
        Broken::SHOT_IN_SEQUENCE => debugged.collect(),
        _ => plain.chain(debugged).collect(),
    }
}

fn sabotaged_alone(sabotage: Sabotage, broken: Broken) -> Config {
    match sabotage {
        Sabotage::ZealousTimer if broken == Broken::FOREIGN_TIMER => Config {
            hotplug: true,
            ..SMALL
        },
        Sabotage::UncountedDeath | Sabotage::Haste | Sabotage::Oblivion => Config {
            signals: true,
            ..SMALL
        },
        Sabotage::Arrogance => Config {
            rt: true,
            lazy: true,
            remote: true,
            ..SMALL
        },
        Sabotage::Generosity => Config {
            remote: true,
            ..SMALL
        },
        Sabotage::Recklessness => Config {
            unfit: true,
            ..SMALL
        },
        Sabotage::LastingGrant => Config {
            faults: true,
            membarrier: false,
            ..SMALL
        },
        Sabotage::PatientFailure | Sabotage::LastingWord => Config {
            faults: true,
            ..SMALL
        },
        Sabotage::Severity => debug(SMALL),
        Sabotage::Heritage | Sabotage::Memory => Config { ops: LIFE, ..SMALL },
        Sabotage::Mercy => Config {
            ops: HOSTILE,
            ..bits(SMALL)
        },
        _ => SMALL,
    }
}
