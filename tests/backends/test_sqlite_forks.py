"""Fork while threads are inside SQLite: the child has locks and connections of its own.

Each program forks; ``child(work)`` is the exit of a child that does the work, 0 if it
did, and what ended it else. A child that waits for ever is killed by its alarm.
"""

from __future__ import annotations

from pathlib import Path

from tests.backends.children import run

# At the beginning of each program.
PRELUDE = """
import os, signal, sys, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks with threads
from contextstore import SQLiteMemory, UnavailableError
from contextstore.backends.sqlite import at_fork
path = sys.argv[1]

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(20)
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)

def child(work):
    return os.waitpid(forked(work), 0)[1]

def add(memory, message_id):
    memory.sync.append_context("s", [{"id": message_id}], create=True)

def ids(memory):
    return [message["id"] for message in memory.sync.load_context("s")]

def refused(memory):
    for work in (add, lambda memory, _: ids(memory)):
        try:
            work(memory, "refused")
        except UnavailableError as error:
            assert "cannot be used in this process" in str(error), error
            assert error.location == memory.location
        else:
            raise AssertionError("it was not refused")

class Slow:
    # Gives ids, inside a write, so slowly that something can be done meanwhile.
    def __init__(self):
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.go_on.wait(20)
        return "slow"

def within_a_write(memory, slow):
    thread = threading.Thread(target=memory.sync.append_context, args=("s", [{}]))
    thread.start()
    assert slow.begun.wait(20)
    return thread
"""


def outcome(program: str, path: Path) -> str:
    code, printed = run(PRELUDE + program, path)
    assert code == 0, printed
    return printed


DURING_A_WRITE = """
slow = Slow()
memory = SQLiteMemory(path, id_factory=slow)
own = SQLiteMemory(":memory:", id_factory=slow)
for one in (memory, own):
    slow.begun.clear()
    slow.go_on.clear()
    one.sync.save_context("s", [{"id": "1"}])
    thread = within_a_write(one, slow)
    threading.Timer(0.3, slow.go_on.set).start()
    def work():
        add(one, "child")
        assert ids(one) == ["1", "slow", "child"]
    print(child(work))
    thread.join()
    add(one, "2")
    print(ids(one))
"""


def test_a_fork_waits_for_a_write_that_is_under_way(tmp_path: Path) -> None:
    # The child would take the lock on the file for one of its own, and wait for it.
    file, memory = ["1", "slow", "child", "2"], ["1", "slow", "2"]
    printed = outcome(DURING_A_WRITE, tmp_path / "chat.db")
    assert printed == f"0\n{file}\n0\n{memory}\n"


UNDER_LOAD = """
memory, own = SQLiteMemory(path), SQLiteMemory(":memory:")
stop = []
def write(session_id):
    while not stop:
        memory.sync.append_context(session_id, [{"content": "x" * 500}], create=True)
        own.sync.save_context(session_id, [{"content": "x" * 500}])
def read():
    while not stop:
        ids(memory)
        memory.sync.list_sessions()
add(memory, "first")
calls = [lambda: write("a"), lambda: write("b"), read, read]
threads = [threading.Thread(target=call, daemon=True) for call in calls]
for thread in threads:
    thread.start()
def work():
    add(memory, "child")
    fresh = SQLiteMemory(path)
    assert ids(fresh)[0] == "first"
    fresh.sync.close()
    SQLiteMemory(path + "-other").sync.save_context("s", [])
    own.sync.save_context("s", [])
for _ in range(30):
    time.sleep(0.005)
    assert child(work) == 0
stop.append(True)
for thread in threads:
    thread.join()
print("done", len(at_fork._visits), len(at_fork._forking))
"""


def test_no_child_is_left_with_a_mutex_of_the_parent(tmp_path: Path) -> None:
    assert outcome(UNDER_LOAD, tmp_path / "chat.db") == "done 0 0\n"


