"""Networks, volumes, and the engine itself through docker-py."""
import os
import unittest

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool
from support import ClientTest


class System(ClientTest):
    def test_networks(self):
        pool = IPAMPool(subnet="10.213.7.0/24", gateway="10.213.7.1")
        network = self.client.networks.create(
            "py-net", driver="bridge", labels={"l": "1"}, ipam=IPAMConfig(pool_configs=[pool]), options={"x": "y"}, internal=True
        )
        self.assertEqual(self.client.networks.get(network.id).name, "py-net")
        self.assertEqual(network.attrs["IPAM"]["Config"][0]["Subnet"], "10.213.7.0/24")
        self.assertEqual((network.attrs["Labels"], network.attrs["Internal"]), ({"l": "1"}, True))
        first = self.run_box(name="py-first")
        network.connect(first, ipv4_address="10.213.7.9", aliases=["alias"])
        first.reload()
        mine = first.attrs["NetworkSettings"]["Networks"]["py-net"]
        self.assertEqual((mine["IPAddress"], mine["Gateway"], mine["IPPrefixLen"]), ("10.213.7.9", "10.213.7.1", 24))
        self.assertIn("alias", mine["Aliases"])
        second = self.run_box(name="py-second", network="py-net")
        self.assertEqual(second.exec_run("ping -c 1 -W 2 alias").exit_code, 0)
        network.reload()
        self.assertEqual(sorted(one.name for one in network.containers), ["py-first", "py-second"])
        with self.assertRaises(APIError) as caught:
            network.remove()
        self.assertEqual(caught.exception.status_code, 403)
        network.disconnect(first)
        network.disconnect(second, force=True)
        self.assertEqual([one.name for one in self.client.networks.list(names=["py-net"])], ["py-net"])
        self.assertEqual([one.name for one in self.client.networks.list(filters={"label": "l=1"}, greedy=True)], ["py-net"])
        network.remove()
        with self.assertRaises(NotFound):
            self.client.networks.get("py-net")
        self.client.networks.create("py-gone")
        self.assertEqual(self.client.networks.prune()["NetworksDeleted"], ["py-gone"])
        with self.assertRaises(APIError) as caught:
            self.client.networks.create("py-bad", driver="nosuch")
        self.assertEqual(caught.exception.status_code, 404)

    def test_volumes(self):
        volume = self.client.volumes.create("py-vol", driver="local", labels={"k": "v"})
        self.assertEqual((volume.name, volume.attrs["Labels"], volume.attrs["Driver"]), ("py-vol", {"k": "v"}, "local"))
        self.assertTrue(volume.attrs["Mountpoint"].endswith("/py-vol/_data"))
        self.client.containers.run("box:1", ["sh", "-c", "echo kept > /data/x"], volumes={"py-vol": {"bind": "/data", "mode": "rw"}}, remove=True)
        self.assertEqual(self.client.containers.run("box:1", "cat /data/x", volumes=["py-vol:/data:ro"], remove=True), b"kept\n")
        user = self.run_box(volumes=["py-vol:/data"])
        with self.assertRaises(APIError) as caught:
            volume.remove()
        self.assertEqual(caught.exception.status_code, 409)
        self.assertEqual(self.client.volumes.list(filters={"dangling": True, "name": "py-vol"}), [])
        user.remove(force=True)
        user.remove = lambda **_: None
        self.assertEqual([one.name for one in self.client.volumes.list(filters={"label": "k=v"})], ["py-vol"])
        volume.remove()
        with self.assertRaises(NotFound):
            self.client.volumes.get("py-vol")
        anonymous = self.client.volumes.create()
        self.assertRegex(anonymous.name, "^[0-9a-f]{64}$")
        self.assertIn(anonymous.name, self.client.volumes.prune()["VolumesDeleted"])
        fresh = self.run_box(volumes=["/own"])
        fresh.reload()
        own = fresh.attrs["Mounts"][0]
        self.assertEqual((own["Type"], own["Destination"], own["RW"]), ("volume", "/own", True))
        with self.assertRaises(APIError) as caught:
            self.client.volumes.create("py-bad", driver="nosuch")
        self.assertIn(caught.exception.status_code, (400, 404))

    def test_the_engine(self):
        self.assertTrue(self.client.ping())
        version = self.client.version()
        for key in ("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "GitCommit", "GoVersion", "BuildTime", "Components"):
            self.assertIn(key, version)
        info = self.client.info()
        for key in ("Containers", "Images", "Driver", "MemTotal", "NCPU", "OSType", "Architecture", "ServerVersion", "Swarm", "Plugins", "SecurityOptions", "RegistryConfig", "Name", "ID"):
            self.assertIn(key, info)
        self.assertEqual(info["Swarm"]["LocalNodeState"], "inactive")
        usage = self.client.df()
        for key in ("LayersSize", "Images", "Containers", "Volumes", "BuildCache"):
            self.assertIn(key, usage)
        self.assertTrue(any("box:1" in (image["RepoTags"] or []) for image in usage["Images"]))

    def test_every_version_of_the_api(self):
        for version in ("1.24", "1.30", "1.35", "1.41", "1.44", "1.47"):
            old = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version=version)
            self.assertTrue(old.ping())
            self.assertTrue(old.images.list())
            self.assertEqual(old.containers.run("box:1", "echo hi", remove=True), b"hi\n")
            old.close()
        with self.assertRaises(APIError):
            docker.DockerClient(base_url=os.environ["DOCKER_HOST"], version="1.99").info()

    def test_swarm_is_refused(self):
        with self.assertRaises(APIError):
            self.client.swarm.init()
        with self.assertRaises(APIError):
            self.client.services.list()
        self.assertEqual(self.client.plugins.list(), [])

    def test_low_level_client(self):
        api = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version="auto")
        config = api.create_host_config(binds=["/tmp:/t:ro"], port_bindings={80: None, "81/udp": ("127.0.0.1", 0)}, privileged=False)
        networking = api.create_networking_config({"bridge": api.create_endpoint_config(aliases=None)})
        made = api.create_container("box:1", "sleep 99", ports=[80, (81, "udp")], host_config=config, networking_config=networking, environment=["A=b"])
        self.addCleanup(lambda: api.remove_container(made["Id"], force=True))
        api.start(made["Id"])
        self.assertRegex(api.port(made["Id"], 80)[0]["HostPort"], r"^\d+$")
        self.assertIn("A=b", api.inspect_container(made["Id"])["Config"]["Env"])
        self.assertEqual(api.containers(quiet=True)[0]["Id"], made["Id"])
        api.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
