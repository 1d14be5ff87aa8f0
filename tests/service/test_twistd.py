"""The manners of the process: exit statuses, one-line errors, logs, privileges, signals."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE = [sys.executable, str(Path(__file__).with_name("fake_twistd.py"))]


@pytest.fixture
def launch(start, tmp_path, free_port):
    """Start one of the doors with the fake's Corefile; `port` is bound on 127.0.0.1."""

    def run(door, corefile, *options, env=None):
        port = free_port()
        (tmp_path / "Corefile").write_text(corefile.replace("@PORT@", str(port)))
        words = {
            "twistd": ["twistd", "-n", "--pidfile=", "k8sdns", "-c", "Corefile"],
            "k8sdns": ["k8sdns", "-conf", "Corefile"],
            "tac": ["twistd", "--pidfile=", "-ny", str(ROOT / "k8sdns.tac")],
        }[door]
        program = start([*FAKE, *words, *options], env=env)
        program.port = port
        return program

    return run


def echoes(program) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", program.port))
        try:
            sock.send(b"ping")
            return sock.recv(100) == b"ping"
        except OSError:
            return False


@pytest.mark.parametrize("door", ["twistd", "k8sdns", "tac"])
@pytest.mark.parametrize("line", ["", "late"])
def test_every_door_serves_and_says_so_in_coredns_lines(launch, door, line):
    program = launch(door, f"bind 127.0.0.1 @PORT@\n{line}\n")
    program.wait_until(lambda: echoes(program))
    program.wait_until(lambda: "plugin/forward" in program.output and "twisted-" in program.output)
    lines = program.output.splitlines()
    assert f"[INFO] plugin/forward: serving as uid {os.getuid()}" in lines
    assert ".:1053" in lines
    assert program.end(signal.SIGINT) in (0, -signal.SIGINT)
    assert "[INFO] plugin/forward: stopped" in program.output.splitlines()


@pytest.mark.parametrize("door", ["twistd", "k8sdns", "tac"])
def test_a_mistake_is_one_line_and_status_1(launch, door):
    program = launch(door, "fail 3 what is wrong\nbind 127.0.0.1 @PORT@")
    assert program.wait() == 1
    assert program.output == "Corefile:3 - what is wrong\n"


@pytest.mark.parametrize("door", ["twistd", "k8sdns", "tac"])
def test_a_port_that_cannot_be_bound_is_one_line_and_status_1(launch, door):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        program = launch(door, f"bind 127.0.0.1 {port}")
        assert program.wait() == 1
        mistakes = [line for line in program.output.splitlines() if not line.startswith("[INFO]")]
        assert mistakes == [f"cannot listen on udp 127.0.0.1:{port}: Address already in use"]


def test_a_daemon_that_cannot_bind_says_so_and_leaves_no_pid_file(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        (tmp_path / "Corefile").write_text(f"bind 127.0.0.1 {taken.getsockname()[1]}")
        ended = subprocess.run(
            [*FAKE, "twistd", "k8sdns"], cwd=tmp_path, capture_output=True, text=True, timeout=30
        )
    assert ended.returncode == 1
    assert "cannot listen on udp" in ended.stderr
    assert not (tmp_path / "twistd.pid").exists()


def test_a_daemon_serves_and_ends(tmp_path, free_port, start):
    port = free_port()
    (tmp_path / "Corefile").write_text(f"bind 127.0.0.1 {port}")
    command = [*FAKE, "twistd", "--logfile=log", "k8sdns"]
    assert subprocess.run(command, cwd=tmp_path, timeout=30).returncode == 0
    daemon = int((tmp_path / "twistd.pid").read_text())
    program = start(["sleep", "60"])  # `wait_until` watches a program; the daemon is no child
    program.port = port
    program.wait_until(lambda: echoes(program))
    os.kill(daemon, signal.SIGINT)
    program.wait_until(lambda: not (tmp_path / "twistd.pid").exists())
    assert "serving as uid" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("door", ["twistd", "k8sdns"])
def test_halting_ends_the_process_with_status_1(launch, door):
    program = launch(door, "bind 127.0.0.1 @PORT@\nhalt")
    assert program.wait() == 1
    assert "[FATAL] it makes no sense" in program.output.splitlines()


def test_check_and_dump_exit_without_serving(launch):
    checked = launch("twistd", "bind 127.0.0.1 @PORT@", "--check")
    assert (checked.wait(), checked.output) == (0, "Corefile: OK\n")
    dumped = launch("twistd", "a b", "--dump")
    assert dumped.wait() == 0
    assert dumped.output == '["a", "b"]'


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "x"], "'x' is no port"),
        (["--port", "70000"], "is no port"),
        (["--nonsense"], "--nonsense"),
        (["surplus"], "extra command line arguments: [surplus]"),
        (["--corefile", "/nowhere/Corefile"], "/nowhere/Corefile - cannot be read: No such file"),
    ],
)
def test_a_bad_option_is_one_line_and_status_1(launch, options, said):
    program = launch("twistd", "", *options)
    assert program.wait() == 1
    assert said in program.output
    assert program.output.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["-version"], 0, "k8sdns-"),
        (["--version"], 0, "twisted-"),
        (["-plugins"], 0, "errors\nwhoami\n"),
        (["-x"], 1, "flag provided but not defined: -x\n"),
        (["stray"], 1, "extra command line arguments: [stray]\n"),
        (["-conf=nowhere"], 1, "nowhere - cannot be read: No such file or directory\n"),
        (["-dns.port", "0"], 1, "k8sdns: "),
    ],
)
def test_coredns_flags(start, flags, status, said):
    program = start([*FAKE, "k8sdns", *flags])
    assert program.wait() == status
    assert said in program.output


