"""Images through docker-py: build, load, save, tag, history, remove, prune, errors; push and pull with a hub."""
import io
import json
import os
import tarfile
import unittest

import docker
from docker.errors import APIError, BuildError, ImageNotFound, NotFound
from support import ClientTest, tar_of

HUB = os.environ["HUB"]
USER, PASSWORD = os.environ["HUB_USER"], os.environ["HUB_PASSWORD"]


class Images(ClientTest):
    def build(self, files, **options):
        return self.client.images.build(
            fileobj=io.BytesIO(tar_of(files)), custom_context=True, rm=True, forcerm=True, **options
        )

    def test_build_of_a_context_tar(self):
        image, log = self.build(
            {"Dockerfile": b"FROM box:1\nARG WORD=a\nCOPY f /f\nRUN echo said $WORD\nLABEL l=1\n", "f": b"hello"},
            tag="built:1",
            buildargs={"WORD": "b"},
            labels={"more": "2"},
            nocache=True,
        )
        text = "".join(line.get("stream", "") for line in log)
        self.assertIn("Step 1/6 : FROM box:1", text)
        self.assertIn("said b\n", text)
        self.assertIn("Successfully built " + image.short_id.split(":")[1], text)
        self.assertIn("Successfully tagged built:1", text)
        self.assertEqual(image.tags, ["built:1"])
        self.assertEqual(image.labels, {"l": "1", "more": "2"})
        self.assertEqual(self.client.containers.run(image, ["cat", "/f"], remove=True), b"hello")
        again, log = self.build({"Dockerfile": b"FROM box:1\nRUN true\n"})
        self.assertEqual(again.tags, [])
        self.client.images.remove(again.id)
        self.client.images.remove("built:1")

    def test_build_options(self):
        files = {
            "sub/Other": b"FROM box:1 AS first\nRUN echo one > /one\nFROM box:1\nRUN echo two > /two\n",
            ".dockerignore": b"secret\n",
            "secret": b"x",
        }
        image, _ = self.build(files, dockerfile="sub/Other", target="first", tag="opt:1")
        self.assertEqual(self.client.containers.run(image, "cat /one", remove=True), b"one\n")
        files["sub/Other"] = b"FROM box:1\nCOPY . /all\nRUN test ! -e /all/secret\n"
        image, _ = self.build(files, dockerfile="sub/Other", tag="opt:2", shmsize=2**25, network_mode="none",
                              extra_hosts={"some": "1.2.3.4"}, cache_from=["opt:1"], container_limits={"memory": 2**27})
        for tag in ("opt:1", "opt:2"):
            self.client.images.remove(tag)
        image, _ = self.client.images.build(fileobj=io.BytesIO(b"FROM box:1\nENV a=b\n"), tag="opt:3", quiet=True)
        self.assertIn("a=b", image.attrs["Config"]["Env"])
        self.client.images.remove("opt:3")

    def test_build_of_a_directory(self):
        path = os.path.join(os.environ["WORK"], "dir")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "Dockerfile"), "w") as file:
            file.write("FROM box:1\nCOPY . /all\n")
        image, _ = self.client.images.build(path=path, tag="dir:1", gzip=True)
        self.assertIn(b"Dockerfile", self.client.containers.run(image, "ls /all", remove=True))
        self.client.images.remove("dir:1")

    def test_build_errors(self):
        with self.assertRaises(BuildError) as caught:
            self.build({"Dockerfile": b"FROM box:1\nRUN exit 7\n"})
        self.assertIn("returned a non-zero code: 7", str(caught.exception))
        self.assertTrue(any("Step 2/2" in line.get("stream", "") for line in caught.exception.build_log))
        with self.assertRaises((APIError, BuildError)) as caught:
            self.build({"Dockerfile": b"FROM box:1\nNOSUCH x\n"})
        self.assertIn("unknown instruction: NOSUCH", str(caught.exception))
        with self.assertRaises((APIError, BuildError)) as caught:
            self.build({"other": b""})
        self.assertIn("Dockerfile", str(caught.exception))
        with self.assertRaises((APIError, BuildError)):
            self.build({"Dockerfile": b"FROM 127.0.0.1:1/nosuch:1\n"})

    def test_save_and_load(self):
        image = self.client.images.get("box:1")
        image.tag("saved", "1")
        image.tag("saved", tag="2", force=True)
        image.reload()
        self.assertLessEqual({"saved:1", "saved:2"}, set(image.tags))
        chunks = b"".join(self.client.images.get("saved:1").save(named="saved:1"))
        with tarfile.open(fileobj=io.BytesIO(chunks)) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))
            self.assertEqual(manifest[0]["RepoTags"], ["saved:1"])
            for name in [manifest[0]["Config"], *manifest[0]["Layers"]]:
                self.assertGreater(tar.getmember(name).size, 0)
        self.client.images.remove("saved:1")
        loaded = self.client.images.load(chunks)
        self.assertEqual([one.id for one in loaded], [image.id])
        self.assertIn("saved:1", loaded[0].tags)
        unnamed = b"".join(image.save())
        self.assertEqual([one.id for one in self.client.images.load(unnamed)], [image.id])
        for tag in ("saved:1", "saved:2"):
            self.client.images.remove(tag)
        with self.assertRaises(APIError):
            self.client.images.load(b"this is no archive" * 1000)

    def test_inspect_and_history(self):
        image = self.client.images.get("box:1")
        for key in ("Id", "RepoTags", "RepoDigests", "Created", "Config", "Architecture", "Os", "Size", "RootFS", "GraphDriver", "Metadata"):
            self.assertIn(key, image.attrs)
        history = image.history()
        self.assertEqual(history[0]["Id"], image.id)
        self.assertIn("box:1", history[0]["Tags"])
        self.assertEqual({"Id", "Created", "CreatedBy", "Tags", "Size", "Comment"}, set(history[0]))
        self.assertIsInstance(history[0]["Created"], int)
        self.assertEqual(self.client.images.get(image.short_id).id, image.id)
        self.assertTrue(self.client.images.list(name="box"))
        self.assertTrue(self.client.images.list(filters={"reference": "bo*", "dangling": False}))
        self.assertEqual(self.client.images.list(name="nosuch"), [])
        self.assertTrue(self.client.images.list(all=True))

    def test_errors(self):
        for call in (self.client.images.get, self.client.images.remove):
            with self.assertRaises(ImageNotFound) as caught:
                call("nosuch:1")
            self.assertEqual(caught.exception.status_code, 404)
            self.assertEqual(caught.exception.explanation, "No such image: nosuch:1")
        with self.assertRaises(ImageNotFound):
            self.client.containers.create("127.0.0.1:1/nosuch:1")
        with self.assertRaises(APIError) as caught:
            self.client.images.get("UPPER:1")
        self.assertEqual(caught.exception.status_code, 400)
        with self.assertRaises(APIError):
            self.client.images.get("box:1").tag("Not Valid")
        box = self.client.containers.create("box:1", "true")
        try:
            with self.assertRaises(APIError) as caught:
                self.client.images.remove(self.client.images.get("box:1").id)
            self.assertEqual(caught.exception.status_code, 409)
        finally:
            box.remove()

    def test_import(self):
        path = os.path.join(os.environ["WORK"], "root.tar")
        with open(path, "wb") as file:
            file.write(tar_of({"etc-file": b"in it"}))
        data = tar_of({"etc-file": b"in it"})
        self.assertIn("sha256:", self.client.api.import_image_from_file(path, repository="imp", tag="1"))
        self.assertIn("sha256:", self.client.api.import_image_from_data(data, repository="imp", tag="1"))
        self.assertEqual(self.client.images.get("imp:1").tags, ["imp:1"])
        self.client.images.remove("imp:1")

    def test_prune(self):
        image, _ = self.build({"Dockerfile": b"FROM box:1\nRUN echo gone > /gone\n"})
        result = self.client.images.prune(filters={"dangling": True})
        self.assertIn(image.id, [one.get("Deleted") for one in result["ImagesDeleted"] or []])
        self.assertIsInstance(result["SpaceReclaimed"], int)
        self.assertGreaterEqual(self.client.images.prune_builds()["SpaceReclaimed"], 0)

    def test_push_and_pull(self):
        name = f"{HUB}/{USER}/py"
        auth = {"username": USER, "password": PASSWORD}
        self.client.images.get("box:1").tag(name, "1")
        with self.assertRaises(APIError) as caught:
            self.client.login(USER, "wrong", registry=HUB, reauth=True)
        self.assertIn(caught.exception.status_code, (401, 500))
        said = self.client.images.push(name, tag="1", auth_config={"username": USER, "password": "wrong"})
        self.assertIn("errorDetail", said)
        lines = list(self.client.images.push(name, tag="1", stream=True, decode=True, auth_config=auth))
        self.assertFalse([line for line in lines if "error" in line], lines)
        aux = [line["aux"] for line in lines if "aux" in line]
        self.assertEqual(aux[0]["Tag"], "1")
        digest = aux[0]["Digest"]
        self.client.images.remove(f"{name}:1")
        with self.assertRaises((ImageNotFound, NotFound, APIError)):
            self.client.images.pull(name, "nosuch", auth_config=auth)
        image = self.client.images.pull(name, "1", auth_config=auth)
        self.assertIn(f"{name}@{digest}", image.attrs["RepoDigests"])
        self.client.images.remove(f"{name}:1")
        image = self.client.images.pull(f"{name}@{digest}", auth_config=auth)
        self.assertIn(f"{name}@{digest}", image.attrs["RepoDigests"])
        data = self.client.images.get_registry_data(f"{name}:1", auth_config=auth)
        self.assertEqual(data.id, digest)
        self.assertTrue(data.has_platform("linux/amd64") or data.has_platform("linux/arm64"))
        answer = self.client.login(USER, PASSWORD, registry=f"http://{HUB}", reauth=True)
        self.assertEqual(answer["Status"], "Login Succeeded")
        all_of_it = self.client.images.pull(name, all_tags=True, auth_config=auth)
        self.assertEqual([one.id for one in all_of_it], [image.id])
        self.client.images.remove(f"{name}:1")

    def test_search(self):
        with self.assertRaises(APIError):
            self.client.images.search("")


if __name__ == "__main__":
    unittest.main(verbosity=2)
