"""Start commands as processes forked from one that has imported their common modules.

Imports take a second or two, and a command that refuses its flags does nothing else. JAX computes
nothing before the fork, and nothing that a command does outlasts its process.
"""

import json
import os
import runpy
import subprocess
import sys
import traceback


class Forks:
    """The process from which commands are forked."""

    def __init__(self, logs):
        """Directory `logs` is for the output of the running command."""
        self.logs = logs
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()},
        )

    def command(self, module, *flags, directory):
        """What subprocess.run() would have returned."""
        out, err = self.logs / "stdout", self.logs / "stderr"
        order = [f"experiments.{module}", flags, *map(str, (directory, out, err))]
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(order, status, out.read_text(), err.read_text())

    def close(self):
        self.process.communicate()


def run(module, flags, directory, out, err):
    """Run the command in this process, and end the process."""
    os.chdir(directory)
    # The directory shows what the command writes, not what Python keeps of the user's own file.
    sys.dont_write_bytecode = True
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [module, *flags]
    status = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve():
    import ticketjax.commands.running  # noqa: F401

    # Only its dependencies are needed; the command must import these modules itself.
    for name in [name for name in sys.modules if name.startswith("ticketjax.commands")]:
        del sys.modules[name]
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