def test_the_pid_file_of_the_command_comes_and_goes(launch, tmp_path):
    program = launch("k8sdns", "bind 127.0.0.1 @PORT@", "-pidfile", "pid", "-quiet")
    program.wait_until((tmp_path / "pid").exists)
    program.wait_until((tmp_path / "pid").read_text)
    assert int((tmp_path / "pid").read_text()) == program.process.pid
    assert program.end() == 0
    assert not (tmp_path / "pid").exists()
    assert ".:1053" not in program.output


def test_sigterm_keeps_answering_while_it_is_asked_up_to_the_grace(launch):
    program = launch("twistd", "bind 127.0.0.1 @PORT@", "--grace", "1")
    program.wait_until(lambda: echoes(program))
    program.process.terminate()
    program.wait_until(lambda: "SIGTERM: Shutting down" in program.output)
    assert echoes(program)
    assert program.wait() == -signal.SIGTERM  # twistd's own way to end


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain_at_once(launch, second):
    program = launch("twistd", "bind 127.0.0.1 @PORT@", "--grace", "600")
    program.wait_until(lambda: echoes(program))
    program.process.terminate()
    program.wait_until(lambda: "SIGTERM: Shutting down" in program.output)
    # Silence would end the drain, too: that it is not what did is in the log.
    program.process.send_signal(second)
    assert program.wait() == -signal.SIGTERM
    assert "not waiting any longer" in program.output
    assert "plugin/forward: stopped" in program.output
    assert "Traceback" not in program.output
    assert "ReactorNotRunning" not in program.output


def privileged_port() -> int:
    """Return a port below 1024 that nobody has."""
    for port in range(1023, 600, -1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port below 1024 is taken")


def test_sockets_are_bound_before_privileges_are_dropped(start, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can drop privileges")
    nobody = pwd.getpwnam("nobody").pw_uid
    (tmp_path / "Corefile").write_text(f"bind 127.0.0.1 {privileged_port()}\n")
    command = [*FAKE, "twistd", "-n", "--pidfile=", "-u", str(nobody), "k8sdns"]
    program = start(command)
    program.wait_until(lambda: f"serving as uid {nobody}" in program.output)


def test_logfile_is_respected(launch, tmp_path):
    program = launch("tac", "bind 127.0.0.1 @PORT@", "--logfile=own.log")
    log = tmp_path / "own.log"
    program.wait_until(lambda: log.exists() and "serving as uid" in log.read_text())
    assert "plugin/forward" not in program.output


def test_a_reader_that_never_reads_stops_nothing(tmp_path, free_port):
    """Standard output is a full pipe; the server answers, and ends when told."""
    port = free_port()
    (tmp_path / "Corefile").write_text(f"bind 127.0.0.1 {port}\nchatter 2000")
    reader, writer = os.pipe()
    program = subprocess.Popen(
        [*FAKE, "k8sdns", "-conf", "Corefile"], cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.2)
            answered = 0
            until = time.monotonic() + 30
            while answered < 20 and time.monotonic() < until:
                try:
                    sock.sendto(b"ping", ("127.0.0.1", port))
                    answered += sock.recv(100) == b"ping"
                except OSError:
                    continue
        assert answered == 20
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        os.close(reader)
