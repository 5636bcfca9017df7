"""A static library with everything of ours in it, for programs outside."""

def _static_archive_impl(ctx):
    archives = []
    for dep in ctx.attr.deps:
        for linked in dep[CcInfo].linking_context.linker_inputs.to_list():
            for library in linked.libraries:
                # A program may be position independent, so this must be.
                archive = library.pic_static_library or library.static_library
                if archive and archive not in archives:
                    archives.append(archive)
    out = ctx.actions.declare_file(ctx.label.name)

    # One object, in which all names but the exported are local: they cannot
    # meet the program's own.
    ctx.actions.run_shell(
        outputs = [out],
        inputs = archives,
        command = """
set -e
export=$1 out=$2 object=$2.o
shift 2
ld -r --force-group-allocation -o "$object" --whole-archive "$@"
objcopy --wildcard --keep-global-symbol="$export" "$object"
ar rcsD "$out" "$object"
rm "$object"
""",
        arguments = [ctx.attr.export, out.path] + [a.path for a in archives],
        use_default_shell_env = True,
        mnemonic = "StaticArchive",
    )
    return [DefaultInfo(files = depset([out]))]

static_archive = rule(
    implementation = _static_archive_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "export": attr.string(
            doc = "Names that stay global, as a pattern.",
            mandatory = True,
        ),
    },
)
