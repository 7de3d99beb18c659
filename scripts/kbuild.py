# SPDX-License-Identifier: GPL-2.0
"""What Kbuild records of the commands that it has run."""
import shlex
import sys


def command(saved):
    """The environment and the arguments of the compiler in a .cmd file."""
    line = next(l for l in saved.read_text().splitlines() if l.startswith("savedcmd_"))
    text = line.split(":=", 1)[1].replace("$(pound)", "#").replace("$$", "$")
    # The compiler may come after and before other commands.
    for one in text.split(";"):
        words = shlex.split(one)
        environment = {}
        while words and "=" in words[0] and not words[0].startswith("-"):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        if words and ("rustc" in words[0] or "clippy-driver" in words[0]):
            return environment, words[1:]
    sys.exit(f"{saved}: there is no rustc in it")
