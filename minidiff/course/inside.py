"""The process of one answer: it reads a job, shuts itself in, runs the answer, and writes what came of it into a pipe.

The text of this file is run beside those of probing.py and extract.py, with a copy of the library that lacks the course. The
process never holds a solution of the exercise, an expected value or a check: whatever an answer does here, it can only change
what it gives. Before strangers' code runs, the process gives up its right to start others, to signal them, to open
connections (seccomp) and to write anywhere but into its own folder (Landlock), where the system has these.

Not here: the grader's side (sandbox.py). Numbers are the kernel's: seccomp(2), landlock(7), capabilities(7), fcntl(2), and
its tables of system calls.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys
from typing import Any

# System calls that an answer has no use for, by their numbers on x86-64 and on 64-bit ARM (None: there is no such call).
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129),
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "setsid": (112, 157), "setpgid": (109, 154),
    "unshare": (272, 97), "setns": (308, 268), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # connections, and memory that outlasts a process or isn't counted
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "io_uring_setup": (425, 425),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "memfd_create": (319, 279), "memfd_secret": (447, 447), "userfaultfd": (323, 282),
    # what is written down of files
    "mknod": (133, None), "mknodat": (259, 33), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "flock": (73, 32),
    "fanotify_init": (300, 262), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    # the machine
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442), "bpf": (321, 280),
    "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "swapon": (167, 224), "swapoff": (168, 225), "syslog": (103, 116),
    "acct": (163, 89), "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None),
}  # fmt: skip
CLONE, CLONE3, PRLIMIT, FCNTL = (56, 220), (435, 435), (302, 261), (72, 25)
OWNERS = (8, 10, 15)  # fcntl's commands that name a process to be signalled
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE_THREAD = 0x10000
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026  # seccomp's answers: yes; no, with an error number
WRITES = 0x7FF2  # Landlock's rights to write, remove, make, refer and truncate; not those to read and run
DEVICES = 1 << 15  # Landlock's right to command a device, such as a terminal
FILE_LIMIT = 20 * 2**20  # bytes of one file


def main() -> None:
    """The whole life of the process. sys.argv[1]: the file descriptor for results."""
    results = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG: no answer outlives its grader
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f)]  # the library's copy alone is found
    data = sys.stdin.buffer.read()
    length = int.from_bytes(data[:8], "little")
    job, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    if job["kind"] == "extract":
        shut_in(job)
        _send(results, json.dumps(_extracted(job, rest)).encode())
    else:
        import numpy as np  # noqa: F401  (what an answer may need is imported before the limits)
        import torch

        torch.set_num_threads(1)
        held = shut_in(job)
        _send(results, json.dumps(held).encode())
        _answer(job, results)
    os._exit(0)


def _send(file: int, message: bytes) -> None:
    message = len(message).to_bytes(8, "little") + message
    while message:
        message = message[os.write(file, message) :]


def _extracted(job: dict[str, Any], notebook: bytes) -> dict[str, Any]:
    from minidiff_answer.extract import NotebookError, answers_in

    try:
        return answers_in(notebook, job["file"], job["lessons"])
    except NotebookError:
        return {"error": "notebook"}
    except (RecursionError, MemoryError):
        return {"error": "deep"}


def _answer(job: dict[str, Any], results: int) -> None:
    """Run the answer on each probe; one message for each, so that those before a crash count."""
    from minidiff_answer.extract import run_statements
    from minidiff_answer.probing import Outcome, outcome, packed, probes_of

    probes = [probe for code in job["probes"] for probe in probes_of(code)]
    try:
        space = run_statements(job["source"], job["name"])
        for name, source in job["company"].items():  # earlier exercises as they should be: one failure is not counted twice
            space[name] = run_statements(source, name)[name]
        answer = space[job["name"]]
    except BaseException as error:
        found = Outcome(error=(type(error).__name__, str(error)[:300]))
        for _ in probes:
            _send(results, packed(found))
        return
    for probe in probes:
        try:
            found = outcome(probe, answer)
        except BaseException as error:
            found = Outcome(error=(type(error).__name__, str(error)[:300]))
        _send(results, packed(found))


# --- shutting in ------------------------------------------------------------------------------------------------------


def shut_in(job: dict[str, Any]) -> dict[str, bool]:
    """Limits on memory and files, then no way out. Says which walls stand."""
    held = {"limits": False, "files": False, "calls": False}
    try:
        import resource
    except ImportError:  # Windows
        return held
    pages = int(open("/proc/self/statm").read().split()[0]) if os.path.exists("/proc/self/statm") else 0
    memory = pages * os.sysconf("SC_PAGE_SIZE") + int(job["gigabytes"] * 2**30)
    limits = (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", FILE_LIMIT), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 256))
    for name, most in limits:
        try:
            resource.setrlimit(getattr(resource, name), (most, most))
            held["limits"] = True
        except (ValueError, OSError):
            pass
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        _no_capabilities(libc)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which both need
        held["files"] = _only_own_files(libc, job["folder"])
        held["calls"] = _no_calls(libc)
    if not held["calls"]:
        try:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        except (ValueError, OSError):
            pass
    return held


def _no_capabilities(libc: Any) -> None:
    """What root may do and others may not, this process may not either."""
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6))


def _only_own_files(libc: Any, folder: str) -> bool:
    """Landlock: from now on nothing is written but in `folder`, no terminal is commanded, and no process outside signalled."""
    create, add, restrict = 444, 445, 446  # the same on every architecture
    version = libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    rights = WRITES & ~(0 if version >= 3 else 1 << 14) & ~(0 if version >= 2 else 1 << 13)
    handled = rights | (DEVICES if version >= 5 else 0)
    rules = struct.pack("=QQQ", handled, 0, 3) if version >= 6 else struct.pack("=Q", handled)  # 3: signals, abstract sockets
    ruleset = libc.syscall(create, rules, ctypes.c_size_t(len(rules)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    for path, allowed in ((folder, rights), ("/dev/null", 1 << 1)):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed, place)
        if libc.syscall(add, ruleset, 1, rule, ctypes.c_uint32(0)) < 0:
            return False
        os.close(place)
    done: bool = libc.syscall(restrict, ruleset, ctypes.c_uint32(0)) == 0
    os.close(ruleset)
    return done


def _no_calls(libc: Any) -> bool:
    """Seccomp: system calls of REFUSED fail from now on, and so do new processes; threads may start."""
    if platform.machine() not in ARCHITECTURES:
        return False
    column, architecture = ARCHITECTURES[platform.machine()]
    filters = _program(column, architecture)
    code = b"".join(struct.pack("=HBBI", *line) for line in filters)
    text = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(filters), ctypes.addressof(text))
    done: bool = libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return done


def _program(column: int, architecture: int) -> list[tuple[int, int, int, int]]:
    """Berkeley packet filter: (operation, jump if true, jump if false, number) for each line. A jump counts lines to skip."""
    load, equal, above, has, give = 0x20, 0x15, 0x35, 0x45, 0x06
    number, arch, first, second = 0, 4, 16, 24  # where the kernel writes the call, the architecture and its arguments

    lines = [(load, 0, 0, arch), (equal, 1, 0, architecture), (give, 0, 0, EPERM), (load, 0, 0, number)]
    lines += [(above, 0, 1, 0x40000000), (give, 0, 0, EPERM)]  # calls by another convention
    for calls in REFUSED.values():
        if (call := calls[column]) is not None:
            lines += [(equal, 0, 1, call), (give, 0, 0, EPERM)]
    lines += [(equal, 0, 1, CLONE3[column]), (give, 0, 0, ENOSYS)]  # libc then takes clone, whose flags can be seen
    answers = [(give, 0, 0, ALLOW), (give, 0, 0, EPERM)]
    lines += [(equal, 0, 4, CLONE[column]), (load, 0, 0, first), (has, 0, 1, CLONE_THREAD), *answers]  # threads alone
    lines += [(equal, 0, 4, PRLIMIT[column]), (load, 0, 0, first), (equal, 0, 1, 0), *answers]  # its own limits alone
    lines += [(equal, 0, 2 + 2 * len(OWNERS), FCNTL[column]), (load, 0, 0, second)]
    for command in OWNERS:
        lines += [(equal, 0, 1, command), (give, 0, 0, EPERM)]
    lines += [(give, 0, 0, ALLOW)]
    return [*lines, (give, 0, 0, ALLOW)]


if __name__ == "__main__":
    main()
