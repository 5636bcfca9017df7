"""C++ code from .proto files with Debian's protoc and grpc_cpp_plugin."""

def grpc_cc_library(name, srcs, visibility = None):
    """A cc_library of the messages and services of all srcs.

    Args:
      name: of the cc_library.
      srcs: every .proto of the package; imports are from the workspace root.
      visibility: as in any rule.
    """
    outs = []
    for src in srcs:
        base = src[:-len(".proto")]
        outs += [
            base + ".pb.h",
            base + ".pb.cc",
            base + ".grpc.pb.h",
            base + ".grpc.pb.cc",
        ]
    native.genrule(
        name = name + "_gen",
        srcs = srcs,
        outs = outs,
        cmd = "protoc -I. --cpp_out=$(GENDIR) --grpc_out=$(GENDIR) " +
              "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin $(SRCS)",
    )
    native.cc_library(
        name = name,
        srcs = [o for o in outs if o.endswith(".cc")],
        hdrs = [o for o in outs if o.endswith(".h")],
        copts = ["-Wno-array-bounds", "-Wno-deprecated-declarations"],
        visibility = visibility,
        deps = ["//common/bazel/system:grpc++"],
    )
