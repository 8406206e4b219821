"""The cluster recipes, as far as a shell, a YAML reader and the commands can check them."""

import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

FOLDER = pathlib.Path(__file__).parent.parent / "examples" / "cluster"
RECIPES = sorted(FOLDER.iterdir())


def commands(text):
    """Every command of ticketjax in a text: its module and flags, continued lines joined."""
    joined = re.sub(r"\s*\\?\n\s*", " ", re.sub(r"^ *#.*$", "", text, flags=re.MULTILINE))
    found = re.findall(r"python -m experiments\.(\w+)((?: --\w+(?:=\S+)?)+)", joined)
    # A command within quotes ends with a quote.
    whole = [(module, flags[: len(flags) - flags.count('"') % 2]) for module, flags in found]
    return [(module, shlex.split(flags)) for module, flags in whole]


def test_there_is_one_for_each_kind_of_cluster():
    assert [path.name for path in RECIPES] == ["jobset.yaml", "slurm.sh", "tpu_pod.sh"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_flag_is_one_of_the_command(path, forks, tmp_path):
    ((module, flags),) = commands(path.read_text())
    assert "--distributed" in flags and any(flag.startswith("--out=") for flag in flags)
    # Numbers that a scheduler inserts.
    flags = [re.sub(r"=\$\w+$", "=0", flag) for flag in flags]
    assert forks.command(module, *flags, "--help", directory=tmp_path).returncode == 0
    refused = forks.command(module, *flags, "--no_such_flag=1", directory=tmp_path)
    assert refused.returncode == 2 and "no_such_flag" in refused.stderr


@pytest.mark.parametrize("name", ["slurm.sh", "tpu_pod.sh"])
def test_scripts_are_shell(name):
    subprocess.run(["bash", "-n", FOLDER / name], check=True)


def test_the_scheduler_gets_as_many_hosts_as_the_command_waits_for():
    text = (FOLDER / "jobset.yaml").read_text()
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    ((_, flags),) = commands(text)
    said = dict(flag.removeprefix("--").split("=") for flag in flags if "=" in flag)
    (job,) = manifest["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] == int(said["num_processes"])
    # The first pod's name, within the service that has the set's name.
    name = manifest["metadata"]["name"]
    assert said["coordinator_address"].partition(":")[0] == f"{name}-{job['name']}-0-0.{name}"
    volumes = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
    (container,) = spec["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] in volumes and said["out"].startswith(mount["mountPath"])


def test_slurm_reads_its_options_before_the_first_command():
    lines = (FOLDER / "slurm.sh").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = [line.split()[1] for line in lines[:first] if line.startswith("#SBATCH ")]
    assert len(options) == sum(line.startswith("#SBATCH") for line in lines)
    assert {"--nodes=4", "--ntasks-per-node=1"} <= set(options)
