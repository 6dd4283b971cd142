"""What the scripts beside this file share."""
import io
import tarfile
import unittest

import docker


def tar_of(files):
    """A tar of small files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


class ClientTest(unittest.TestCase):
    """Tests with a client of their own."""

    @classmethod
    def setUpClass(cls):
        cls.client = docker.from_env()

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def run_box(self, *command, **options):
        """A detached container that is removed after the test."""
        box = self.client.containers.run("box:1", list(command) or ["sleep", "99"], detach=True, **options)
        self.addCleanup(lambda: box.remove(force=True, v=True))
        return box
