"""A client in another language: plain gRPC for Python against a real server.

The proof that the wire is plain protobuf, whatever the C++ sides do by hand.
Stubs are made by protoc when the test runs. Needs Debian's python3-grpcio.

    second_language.py SERVER PROTO...
"""

import hashlib
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import grpc

from server_process import ServerProcess

SECONDS = 20  # The deadline of each call.
PAGE = 4096
ORDERS = {"4 KiB": 0, "64 KiB": 4, "2 MiB": 9}
# A 2 MiB body and its header.
CHANNEL = [("grpc.max_receive_message_length", 4 << 20)]


def make_stubs(protos, folder):
    """Generates and imports; returns a function from a name to its module."""
    root = str(protos[0]).split("farswap/v1/", maxsplit=1)[0]
    subprocess.run(
        ["protoc", f"-I{root}", f"--python_out={folder}",
         f"--grpc_out={folder}",
         "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
         *protos], check=True, timeout=60)
    sys.path.insert(0, str(folder))
    prefix = os.path.dirname(protos[0][len(root):]).replace("/", ".")
    return lambda name: importlib.import_module(f"{prefix}.{name}")


def body_of(order, salt):
    """Bytes of a folio: of that length, the same each time, incompressible."""
    return hashlib.shake_128(f"{order} {salt}".encode()).digest(PAGE << order)


class SecondLanguageTest(unittest.TestCase):
    """One session against one server; each test its own cluster."""

    @classmethod
    def setUpClass(cls):
        cls.server = ServerProcess(cls.binary, pool="anon", capacity="64MiB")
        cls.addClassCleanup(cls.server.close)
        cls.server.start()
        channel = grpc.insecure_channel(cls.server.data_address, CHANNEL)
        cls.addClassCleanup(channel.close)
        cls.sessions = cls.stubs("session_pb2_grpc").SessionServiceStub(channel)
        cls.clusters = cls.stubs("cluster_pb2_grpc").ClusterServiceStub(channel)
        cls.folios = cls.stubs("folio_pb2_grpc").FolioServiceStub(channel)
        cls.session = cls.sessions.OpenSession(
            cls.stubs("session_pb2").OpenSessionRequest(
                protocol_version=1, client_name="second_language.py"),
            timeout=SECONDS)
        cls.request_id = 0

    def ids(self, epoch=None):
        return {"session_id": self.session.session_id,
                "epoch": self.session.epoch if epoch is None else epoch}

    def allocate(self):
        type(self).request_id += 1
        reply = self.clusters.AllocateClusters(
            self.stubs("cluster_pb2").AllocateClustersRequest(
                **self.ids(), request_id=self.request_id, count=1),
            timeout=SECONDS)
        self.assertEqual(len(reply.grants), 1)
        return reply.grants[0]

    def free(self, grant):
        return self.clusters.FreeClusters(
            self.stubs("cluster_pb2").FreeClustersRequest(
                **self.ids(), grants=[grant]), timeout=SECONDS).freed

    def ref(self, grant, order, slot=0):
        return self.stubs("folio_pb2").FolioRef(
            cluster=grant.cluster, generation=grant.generation, slot=slot,
            order=order)

    def put(self, refs, body, **ids):
        self.folios.PutFolios(self.stubs("folio_pb2").PutFoliosRequest(
            **self.ids(**ids), folios=refs, body=body), timeout=SECONDS)

    def get(self, refs):
        return self.folios.GetFolios(
            self.stubs("folio_pb2").GetFoliosRequest(
                **self.ids(), folios=refs), timeout=SECONDS).body

    def assert_refused(self, code, call, *arguments, **more):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **more)
        self.assertEqual(caught.exception.code(), code,
                         caught.exception.details())

    def test_folios_of_each_size_come_back(self):
        for name, order in ORDERS.items():
            with self.subTest(name):
                grant = self.allocate()
                body = body_of(order, "sizes")
                self.put([self.ref(grant, order)], body)
                self.assertTrue(self.get([self.ref(grant, order)]) == body)
                self.assertEqual(self.free(grant), 1)

    def test_batch_is_one_body_in_order_of_its_folios(self):
        grant = self.allocate()
        refs = [self.ref(grant, 4, slot=16), self.ref(grant, 0, slot=3)]
        bodies = [body_of(4, "batch"), body_of(0, "batch")]
        self.put(refs, b"".join(bodies))
        self.assertTrue(self.get(refs[::-1]) == b"".join(bodies[::-1]))

    def test_new_cluster_reads_as_zeros_also_after_another_use(self):
        for _ in range(2):
            grant = self.allocate()
            self.assertTrue(
                self.get([self.ref(grant, 9)]) == bytes(PAGE << 9))
            self.put([self.ref(grant, 9)], body_of(9, "before"))
            self.assertEqual(self.free(grant), 1)

    def test_freed_cluster_is_refused_and_freed_once(self):
        grant = self.allocate()
        self.assertEqual(self.free(grant), 1)
        self.assertEqual(self.free(grant), 0)
        self.assert_refused(grpc.StatusCode.FAILED_PRECONDITION,
                            self.get, [self.ref(grant, 0)])

    def test_malformed_put_is_refused_and_changes_nothing(self):
        grant = self.allocate()
        body = body_of(4, "kept")
        self.put([self.ref(grant, 4)], body)
        for refs, wrong in [
                ([self.ref(grant, 4)], body[:-1]),
                ([self.ref(grant, 4, slot=1)], body),
                ([self.ref(grant, 10)], body),
                ([self.ref(grant, 4)] * 2, body * 2),
                ([], b"")]:
            self.assert_refused(grpc.StatusCode.INVALID_ARGUMENT,
                                self.put, refs, wrong)
        self.assert_refused(grpc.StatusCode.FAILED_PRECONDITION,
                            self.put, [self.ref(grant, 4)], bytes(len(body)),
                            epoch=self.session.epoch + 1)
        self.assertTrue(self.get([self.ref(grant, 4)]) == body)


def main():
    binary, protos = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="fs-", dir="/tmp") as folder:
        SecondLanguageTest.binary = pathlib.Path(binary).resolve()
        SecondLanguageTest.stubs = staticmethod(make_stubs(protos, folder))
        unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
