"""The examples in deploy/ name nothing that is not there: settings, commands, ports, secrets, files."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import ROOT
from workbench import settings as workbench_settings
from workbench.management.commands.workbench import Command

DEPLOY = ROOT / "deploy"
FILES = {str(path.relative_to(DEPLOY)): path for path in DEPLOY.rglob("*") if path.is_file()}
UNITS = {name: path for name, path in FILES.items() if path.suffix in (".service", ".target")}
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
SLOTS, RAY_PORT = 40, 6379
SYSTEM_CONFIG = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "raylet_liveness_self_check_interval_ms": 5000,
}


def is_annotated(path: Path) -> bool:
    """Settings and JSON have no place for it; deploy/README.md says it of them."""
    return path.name == "Containerfile" or path.suffix in (".yaml", ".service", ".target", ".conf")


def manifests() -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text()) if each]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in manifests() if each["kind"] == kind]


def below(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings in some data."""
    if isinstance(value, dict):
        yield value
    for each in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    ):
        yield from below(each)


def unit(path: Path) -> configparser.ConfigParser:
    """A systemd unit. Of a key that is there twice, the last."""
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    # Keys keep their capitals: this way is the standard library's own, which its types do not know.
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(path.read_text().replace("\\\n", " "))
    return parsed


def ray_commands() -> list[list[str]]:
    """Every ``ray start`` of units and of Compose's file."""
    lines = [
        unit(path)["Service"].get("ExecStart", "")
        for path in UNITS.values()
        if "Service" in unit(path)
    ]
    commands = [shlex.split(line) for line in lines]
    compose = yaml.safe_load(FILES["compose/compose.yaml"].read_text())
    for service in compose["services"].values():
        command = service.get("command", [])
        commands.append(shlex.split(command[2]) if command[:2] == ["sh", "-c"] else command)
    for container in below(of_kind("Deployment")):
        if isinstance(container.get("command"), list):
            commands.append(shlex.split(container["command"][-1]))
    return [[*words[words.index("start") :]] for words in commands if "start" in words]


def option(words: list[str], name: str) -> str | None:
    found = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return found[0] if found else None


@pytest.mark.parametrize("name", FILES)
def test_settings_that_are_named_exist(name):
    named = set(re.findall(r"WORKBENCH_[A-Z_]+", FILES[name].read_text()))

    assert named - set(workbench_settings.env.known) == set()


@pytest.mark.parametrize("name", sorted(set(FILES) - {"README.md"}))
def test_the_index_knows_every_file_or_its_folder(name):
    links = re.findall(r"\]\(([^)#]+)\)", FILES["README.md"].read_text())
    known = {(DEPLOY / link).resolve() for link in links}

    assert known & {FILES[name], *FILES[name].parents} - {DEPLOY, ROOT}


@pytest.mark.parametrize("name", FILES)
def test_nothing_secret_and_no_registry_is_named(name):
    text = FILES[name].read_text()

    images = re.findall(r"^\s*(?:image|FROM):?\s+(\S+)", text, re.MULTILINE)
    assert [image for image in images if "/" in image or "@" in image] == []
    secrets = re.findall(
        r"(?:password|secret-key|auth_token|SECRET_KEY|PASSWORD|TOKEN)[=:] *([^\s{\"]+)", text
    )
    assert [each for each in secrets if not each.startswith(("CHANGE-ME", "$", "?", "token"))] == []


@pytest.mark.parametrize("name", UNITS)
def test_units_call_commands_that_there_are(name):
    parsed = unit(UNITS[name])
    parser = Command().create_parser("manage.py", "workbench")

    for key, line in parsed.items("Service") if parsed.has_section("Service") else []:
        if not key.startswith("Exec"):
            continue
        program, *words = shlex.split(line)
        assert program in ("/opt/workbench/.venv/bin/python", "/opt/workbench/.venv/bin/ray")
        if words[:2] == ["manage.py", "workbench"]:
            parser.parse_args(words[2:])
        else:
            assert words[:2] == ["manage.py", "migrate"] or words[0] == "start"


@pytest.mark.parametrize("name", UNITS)
def test_units_are_what_systemd_understands(name, tmp_path):
    # A part of systemd, which containers do not have, and which no test should bring.
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    # Beside the others, and with programs that there are.
    for path in UNITS.values():
        text = path.read_text().replace("/opt/workbench/.venv/bin/python", "/bin/true")
        text = text.replace("/opt/workbench/.venv/bin/ray", "/bin/true").replace(
            "/opt/workbench", "/"
        )
        text = re.sub(r"^User=.*$", "User=root", text, flags=re.MULTILINE)
        (tmp_path / path.name).write_text(text)
    file = tmp_path / UNITS[name].name.replace("@.", "@8000.")
    if not file.exists():
        shutil.copy(tmp_path / UNITS[name].name, file)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True
    )

    complaints = [line for line in done.stderr.splitlines() if UNITS[name].stem.strip("@") in line]
    assert (complaints, done.returncode) == ([], 0), done.stderr


def test_ray_is_started_as_the_host_wants_it():
    commands = ray_commands()
    heads = [words for words in commands if "--head" in words]
    joining = [words for words in commands if "--head" not in words]

    assert len(heads) == 2
    assert len(joining) == 5
    for words in heads:
        assert option(words, "port") == str(RAY_PORT)
        assert option(words, "resources") is None
        assert json.loads(option(words, "system-config") or "") == SYSTEM_CONFIG
    for words in joining:
        address = option(words, "address")
        assert address is not None
        assert address == "${RAY_HEAD}" or address.endswith(f":{RAY_PORT}")
        slots = option(words, "resources")
        assert slots is None or json.loads(slots) == {"kernel_slots": SLOTS}
    assert sum(option(words, "resources") is not None for words in joining) == 2