AFTER_ITS_PARENT = """
import subprocess
other = '''
import sys
from contextstore import SQLiteMemory
memory = SQLiteMemory(sys.argv[1])
for number in range(20):
    memory.sync.append_context("s", [{"id": f"other-{number}"}])
print("written", flush=True)
sys.stdin.readline()
'''
memory = SQLiteMemory(path)
add(memory, "parent")
ids(memory)
reading, writing = os.pipe()
told, tell = os.pipe()
def work():
    add(memory, "child")
    os.write(tell, b"x")
    os.read(reading, 1)
    for number in range(20):
        add(memory, f"child-{number}")
    assert len(ids(memory)) == 42, ids(memory)
pid = forked(work)
os.read(told, 1)
# Were the child without a lock, the log would go with the parent, and what the child
# then writes to it.
memory.sync.close()
process = subprocess.Popen(
    [sys.executable, "-c", other, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
process.stdout.readline()
os.write(writing, b"x")
print(os.waitpid(pid, 0)[1])
process.communicate()
print(len(ids(SQLiteMemory(path))))
"""


def test_what_a_child_writes_after_its_parent_closed_the_file_is_kept(
    tmp_path: Path,
) -> None:
    assert outcome(AFTER_ITS_PARENT, tmp_path / "chat.db") == "0\n42\n"


FROM_WITHIN = """
for where in (path, ":memory:"):
    statuses = []
    def fork():
        def work():
            refused(memory)
            if where == path:
                refused(SQLiteMemory(path))
            add(SQLiteMemory(path + "-other"), str(where == path))
        statuses.append(child(work))
        return "forked"
    memory = SQLiteMemory(where, id_factory=fork)
    memory.sync.save_context("s", [])
    memory.sync.append_context("s", [{}])
    print(statuses, ids(memory))
"""


def test_a_child_forked_from_within_a_write_is_told_so(tmp_path: Path) -> None:
    expected = "[0] ['forked']\n" * 2
    assert outcome(FROM_WITHIN, tmp_path / "chat.db") == expected


TOO_LONG = """
at_fork.FORK_SECONDS = 0.3
slow = Slow()
memory = SQLiteMemory(path, id_factory=slow)
other = SQLiteMemory(path + "-other")
for one in (memory, other):
    one.sync.save_context("s", [])
thread = within_a_write(memory, slow)
def grandchild():
    refused(SQLiteMemory(path))
    add(other, "grandchild")
def work():
    refused(memory)
    memory.sync.close()
    refused(SQLiteMemory(path))
    add(other, "child")
    assert child(grandchild) == 0
for _ in range(2):
    print(child(work))
    assert ids(other) == ["child", "grandchild"]
    other.sync.save_context("s", [])
begun = time.monotonic()
at_fork.FORK_SECONDS = 20
pid = forked(lambda: None)
print(time.monotonic() - begun < 10, os.waitpid(pid, 0)[1])
slow.go_on.set()
thread.join()
print(ids(memory), child(lambda: add(memory, "later")), ids(memory))
"""


def test_a_fork_that_waited_in_vain_leaves_a_file_that_its_child_may_not_use(
    tmp_path: Path,
) -> None:
    # A fork after it hardly waits again for the same call.
    printed = outcome(TOO_LONG, tmp_path / "chat.db")
    assert printed == "0\n0\nTrue 0\n['slow'] 0 ['slow', 'later']\n"


AT_ONCE = """
memory = SQLiteMemory(path)
memory.sync.save_context("s", [])
statuses, handled = [], []
def work():
    memory.sync.append_context("s", [{}])
def handler(*_):
    # It may come within a fork of this thread.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    handled.append(child(lambda: None))
    signal.signal(signal.SIGUSR1, handler)
signal.signal(signal.SIGUSR1, handler)
def forks():
    for _ in range(8):
        statuses.append(child(work))
        os.kill(os.getpid(), signal.SIGUSR1)
threads = [threading.Thread(target=forks) for _ in range(3)]
for thread in threads:
    thread.start()
forks()
for thread in threads:
    thread.join()
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print(statuses == [0] * 32, set(handled) == {0}, len(ids(memory)))
print(at_fork._visits, at_fork._forking)
"""


