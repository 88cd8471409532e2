"""Kubernetes and compose, held against the code and each other: nothing named that is not there, nothing running as root."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import BASE_DIR

FOLDER = BASE_DIR / "deploy" / "kubernetes"
DRAIN = "TOKENHUB_DRAIN_S"
COMMANDS = {"serve", "worker", "beat", "migrate", "check"}
# Read by uvicorn itself.
OF_OTHERS = {"FORWARDED_ALLOW_IPS"}


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found]


def everything() -> list[dict[str, Any]]:
    kustomization = documents(FOLDER / "kustomization.yaml")[0]
    names = [*kustomization["resources"], "migrate.yaml", "secret.example.yaml"]
    return [found for name in names for found in documents(FOLDER / name)]


def of_kind(*kinds: str) -> list[dict[str, Any]]:
    return [found for found in everything() if found["kind"] in kinds]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def labels(workload: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


WORKLOADS = of_kind("Deployment", "StatefulSet", "Job")
CONTAINERS = [
    (f"{workload['metadata']['name']}/{container['name']}", workload, container)
    for workload in WORKLOADS
    for container in [*pod(workload).get("initContainers", []), *pod(workload)["containers"]]
]
each_container = pytest.mark.parametrize(
    ("workload", "container"),
    [pytest.param(workload, container, id=name) for name, workload, container in CONTAINERS],
)
each_workload = pytest.mark.parametrize(
    "workload",
    [
        pytest.param(found, id=found["metadata"]["name"])
        for found in WORKLOADS
        if found["kind"] != "Job"
    ],
)


def settings_read() -> set[str]:
    """Every variable that the settings read, and those that are explained."""
    code = (BASE_DIR / "tokenhub" / "settings.py").read_text(encoding="utf-8")
    return set(re.findall(r'(?:env\.\w+|env|required)\(\s*"([A-Z_]+)"', code)) | OF_OTHERS


def test_every_file_is_applied_or_said_why_not() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")}
    kustomization = documents(FOLDER / "kustomization.yaml")[0]

    assert files - set(kustomization["resources"]) == {"kustomization.yaml", "migrate.yaml", "secret.example.yaml"}  # fmt: skip
    assert {found["metadata"]["name"] for found in WORKLOADS} == {"web", "gateway", "worker", "beat", "migrate"}  # fmt: skip


@each_container
def test_a_container_has_no_privilege_and_bounds(
    workload: dict[str, Any], container: dict[str, Any]
) -> None:
    security = container["securityContext"]
    whole = pod(workload)["securityContext"]

    assert whole["runAsNonRoot"] is True
    assert whole["runAsUser"] == 10001
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod(workload)["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert container["image"] == "tokenhub:0.1.0"
    assert container["args"][0] in COMMANDS


@each_container
def test_its_settings_are_ones_that_are_read(
    workload: dict[str, Any], container: dict[str, Any]
) -> None:
    names = {variable["name"] for variable in container.get("env", [])}
    sources = container["envFrom"]

    assert names <= settings_read()
    assert sources == [{"configMapRef": {"name": "tokenhub"}}, {"secretRef": {"name": "tokenhub"}}]
    assert not any("value" in variable and "KEY" in variable["name"] for variable in container.get("env", []))  # fmt: skip


def test_configuration_and_secrets_are_what_the_settings_read() -> None:
    [configuration], [secret] = of_kind("ConfigMap"), of_kind("Secret")
    given = set(configuration["data"]) | set(secret["stringData"])
    needed = {"SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "ALLOWED_HOSTS", "EMAIL_URL"}  # fmt: skip

    assert given <= settings_read()
    assert needed <= given
    assert set(secret["stringData"].values()) == {""}
    assert all(isinstance(value, str) for value in configuration["data"].values())


@each_workload
def test_it_is_given_the_time_to_end_what_is_under_way(workload: dict[str, Any]) -> None:
    [container] = pod(workload)["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
    wait_s = 0
    if "lifecycle" in container:
        command = container["lifecycle"]["preStop"]["exec"]["command"]
        assert command[0] == "sleep"
        wait_s = int(command[1])
    if container["args"][0] == "serve":
        assert wait_s >= 5, "endpoints are still sent requests for a while"
        wait_s += int(variables[DRAIN])
    elif container["args"][0] == "worker":
        wait_s += 300  # CELERY_TASK_TIME_LIMIT

    assert pod(workload)["terminationGracePeriodSeconds"] > wait_s


@pytest.mark.parametrize("name", ["web", "gateway"])
def test_what_serves_is_asked_whether_it_is_well(name: str) -> None:
    [workload] = [found for found in WORKLOADS if found["metadata"]["name"] == name]
    [container] = pod(workload)["containers"]

    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    # The database's absence must not get the process killed.
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}  # fmt: skip
    assert container["args"] == ["serve", "--role", name]
    ports = {port["name"] for port in container["ports"]}
    assert all(container[probe]["httpGet"]["port"] in ports for probe in paths)


def test_services_disruption_budgets_and_scalers_find_their_pods() -> None:
    by_labels = [labels(workload) for workload in WORKLOADS]
    named = {(found["kind"], found["metadata"]["name"]): found for found in WORKLOADS}

    def selects(selector: dict[str, str]) -> bool:
        return any(selector.items() <= found.items() for found in by_labels)

    for workload in of_kind("Deployment", "StatefulSet"):
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels(workload).items()
    for service in of_kind("Service"):
        assert selects(service["spec"]["selector"])
        assert all(port["targetPort"] == "http" for port in service["spec"]["ports"])
    for budget in of_kind("PodDisruptionBudget"):
        assert selects(budget["spec"]["selector"]["matchLabels"])
    for scaler in of_kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        workload = named[target["kind"], target["name"]]
        assert scaler["spec"]["minReplicas"] >= workload["spec"]["replicas"] >= 2
        [container] = pod(workload)["containers"]
        assert "cpu" in container["resources"]["requests"]
    protected = {found["metadata"]["name"] for found in of_kind("PodDisruptionBudget")}
    assert protected == {"web", "gateway", "worker"}


def test_one_beat_at_a_time_and_a_journal_that_outlives_its_pod() -> None:
    [beat] = [found for found in WORKLOADS if found["metadata"]["name"] == "beat"]
    [gateway] = [found for found in WORKLOADS if found["metadata"]["name"] == "gateway"]

    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})
    [claim] = gateway["spec"]["volumeClaimTemplates"]
    [container] = pod(gateway)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts[claim["metadata"]["name"]] == "/data"
    services = {found["metadata"]["name"]: found for found in of_kind("Service")}
    assert services[gateway["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"


def test_the_ingress_leads_to_what_there_is_and_streams() -> None:
    services = {found["metadata"]["name"] for found in of_kind("Service")}
    paths = {}
    for ingress in of_kind("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                paths[path["path"]] = path["backend"]["service"]["name"]
        assert ingress["spec"]["tls"]

    assert paths == {"/v1": "gateway", "/": "web"}
    assert set(paths.values()) <= services
    [gateway] = [found for found in of_kind("Ingress") if found["metadata"]["name"] == "gateway"]
    assert gateway["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"  # fmt: skip


def test_the_network_lets_nothing_in_by_itself_and_nothing_out_to_the_inside() -> None:
    policies = {found["metadata"]["name"]: found["spec"] for found in of_kind("NetworkPolicy")}
    out = policies["only-outside-is-reached"]
    [block] = [to["ipBlock"] for rule in out["egress"] for to in rule["to"] if "ipBlock" in to]

    assert policies["nothing-comes-in"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["except"])  # fmt: skip
    # The label is put on every pod by the kustomization.
    [put] = documents(FOLDER / "kustomization.yaml")[0]["labels"]
    assert put["includeTemplates"] is True
    assert out["podSelector"]["matchLabels"] == put["pairs"]


COMPOSE = documents(BASE_DIR / "compose.yaml")[0]
OURS = {"migrate", "web", "gateway", "worker", "beat"}


def test_compose_has_every_part_and_each_of_ours_without_privilege() -> None:
    services = COMPOSE["services"]

    assert set(services) == OURS | {"postgres", "archive-owner", "valkey", "proxy"}
    for name in OURS:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "privileged" not in service
        assert "ports" not in service, "only the proxy is reached from outside"
        command = service["command"][0]
        assert "check --deploy" in command if name == "migrate" else command in COMMANDS
    assert services["gateway"]["deploy"]["replicas"] == 2
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_compose_waits_for_what_it_needs_and_stops_gently() -> None:
    services = COMPOSE["services"]

    for name in OURS - {"migrate"}:
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert needs["postgres"]["condition"] == "service_healthy"
    for service in services.values():
        assert set(service.get("depends_on", [])) <= set(services)
        mounted = {str(volume).split(":")[0] for volume in service.get("volumes", [])}
        assert {name for name in mounted if name[0] != "."} <= set(COMPOSE["volumes"])
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
    drain_s = int(services["gateway"]["environment"][DRAIN])
    assert int(services["gateway"]["stop_grace_period"].removesuffix("s")) > drain_s
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert services["postgres"]["networks"] == services["valkey"]["networks"] == ["inside"]


def test_compose_has_no_secret_and_asks_for_what_is_missing() -> None:
    text = (BASE_DIR / "compose.yaml").read_text(encoding="utf-8")
    example = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{([A-Z_]+)[:}]", text))

    assert {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", "SITE_ADDRESS"} <= asked
    assert [name for name in asked if name not in example] == []
    assert set(COMPOSE["services"]["web"]["environment"]) <= settings_read()


def test_the_proxy_sends_v1_to_the_gateways_and_hides_metrics() -> None:
    text = (BASE_DIR / "deploy" / "Caddyfile").read_text(encoding="utf-8")

    assert text.count("{") == text.count("}")
    assert re.search(r"@gateway path /v1 /v1/\*", text)
    assert re.search(r"dynamic a gateway 8000", text)
    assert re.search(r"dynamic a web 8000", text)
    assert re.search(r"@inside path /metrics\s+respond @inside 404", text)
    assert "flush_interval -1" in text


def test_the_proxy_relies_on_no_health_check_that_its_upstreams_do_not_get() -> None:
    """Active checks are for upstreams that are listed; those that are resolved are tried, and others after them."""
    text = (BASE_DIR / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    proxies = re.findall(r"reverse_proxy [^\n]*\{\n(.*?)\n\t\}", text, re.DOTALL)

    assert len(proxies) == 2
    for proxy in proxies:
        directives = {line.split()[0] for line in proxy.splitlines() if line.strip()}
        assert {"dynamic", "lb_try_duration"} <= directives
        assert not {name for name in directives if name.startswith("health_")}
        tries_s = int(re.search(r"lb_try_duration (\d+)s", proxy)[1])  # type: ignore[index]
        dials_s = int(re.search(r"dial_timeout (\d+)s", proxy)[1])  # type: ignore[index]
        assert dials_s * 2 < tries_s, "there is time for another"
