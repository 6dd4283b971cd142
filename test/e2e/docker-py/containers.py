"""Containers through docker-py: run, logs, exec, attach, archives, wait, stats, top, update, lists, events."""
import io
import os
import socket
import struct
import tarfile
import threading
import time
import unittest

import docker
from docker.errors import APIError, ContainerError, NotFound
from docker.types import LogConfig, Mount, Ulimit
from support import ClientTest, tar_of


class Containers(ClientTest):
    def test_run(self):
        run = self.client.containers.run
        self.assertEqual(run("box:1", "echo hello", remove=True), b"hello\n")
        both = run("box:1", ["sh", "-c", "echo out; echo err >&2"], remove=True, stderr=True)
        self.assertEqual(sorted(both.split()), [b"err", b"out"])
        self.assertEqual(b"".join(run("box:1", "seq 3", remove=True, stream=True)), b"1\n2\n3\n")
        with self.assertRaises(ContainerError) as caught:
            run("box:1", ["sh", "-c", "echo why >&2; exit 9"], remove=True)
        self.assertEqual((caught.exception.exit_status, caught.exception.stderr), (9, b"why\n"))
        with self.assertRaises(APIError):
            run("127.0.0.1:1/nosuch:1", "true")
        with self.assertRaises(APIError) as caught:
            run("box:1", "nosuch", remove=True)
        self.assertIn("executable file not found in $PATH", str(caught.exception))
        self.assertEqual(run("box:1", "echo tty", remove=True, tty=True), b"tty\r\n")

    def test_many_options(self):
        box = self.run_box(
            "sleep", "99",
            name="many",
            hostname="host-name",
            environment={"A": "1", "B": "two words"},
            labels=["one", "two"],
            working_dir="/tmp",
            user="nobody",
            mem_limit="64m",
            memswap_limit="128m",
            nano_cpus=500_000_000,
            cpu_shares=512,
            pids_limit=50,
            ulimits=[Ulimit(name="nofile", soft=99, hard=100)],
            extra_hosts={"some": "1.2.3.4"},
            dns=["9.9.9.9"],
            tmpfs={"/scratch": "size=1m"},
            mounts=[Mount("/vol", "many-vol"), Mount("/m", None, type="tmpfs")],
            volumes={os.environ["WORK"]: {"bind": "/host", "mode": "ro"}},
            cap_add=["NET_ADMIN"],
            cap_drop=["MKNOD"],
            devices=["/dev/null:/dev/other:rw"],
            shm_size="32m",
            sysctls={"net.ipv4.ip_forward": "0"},
            restart_policy={"Name": "on-failure", "MaximumRetryCount": 3},
            log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
            security_opt=["no-new-privileges"],
            ports={"80/tcp": None, "81/tcp": ("127.0.0.1", None), "82/udp": 0},
            healthcheck={"test": ["CMD", "true"], "interval": 10**9},
            stop_signal="INT",
            init=False,
            group_add=["7"],
            oom_score_adj=5,
            read_only=True,
        )
        script = "id -G; pwd; echo $A $B; hostname; cat /etc/hosts; ulimit -n; test -e /dev/other -a -d /host -a -d /vol"
        code, output = box.exec_run(["sh", "-c", script])
        self.assertEqual(code, 0, output)
        self.assertEqual(output.decode().split("\n")[:4], ["65534 7", "/tmp", "1 two words", "host-name"])
        self.assertIn("1.2.3.4\tsome", output.decode())
        box.reload()
        self.assertEqual(set(box.ports), {"80/tcp", "81/tcp", "82/udp"})
        self.assertEqual(box.ports["81/tcp"][0]["HostIp"], "127.0.0.1")
        self.assertEqual(box.labels, {"one": "", "two": ""})
        host = box.attrs["HostConfig"]
        self.assertEqual((host["Memory"], host["NanoCpus"], host["PidsLimit"]), (2**26, 500_000_000, 50))
        self.assertEqual(box.image.tags[0], "box:1")
        self.assertEqual(box.attrs["Config"]["StopSignal"], "INT")
        self.assertEqual([mount["Destination"] for mount in sorted(box.attrs["Mounts"], key=lambda m: m["Destination"])][:2], ["/host", "/m"])

    def test_logs(self):
        box = self.run_box("sh", "-c", "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; sleep 99")
        follow = box.logs(stream=True, follow=True)
        seen = b""
        for chunk in follow:
            seen += chunk
            if b"three" in seen:
                break
        follow.close()
        self.assertEqual(seen, b"one\ntwo\nthree\n")
        self.assertEqual(box.logs(), b"one\ntwo\nthree\n")
        self.assertEqual(box.logs(stdout=False, stderr=True), b"two\n")
        self.assertEqual(box.logs(tail=1), b"three\n")
        self.assertRegex(box.logs(timestamps=True, tail=1), rb"^\d{4}-\d\d-\d\dT[0-9:.]+Z three\n$")
        self.assertEqual(box.logs(since=int(time.time()) + 100), b"")
        self.assertEqual(box.logs(until=int(time.time()) - 100), b"")
        with self.assertRaises(APIError) as caught:
            self.client.api.logs(box.id, stdout=False, stderr=False)
        self.assertEqual(caught.exception.status_code, 400)

    def test_exec(self):
        box = self.run_box()
        self.assertEqual(box.exec_run("echo hi"), (0, b"hi\n"))
        self.assertEqual(box.exec_run(["sh", "-c", "exit 4"]).exit_code, 4)
        code, (out, err) = box.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
        self.assertEqual((code, out, err), (0, b"o\n", b"e\n"))
        self.assertEqual(box.exec_run("id -u", user="nobody").output, b"65534\n")
        self.assertEqual(box.exec_run(["sh", "-c", "echo $X; pwd"], environment={"X": "y"}, workdir="/tmp").output, b"y\n/tmp\n")
        self.assertIn(box.exec_run("true", detach=True).exit_code, (None, 0))
        chunks = b"".join(box.exec_run(["sh", "-c", "echo 1; echo 2"], stream=True).output)
        self.assertEqual(chunks, b"1\n2\n")
        self.assertEqual(box.exec_run("echo tty", tty=True).output, b"tty\r\n")
        code, output = box.exec_run("nosuch")
        self.assertEqual(code, 127)
        self.assertIn(b"executable file not found", output)
        made = self.client.api.exec_create(box.id, "cat", stdin=True)
        stream = self.client.api.exec_start(made["Id"], socket=True)
        stream._sock.sendall(b"through the socket\n")
        stream._sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_frames(stream._sock), [(1, b"through the socket\n")])
        facts = self.client.api.exec_inspect(made["Id"])
        self.assertEqual((facts["ExitCode"], facts["Running"], facts["ContainerID"]), (0, False, box.id))
        self.assertEqual(facts["ProcessConfig"]["entrypoint"], "cat")
        sized = self.client.api.exec_create(box.id, ["sh", "-c", "sleep 0.5; stty size"], tty=True, stdin=True)
        stream = self.client.api.exec_start(sized["Id"], tty=True, socket=True)
        self.client.api.exec_resize(sized["Id"], height=33, width=44)
        self.assertEqual(read_all(stream._sock), b"33 44\r\n")
        with self.assertRaises(NotFound):
            self.client.api.exec_inspect("0" * 64)

    def test_attach(self):
        made = self.client.containers.create("box:1", ["sh", "-c", "cat; echo end >&2"], stdin_open=True)
        self.addCleanup(lambda: made.remove(force=True))
        stream = made.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
        made.start()
        stream._sock.sendall(b"typed\n")
        stream._sock.shutdown(socket.SHUT_WR)
        self.assertEqual(read_frames(stream._sock, until=b"typed\n"), [(1, b"typed\n")])
        stream._sock.close()
        box = self.run_box("sh", "-c", "echo before; sleep 0.3; echo after")
        self.assertEqual(b"".join(box.attach(stream=True, logs=True)), b"before\nafter\n")
        once = self.client.containers.create("box:1", ["sh", "-c", "echo said; exit 2"])
        self.addCleanup(lambda: once.remove(force=True))
        reader = once.attach(stream=True, stdout=True, stderr=True)
        once.start()
        self.assertEqual(b"".join(reader), b"said\n")

    def test_archives(self):
        box = self.run_box()
        self.assertTrue(box.put_archive("/tmp", tar_of({"a": b"1" * 100_000, "dir/b": b"2"})))
        self.assertEqual(box.exec_run("cat /tmp/dir/b").output, b"2")
        chunks, stat = box.get_archive("/tmp/a")
        self.assertEqual((stat["name"], stat["size"], stat["linkTarget"]), ("a", 100_000, ""))
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            self.assertEqual(tar.getnames(), ["a"])
            self.assertEqual(tar.extractfile("a").read(), b"1" * 100_000)
        with self.assertRaises(NotFound):
            box.get_archive("/nosuch")
        with self.assertRaises(NotFound):
            box.put_archive("/nosuch", tar_of({"a": b""}))
        exported = b"".join(box.export())
        with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
            self.assertIn("tmp/dir/b", [name.removeprefix("./") for name in tar.getnames()])

    def test_states(self):
        box = self.run_box("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done", name="states")
        self.assertEqual(box.status, "created")
        box.reload()
        self.assertEqual(box.status, "running")
        box.pause()
        box.reload()
        self.assertEqual((box.status, box.attrs["State"]["Paused"]), ("paused", True))
        with self.assertRaises(APIError) as caught:
            box.exec_run("true")
        self.assertEqual(caught.exception.status_code, 409)
        box.unpause()
        box.rename("renamed")
        self.assertEqual(self.client.containers.get("renamed").id, box.id)
        box.restart(timeout=5)
        box.stop(timeout=5)
        self.assertEqual(box.wait()["StatusCode"], 3)
        box.start()
        box.kill()
        self.assertEqual(box.wait(condition="not-running")["StatusCode"], 137)
        with self.assertRaises(APIError) as caught:
            box.kill()
        self.assertEqual(caught.exception.status_code, 409)
        box.start()
        box.kill("SIGTERM")
        self.assertEqual(box.wait(timeout=10)["StatusCode"], 3)
        with self.assertRaises(APIError) as caught:
            self.client.containers.create("box:1", name="renamed")
        self.assertEqual(caught.exception.status_code, 409)
        with self.assertRaises(NotFound):
            self.client.containers.get("nosuch")
        up = self.run_box()
        with self.assertRaises(APIError) as caught:
            up.remove()
        self.assertEqual(caught.exception.status_code, 409)

    def test_wait_times_out_on_the_client(self):
        box = self.run_box()
        with self.assertRaises(Exception):
            box.wait(timeout=0.3)
        self.assertTrue(self.client.ping())

    def test_facts(self):
        box = self.run_box("sh", "-c", "echo 1 > /new; rm /etc/group; sleep 99")
        box.exec_run(["sh", "-c", "until test -e /new -a ! -e /etc/group; do :; done"])
        changes = {change["Path"]: change["Kind"] for change in box.diff()}
        self.assertEqual(changes, {"/new": 1, "/etc": 0, "/etc/group": 2})
        processes = box.top()
        self.assertEqual(processes["Titles"][-1], "CMD")
        self.assertIn("sleep 99", [process[-1] for process in processes["Processes"]])
        self.assertEqual(box.top(ps_args="-o pid,comm")["Titles"], ["PID", "COMMAND"])
        stats = box.stats(stream=False)
        for key in ("cpu_stats", "precpu_stats", "memory_stats", "pids_stats", "blkio_stats", "networks", "read", "preread", "name", "id"):
            self.assertIn(key, stats)
        self.assertGreater(stats["memory_stats"]["limit"], 0)
        self.assertGreater(stats["precpu_stats"]["system_cpu_usage"], 0)
        many = box.stats(decode=True)
        first, second = next(many), next(many)
        self.assertNotEqual(first["read"], second["read"])
        self.assertEqual(second["preread"], first["read"])
        many.close()
        self.assertEqual(box.update(mem_limit="32m", memswap_limit="64m", restart_policy={"Name": "always"})["Warnings"] or [], [])
        box.reload()
        self.assertEqual(box.attrs["HostConfig"]["Memory"], 2**25)
        self.assertEqual(box.attrs["HostConfig"]["RestartPolicy"]["Name"], "always")
        box.update(restart_policy={"Name": "no"})
        box.resize(20, 30)

    def test_commit(self):
        box = self.run_box("sh", "-c", "echo 1 > /new; sleep 99")
        box.exec_run(["sh", "-c", "until test -e /new; do :; done"])
        image = box.commit("committed", tag="1", message="why", author="who", changes=['CMD ["cat", "/new"]', "ENV A=b"])
        self.assertEqual(image.tags, ["committed:1"])
        self.assertEqual((image.attrs["Comment"], image.attrs["Author"]), ("why", "who"))
        self.assertEqual(self.client.containers.run("committed:1", remove=True), b"1\n")
        self.assertTrue(self.client.containers.list(filters={"ancestor": "box:1", "id": box.id}))
        conf = box.commit(conf={"Cmd": ["echo", "conf"], "Labels": {"l": "1"}})
        self.assertEqual(self.client.containers.run(conf.id, remove=True), b"conf\n")
        self.client.images.remove("committed:1")
        self.client.images.remove(conf.id)

    def test_lists(self):
        box = self.run_box(name="listed-1", labels={"who": "me"}, ports={"8080/tcp": None})
        ended = self.run_box("sh", "-c", "exit 5", name="listed-2")
        ended.wait()
        names = lambda **filters: sorted(one.name for one in self.client.containers.list(all=True, filters=filters) if one.name.startswith("listed"))
        self.assertEqual(names(name="listed"), ["listed-1", "listed-2"])
        self.assertEqual(names(label="who=me"), ["listed-1"])
        self.assertEqual(names(label=["who"], status="running"), ["listed-1"])
        self.assertEqual(names(status=["exited", "running"]), ["listed-1", "listed-2"])
        self.assertEqual(names(exited=5), ["listed-2"])
        self.assertEqual(names(before="listed-2"), ["listed-1"])
        self.assertEqual(names(since="listed-1"), ["listed-2"])
        self.assertEqual(names(network="bridge"), ["listed-1", "listed-2"])
        self.assertEqual(names(expose="8080"), ["listed-1"])
        self.assertEqual(names(id=box.short_id), ["listed-1"])
        self.assertEqual([one.name for one in self.client.containers.list() if one.name.startswith("listed")], ["listed-1"])
        self.assertEqual([one.name for one in self.client.containers.list(limit=1)], ["listed-2"])
        sized = self.client.api.containers(size=True, all=True)
        self.assertIn("SizeRootFs", sized[0])
        self.assertEqual(len(self.client.containers.list(sparse=True, filters={"name": "listed-1"})), 1)
        with self.assertRaises(APIError) as caught:
            self.client.containers.list(filters={"status": "nosuch"})
        self.assertEqual(caught.exception.status_code, 400)
        ended.remove()
        again = self.client.containers.create("box:1", "true", labels={"prune": "me"})
        pruned = self.client.containers.prune(filters={"label": "prune=me"})
        self.assertEqual(pruned["ContainersDeleted"], [again.id])
        ended.remove = lambda **_: None

    def test_events(self):
        since = time.time()
        seen = []
        stream = self.client.events(decode=True, filters={"type": ["container", "network", "volume"]})
        thread = threading.Thread(target=lambda: [seen.append(event) for event in stream], daemon=True)
        thread.start()
        time.sleep(0.2)
        box = self.client.containers.run("box:1", "sleep 99", detach=True, name="told", labels={"l": "1"}, volumes=["told-vol:/v"])
        box.exec_run("true")
        box.stop(timeout=0)
        box.remove()
        self.client.volumes.get("told-vol").remove()
        wanted = [
            ("container", "create"), ("volume", "create"), ("network", "connect"), ("volume", "mount"), ("container", "start"),
            ("container", "exec_create: true"), ("container", "exec_start: true"), ("container", "exec_die"),
            ("container", "kill"), ("network", "disconnect"), ("volume", "unmount"), ("container", "die"), ("container", "stop"), ("container", "destroy"),
            ("volume", "destroy"),
        ]
        deadline = time.time() + 5
        while time.time() < deadline and ("volume", "destroy") not in [(event["Type"], event["Action"]) for event in seen]:
            time.sleep(0.05)
        stream.close()
        actions = [(event["Type"], event["Action"].strip()) for event in seen]
        self.assertEqual(sorted(set(wanted) - set(actions)), [], actions)
        started = next(event for event in seen if event["Action"] == "start")
        self.assertEqual((started["status"], started["id"], started["from"], started["scope"]), ("start", box.id, "box:1", "local"))
        self.assertEqual(started["Actor"]["Attributes"]["l"], "1")
        past = list(self.client.events(since=since, until=time.time(), decode=True, filters={"container": "told", "event": "start"}))
        self.assertEqual([event["Action"] for event in past], ["start"])


def read_all(sock):
    """Everything until the other side ends."""
    out = b""
    sock.settimeout(10)
    while chunk := sock.recv(65536):
        out += chunk
    return out


def read_frames(sock, until=None):
    """Frames of a multiplexed stream, until its end or until one is `until`."""
    sock.settimeout(10)
    frames, held = [], b""
    while True:
        while len(held) >= 8 and len(held) >= 8 + struct.unpack(">I", held[4:8])[0]:
            size = struct.unpack(">I", held[4:8])[0]
            frames.append((held[0], held[8:8 + size]))
            held = held[8 + size:]
            if frames[-1][1] == until:
                return frames
        chunk = sock.recv(65536)
        if not chunk:
            return frames
        held += chunk


if __name__ == "__main__":
    unittest.main(verbosity=2)