def test_many_threads_may_fork_at_once_and_signal_handlers_too(tmp_path: Path) -> None:
    printed = outcome(AT_ONCE, tmp_path / "chat.db")
    assert printed == "True True 32\nset() []\n"


HELD_UP = """
def before():
    # Registered first, it runs last, as the threads are held back already.
    if waiting:
        thread = threading.Thread(target=add, args=(memory, "waited-for"))
        thread.start()
        thread.join(20)
        print(thread.is_alive())
"""


def test_a_fork_that_others_hold_up_ends(tmp_path: Path) -> None:
    program = PRELUDE.replace(
        "from contextstore import",
        f"waiting = []{HELD_UP}os.register_at_fork(before=before)\n"
        "from contextstore import",
        1,
    )
    program += """
at_fork.FORK_SECONDS = 0.1
memory = SQLiteMemory(path)
memory.sync.save_context("s", [])
waiting.append(True)
print(child(lambda: refused(memory)))
waiting.clear()
print(child(lambda: add(memory, "child")), ids(memory))
"""
    code, printed = run(program, tmp_path / "chat.db")
    assert (code, printed) == (0, "False\n0\n0 ['waited-for', 'child']\n")


NOT_ITS_TURN = """
at_fork.FORK_SECONDS = 0.1
memory = SQLiteMemory(path)
memory.sync.save_context("s", [])
held, release = threading.Event(), threading.Event()
def hold():
    assert at_fork.hold_back()
    held.set()
    release.wait(20)
    at_fork.let_in()
thread = threading.Thread(target=hold)
thread.start()
held.wait(20)
print(child(lambda: refused(memory)))
release.set()
thread.join()
print(child(lambda: add(memory, "child")), ids(memory))
"""


def test_a_fork_waits_for_another_but_not_for_ever(tmp_path: Path) -> None:
    assert outcome(NOT_ITS_TURN, tmp_path / "chat.db") == "0\n0 ['child']\n"


LOCKED_BY_ANOTHER = """
import subprocess
from contextstore.backends.sqlite import process_lock
at_fork.FORK_SECONDS = 0.1
# As with a version of SQLite that needs the lock, whichever this one is.
process_lock._MENDED = (99,)
memory = SQLiteMemory(path)
memory.sync.save_context("s", [])
with open(path + "-lock") as lock:
    import fcntl
    fcntl.flock(lock, fcntl.LOCK_EX)
    pid = forked(lambda: refused(memory))
print(os.waitpid(pid, 0)[1])
print(child(lambda: add(memory, "child")), ids(memory))
"""


def test_a_file_that_another_process_keeps_from_being_closed_stays_the_parents(
    tmp_path: Path,
) -> None:
    assert outcome(LOCKED_BY_ANOTHER, tmp_path / "chat.db") == "0\n0 ['child']\n"


def test_a_fork_has_nothing_of_a_file_open(tmp_path: Path) -> None:
    # What SQLite asks of who forks (https://sqlite.org/howtocorrupt.html, section 2.6).
    program = """
memory = SQLiteMemory(path)
memory.sync.save_context("s", [{"id": "1"}])
ids(memory)
memory._lease.engine.readers.version()
def work():
    files = "/proc/self/fd"
    open_files = []
    for name in os.listdir(files):
        try:
            open_files.append(os.readlink(os.path.join(files, name)))
        except FileNotFoundError:
            pass
    assert not [one for one in open_files if path in one], open_files
print(child(work), ids(memory))
"""
    assert outcome(program, tmp_path / "chat.db") == "0 ['1']\n"