def test_the_ray_cluster_has_a_head_without_slots_and_workers_with_them():
    (cluster,) = of_kind("RayCluster")
    head, (workers,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]

    def parameter(group: dict[str, Any], name: str) -> Any:
        """As a shell reads it: KubeRay puts these into a command line."""
        (word,) = shlex.split(group["rayStartParams"][name])
        return json.loads(word)

    assert "resources" not in head["rayStartParams"]
    assert parameter(head, "system-config") == SYSTEM_CONFIG
    assert parameter(workers, "resources") == {"kernel_slots": SLOTS}
    assert all(isinstance(each, str) for each in workers["rayStartParams"].values())
    assert cluster["spec"]["authOptions"]["mode"] == "token"
    (config,) = of_kind("ConfigMap")
    assert int(config["data"]["WORKBENCH_MAX_SESSIONS"]) >= SLOTS


def test_ray_ends_no_host_to_have_memory():
    """Its monitor would take the largest of its own; sessions have limits, the host has none."""
    compose = yaml.safe_load(FILES["compose/compose.yaml"].read_text())
    (config,) = of_kind("ConfigMap")
    name = "RAY_memory_monitor_refresh_ms"

    assert compose["services"]["node"]["environment"][name] == "0"
    assert config["data"][name] == "0"
    assert f"\n{name}=0\n" in FILES["systemd/cluster/workbench.env"].read_text()


def test_the_version_of_ray_is_the_locked_one():
    (cluster,) = of_kind("RayCluster")
    locked = re.findall(r"^ray==(\S+)", (ROOT / ".setup/cluster.txt").read_text(), re.MULTILINE)

    assert [cluster["spec"]["rayVersion"]] == locked


def test_secrets_and_settings_that_manifests_refer_to_are_there():
    (secret,), (config,) = of_kind("Secret"), of_kind("ConfigMap")

    for each in below(manifests()):
        if "secretKeyRef" in each:
            assert each["secretKeyRef"]["name"] == secret["metadata"]["name"]
            assert each["secretKeyRef"]["key"] in secret["stringData"]
        if "configMapRef" in each:
            assert each["configMapRef"]["name"] == config["metadata"]["name"]
    (cluster,) = of_kind("RayCluster")
    assert cluster["spec"]["authOptions"]["secretName"] == secret["metadata"]["name"]
    assert "auth_token" in secret["stringData"]


def test_what_is_served_is_where_it_is_looked_for():
    (deployment,), (service,), (ingress,) = map(of_kind, ("Deployment", "Service", "Ingress"))
    (web,) = deployment["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in web["env"]}
    compose = yaml.safe_load(FILES["compose/compose.yaml"].read_text())["services"]
    port = variables["WORKBENCH_PORT"]

    assert int(port) == workbench_settings.WORKBENCH_PORT == web["ports"][0]["containerPort"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"].get("sessionAffinity", "None") == "None"
    assert ingress["spec"]["rules"][0]["host"] in variables["WORKBENCH_ALLOWED_HOSTS"].split(",")
    assert compose["web"]["environment"]["WORKBENCH_PORT"] == port
    assert f"http://web:{port}" in FILES["compose/nginx.conf"].read_text()
    assert "ip_hash" not in FILES["nginx/workbench.conf"].read_text()
    for probe in ("livenessProbe", "readinessProbe"):
        asked = web[probe]["httpGet"]
        assert asked["path"] in ("/livez", "/healthz")
        assert asked["httpHeaders"][0]["value"] in variables["WORKBENCH_ALLOWED_HOSTS"].split(",")


def test_pods_with_kernels_may_make_user_namespaces_and_nothing_else():
    (cluster,) = of_kind("RayCluster")
    pod = cluster["spec"]["workerGroupSpecs"][0]["template"]["spec"]
    (worker,) = pod["containers"]
    context = worker["securityContext"]

    # Kubernetes wants the first for the second.
    assert (pod["hostUsers"], context["procMount"]) == (False, "Unmasked")
    assert context["seccompProfile"] == context["appArmorProfile"] == {"type": "Unconfined"}
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not context["allowPrivilegeEscalation"]
    assert context["runAsNonRoot"]
    assert f"--uid {context['runAsUser']}" in FILES["Containerfile"].read_text()


def test_services_of_compose_wait_for_services_that_there_are():
    compose = yaml.safe_load(FILES["compose/compose.yaml"].read_text())
    services = compose["services"]
    variables = set(re.findall(r"(?<!\$)\$\{(\w+)", FILES["compose/compose.yaml"].read_text()))
    example = FILES["compose/.env.example"].read_text()

    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
    assert variables == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_the_kernelspec_names_a_provisioner_and_programs_by_their_whole_path():
    spec = json.loads(FILES["kernelspecs/kubernetes-python/kernel.json"].read_text())

    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "kubernetes-provisioner"
    assert all(word.startswith("/") for word in spec["argv"][:2])


def test_the_settings_shown_for_a_server_behind_a_proxy_are_these():
    example = FILES["systemd/workbench.env"].read_text()
    settings = "".join(f"{line}\n" for line in example.splitlines() if not line.startswith("#"))

    assert f"```ini\n{settings}```" in (ROOT / "docs/operations.md").read_text()


def test_no_image_holds_what_git_does_not():
    """Data with its secrets, and environments whose paths are of another place."""
    left_out = {line.strip("/*") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    ignored = {line.strip("/*") for line in (ROOT / ".gitignore").read_text().splitlines()}

    assert ignored - left_out == set()


@pytest.mark.parametrize("name", [name for name, path in FILES.items() if is_annotated(path)])
def test_each_says_what_was_tried(name):
    assert re.search(r"^# .*(?:Tried|Not tried): ", FILES[name].read_text(), re.MULTILINE)
